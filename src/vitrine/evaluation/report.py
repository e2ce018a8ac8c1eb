"""The page of an evaluation: headline figures, what is confused with what, examples, calibration, embeddings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vitrine.catalog import Catalog
from vitrine.evaluation.beside import add_baseline
from vitrine.evaluation.calibration import BINS, calibration_error, reliability
from vitrine.evaluation.corrupted import add_section
from vitrine.evaluation.embedding_map import PROJECTED, drawable, embedding_map, short
from vitrine.evaluation.hierarchy import agreement, mistakes
from vitrine.evaluation.metrics import Measure, bootstrap_intervals, drawn_weights
from vitrine.evaluation.per_class import add_comparison
from vitrine.evaluation.roc import micro_roc, roc
from vitrine.evaluation.sample import units_of
from vitrine.predictions import LabelPredictions, PhotoPredictions
from vitrine.report import Page, Photo, Tile, percent, thumbnail
from vitrine.untrusted import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTHING_TO_CONFUSE: dict[str, Any] = {  # what KFP takes for an empty matrix and curve
    "question": "", "categories": [], "matrix": [], "roc": roc(np.zeros(0), np.zeros(0, bool)),
}  # fmt: skip
MATRIX_CLASSES = 25
KFP_CLASSES = 40
EXAMPLES = 12
DRAWS, SEED = 200, 0  # of intervals


@dataclass(frozen=True)
class Top1:
    """The top-1 predictions of a target, annotated photos only.

    Attributes:
        rows: (n,) which photos.
        truth: (n,) the true label; the predicted one where it is among several true ones, else the first.
        predicted: (n,) the best label.
        confidence: (n,) of that label.
        right: (n,) whether it is true.
    """

    rows: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    right: np.ndarray


def top1_predictions(target: LabelPredictions) -> Top1:
    """The top-1 prediction of each annotated photo."""
    rows = np.array([i for i, truth in enumerate(target.truth) if truth], dtype=np.int64)
    best = target.scores[rows].argmax(axis=1) if len(rows) else rows
    predicted = np.array([target.labels[i] for i in best], dtype=object)
    pairs = [(target.truth[row], label) for row, label in zip(rows, predicted, strict=True)]
    right = np.array([label in truth for truth, label in pairs], dtype=bool)
    truth = np.array([label if label in names else names[0] for names, label in pairs], dtype=object)
    return Top1(rows, truth, predicted, target.confidence[rows].astype(np.float64), right)


def classification_artifacts(predictions: PhotoPredictions) -> dict[str, Any]:
    """A confusion matrix and a ROC curve in the form of KFP's `ClassificationMetrics`.

    Of the coarsest category level that has something to confuse, or of the attribute type with the most
    annotated photos; with more than 40 labels, all but the 39 most frequent are counted as `other`.

    Returns:
        `target`, `categories` (C names), `matrix` (C x C counts; rows are true, columns predicted) and `roc` (see
        `micro_roc`).

    Where no photo is annotated for anything that was predicted, there are no categories.
    """
    annotated = [(target, top1_predictions(target)) for target in predictions.targets if any(target.truth)]
    if not annotated:
        return NOTHING_TO_CONFUSE
    levels = [pair for pair in annotated if pair[0].name.startswith("level")]
    several = [pair for pair in levels if len({*pair[1].truth, *pair[1].predicted}) > 1]
    by_size = sorted(annotated, key=lambda pair: -len(pair[1].rows))
    target, top1 = (several or levels or by_size)[0]
    names = [label for label, _ in Counter([*top1.truth, *top1.predicted]).most_common()]
    kept = sorted(names if len(names) <= KFP_CLASSES else names[: KFP_CLASSES - 1])
    categories = kept if len(kept) == len(names) else [*kept, "other"]
    matrix = _confusions(top1, kept, rest=len(categories) > len(kept))
    return {
        "question": target.name,
        "categories": categories,
        "matrix": matrix.tolist(),
        "roc": micro_roc(target),
    }


def label_page(
    predictions: PhotoPredictions,
    catalog: Catalog,
    metrics: Mapping[str, float],
    title: str,
    headlines: Sequence[str],
    measure: Measure,
    compared: Sequence[PhotoPredictions] = (),
    champion: Mapping[str, float] | None = None,
) -> Page:
    """The page of an evaluation of labels.

    Args:
        predictions: The model's.
        catalog: The rows that were predicted, in order.
        metrics: All figures.
        title: Of the page.
        headlines: The figures at its top; the first decides against a champion.
        measure: Of the task, for the intervals: see `label_metrics`.
        compared: Other models' predictions for the same photos, such as the teachers'.
        champion: The metrics of the model in use on the same photos.
    """
    page = Page(
        title,
        f"{predictions.task} · {len(predictions.images):,} photos · data "
        f"{catalog.data_version or 'of unknown version'} · {metrics['seconds_per_1000_images']:.1f} s per 1,000 photos",
    )
    counted, units = units_of(catalog.table)
    intervals = bootstrap_intervals(predictions, measure, units, DRAWS, SEED)
    page.tiles(_tile(key, metrics, intervals, champion) for key in headlines if key in metrics)
    if champion is not None:
        _compare(page, metrics, champion, intervals, headlines[0])
    add_baseline(page, metrics)
    targets = {target.name: target for target in predictions.targets if any(target.truth)}
    answered = {name: top1_predictions(target) for name, target in targets.items()}
    page.heading("All questions", f"With 95 % intervals over which {counted} happened to be in the test set.")
    page.table(
        ["question", "labels", "annotated photos", "right", "95 %", "calibration error"],
        [_summary(targets[name], top1, units) for name, top1 in answered.items()],
    )
    levels = [name for name in answered if name.startswith("level")]
    if len(levels) > 1:
        _per_root(page, answered[levels[0]], answered[levels[-1]])
    if levels:
        _in_the_tree(page, [targets[name] for name in levels], metrics)
        _looked_at(page, answered[levels[-1]], predictions, catalog)
    _attributes(
        page,
        {name: type_answers for name, type_answers in answered.items() if name.startswith("attr:")},
        answered,
        levels,
    )
    for name, top1 in answered.items():
        _target(page, targets[name], top1, predictions, catalog)
    page.heading(
        "Can the confidence be believed?",
        "Bars on the dashed line are honest; below it the model is surer than it is right. Grey: share of photos.",
    )
    page.figure(_reliability(answered), "share right against confidence, per question")
    _embeddings(page, predictions, answered)
    add_comparison(page, predictions, compared)
    add_section(page, metrics)
    return page


def _tile(
    key: str,
    metrics: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    champion: Mapping[str, float] | None,
) -> Tile:
    low, high = intervals[key]
    tone = ""
    if champion is not None and key in champion:
        tone = "good" if metrics[key] > champion[key] else "bad" if metrics[key] < champion[key] else ""
    return Tile(key, percent(metrics[key]), tone, f"95 %: {100 * low:.1f} – {100 * high:.1f}")


def _compare(
    page: Page,
    metrics: Mapping[str, float],
    champion: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    headline: str,
) -> None:
    keys = [key for key in metrics if key in champion and key in intervals]
    if headline in keys:
        change = 100 * (metrics[headline] - champion[headline])
        page.verdict = f"{headline}: {change:+.1f} points against the model in use"
        page.tone = "good" if change > 0 else "bad" if change < 0 else "warn"
    page.heading("Against the model in use", "Both measured on these photos. Points of change, largest loss first.")
    rows = sorted(((metrics[key] - champion[key], key) for key in keys), key=lambda row: row[0])
    page.table(
        ["figure", "this model", "model in use", "change"],
        [(key, percent(metrics[key]), percent(champion[key]), f"{100 * change:+.1f}") for change, key in rows],
    )
    only = [f"{key} (only this model)" for key in intervals if key not in champion]
    only += [f"{key} (only the model in use)" for key in champion if key not in metrics]
    if only:
        page.text(f"Not comparable: {', '.join(sorted(only))}.")


def _summary(target: LabelPredictions, top1: Top1, units: np.ndarray) -> tuple[str, int, str, str, str, str]:
    right = top1.right.astype(np.float64)
    means = [np.average(right, weights=weights) for weights in drawn_weights(units[top1.rows], DRAWS, SEED)]
    low, high = np.quantile(means, [0.025, 0.975])
    interval = f"{100 * low:.1f} – {100 * high:.1f}"
    error = percent(calibration_error(top1.confidence, top1.right))
    return _title(target.name), len(target.labels), f"{len(right):,}", percent(right.mean()), interval, error


def _per_root(page: Page, coarse: Top1, fine: Top1) -> None:
    """Accuracy of the deepest level under each root of the tree."""
    root = dict(zip(coarse.rows.tolist(), coarse.truth.tolist(), strict=True))
    roots = np.array([root.get(row, "") for row in fine.rows.tolist()], dtype=object)
    rows = []
    for name in sorted({*roots} - {""}):
        under = roots == name
        classes = [fine.right[under & (fine.truth == label)].mean() for label in {*fine.truth[under]}]
        rows.append(
            (name, int(under.sum()), percent(fine.right[under].mean()), percent(np.mean(classes)), len(classes))
        )
    page.heading(
        "Deepest level, per root of the tree", "Bars: mean over the classes of a root, so that rare ones count."
    )
    page.bars([(row[0], float(row[3].rstrip(" %")), row[3]) for row in rows], maximum=100)
    page.table(["root", "photos", "right", "right, mean over classes", "classes"], rows)


def _in_the_tree(page: Page, levels: Sequence[LabelPredictions], metrics: Mapping[str, float]) -> None:
    """How far mistakes lie from the truth, and whether levels agree."""
    heights = mistakes(levels[-1])
    if len(heights):
        page.heading(
            "How far off the mistakes are",
            "Levels up from the true class to the first node above the answer too. 1: a sibling was answered.",
        )
        counts = np.bincount(heights)
        shares = [(f"{steps} up", counts[steps] / len(heights)) for steps in range(1, len(counts))]
        page.bars([(label, share, percent(share)) for label, share in shares], maximum=1)
    if len(levels) > 1:
        apart = ""
        if "consistency" in metrics:
            apart = f" Asked separately they do for {percent(metrics['consistency'])}."
        page.text(
            "A group's probability is the sum over its classes, so probabilities agree. The likeliest answers of all "
            f"levels are one path for {percent(agreement(levels).mean())} of the photos; of the others the likeliest "
            f"class lies outside of the likeliest group.{apart}"
        )


def _looked_at(page: Page, top1: Top1, predictions: PhotoPredictions, catalog: Catalog) -> None:
    """Saliency maps of the salient-sensitive module, of photos predicted right and wrong."""
    if predictions.maps is None:
        return
    from vitrine.data.heat import heat_thumbnail, spread

    page.heading("Where the net looks", "In colour: cells that weigh most. An even sample of right and wrong answers.")
    generator = np.random.default_rng(SEED)
    shown = []
    for right in (True, False):
        of_kind = np.flatnonzero(top1.right == right)
        for i in generator.permutation(of_kind)[: EXAMPLES // 2].tolist():
            row = int(top1.rows[i])
            picture = heat_thumbnail(catalog.uri(predictions.images[row]), spread(predictions.maps[row]))
            lines = [short(top1.predicted[i], 40)] + ([] if right else [f"true: {short(top1.truth[i], 40)}"])
            shown.append(Photo(picture, lines, "good" if right else "bad"))
    page.photos(shown)


def _attributes(page: Page, kinds: Mapping[str, Top1], answered: Mapping[str, Top1], levels: Sequence[str]) -> None:
    """Per attribute its own accuracy and that of the category on the photos annotated for it (the paper's Table 2)."""
    if not kinds or not levels:
        return
    right = dict(zip(answered[levels[-1]].rows.tolist(), answered[levels[-1]].right.tolist(), strict=True))
    rows = []
    for name, top1 in kinds.items():
        commonest = Counter(top1.truth.tolist()).most_common(1)[0][1] / len(top1.rows)
        category = [right[row] for row in top1.rows.tolist() if row in right]
        shown = percent(float(np.mean(category))) if category else "–"
        rows.append((_title(name), len(top1.rows), percent(top1.right.mean()), percent(commonest), shown))
    page.heading("Attributes beside the category")
    page.table(["attribute", "photos", "right", "always the commonest", "category right on these photos"], rows)


def _target(page: Page, target: LabelPredictions, top1: Top1, predictions: PhotoPredictions, catalog: Catalog) -> None:
    page.heading(
        _title(target.name),
        f"{percent(top1.right.mean())} of {len(top1.rows):,} annotated photos right. Worst classes first.",
    )
    page.table(
        ["class", "photos", "recall", "precision", "most often taken for"],
        _classes(target, top1),
        shown=40,
    )
    names, covered = _most_confused(top1)
    if len(names) > 1:
        if covered < 1:
            page.text(
                f"The {len(names)} classes with the most confusions; they hold {percent(covered)} of all mistakes."
            )
        page.figure(_matrix(top1, names), f"confusion matrix of {target.name}")
    wrong = np.flatnonzero(~top1.right)
    wrong = wrong[np.argsort(-top1.confidence[wrong], kind="stable")][:EXAMPLES]
    right = np.flatnonzero(top1.right)
    right = np.random.default_rng(SEED).permutation(right)[: EXAMPLES // 2]
    page.heading(f"{_title(target.name)}: mistakes", "Most confident first. Some are wrong labels in the catalog.")
    page.photos((_example(top1, i, predictions, catalog) for i in wrong.tolist()), "No mistakes.")
    page.heading(f"{_title(target.name)}: right", "An even sample.")
    page.photos((_example(top1, i, predictions, catalog) for i in right.tolist()), "None.")


def _classes(target: LabelPredictions, top1: Top1) -> list[tuple[str, int, str, str, str]]:
    rows = []
    labels = set(target.labels)
    support = Counter(label for truth in target.truth for label in set(truth))
    hits = Counter(top1.predicted[top1.right].tolist())
    given = Counter(top1.predicted.tolist())
    mistaken: dict[str, Counter[str]] = {}
    for row, label, right in zip(top1.rows, top1.predicted, top1.right, strict=True):
        if not right:
            for name in target.truth[row]:
                mistaken.setdefault(name, Counter())[label] += 1
    for name in sorted(support, key=lambda name: (hits[name] / support[name], -support[name])):
        precision = percent(hits[name] / given[name]) if given[name] else "–"
        worst = mistaken.get(name, Counter()).most_common(1)
        taken = f"{worst[0][0]} ({worst[0][1]})" if worst else ""
        shown = name if name in labels else f"{name} (unknown to the model)"
        rows.append((shown, support[name], percent(hits[name] / support[name]), precision, taken))
    return rows


def _most_confused(top1: Top1) -> tuple[list[str], float]:
    """At most 25 classes that take part in the most confusions, and the share of mistakes among them."""
    wrong = ~top1.right
    count = Counter([*top1.truth[wrong], *top1.predicted[wrong]])
    every = sorted({*top1.truth, *top1.predicted})
    if len(every) <= MATRIX_CLASSES:
        return every, 1.0
    names = sorted(sorted(every, key=lambda name: -count[name])[:MATRIX_CLASSES])
    inside = np.isin(top1.truth[wrong], names) & np.isin(top1.predicted[wrong], names)
    return names, float(inside.mean()) if len(inside) else 1.0


def _confusions(top1: Top1, names: list[str], rest: bool) -> np.ndarray:
    """(C, C) counts, true by predicted; with `rest` a last row and column for all other labels."""
    place = {name: i for i, name in enumerate(names)}
    size = len(names) + rest
    pairs = [
        (place.get(truth, len(names)), place.get(label, len(names)))
        for truth, label in zip(top1.truth, top1.predicted, strict=True)
    ]
    matrix = np.zeros((size, size), dtype=np.int64)
    for i, j in pairs:
        if i < size and j < size:
            matrix[i, j] += 1
    return matrix


def _matrix(top1: Top1, names: list[str]) -> "Figure":
    from matplotlib.figure import Figure

    counts = _confusions(top1, names, rest=False)
    totals = np.array([(top1.truth == name).sum() for name in names])
    shares = counts / np.maximum(totals, 1)[:, None]
    side = 2.6 + 0.34 * len(names)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    shown = [plain(short(name)) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(names)), [f"{n} ({t})" for n, t in zip(shown, totals, strict=True)], fontsize=8)
    axes.set_xlabel("predicted", fontsize=9, color="#667085")
    axes.set_ylabel("true (photos)", fontsize=9, color="#667085")
    for i, j in zip(*np.nonzero(counts), strict=True):
        ink = "white" if shares[i, j] > 0.5 else "#1d2330"
        axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=7, color=ink)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of the true class")
    return figure


def _reliability(answered: Mapping[str, Top1]) -> "Figure":
    from matplotlib.figure import Figure

    columns = min(4, len(answered))
    rows = -(-len(answered) // columns)
    figure = Figure(figsize=(2.7 * columns + 0.3, 2.7 * rows), layout="constrained")
    for i, (name, top1) in enumerate(answered.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        edges = np.arange(BINS) / BINS
        shares, accuracies, _ = (
            np.array(values) for values in zip(*reliability(top1.confidence, top1.right), strict=True)
        )
        axes.bar(edges, shares, 1 / BINS, align="edge", color="#e4e7ec")
        axes.bar(edges, np.nan_to_num(accuracies), 0.8 / BINS, align="edge", color="#3454d1", alpha=0.85)
        axes.plot([0, 1], [0, 1], "--", color="#1d2330", linewidth=1)
        error = 100 * calibration_error(top1.confidence, top1.right)
        axes.set_title(f"{plain(_title(name))}: off by {error:.1f} points", fontsize=9, loc="left")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_xlabel("confidence", fontsize=8, color="#667085")
        axes.set_ylabel("share right", fontsize=8, color="#667085")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _embeddings(page: Page, predictions: PhotoPredictions, answered: Mapping[str, Top1]) -> None:
    generator = np.random.default_rng(SEED)
    levels = [name for name in answered if name.startswith("level")]
    name = levels[0] if levels else max(answered, key=lambda name: len(answered[name].rows))
    photos = len(predictions.images)
    rows = np.sort(generator.choice(photos, min(PROJECTED, photos), replace=False))
    points = predictions.embeddings[rows].astype(np.float64)
    page.heading("Embeddings", f"Photos that lie close look alike to the model (t-SNE). Coloured by {_title(name)}.")
    if not drawable(points):
        page.text("Not shown: there are fewer than 10 photos, or all of them have the same embedding.")
        return
    truth = dict(zip(answered[name].rows.tolist(), answered[name].truth.tolist(), strict=True))
    page.figure(embedding_map(points, [truth.get(row, "") for row in rows.tolist()]), "embeddings in two dimensions")


def _example(top1: Top1, i: int, predictions: PhotoPredictions, catalog: Catalog) -> Photo:
    image = predictions.images[top1.rows[i]]
    predicted, true = short(top1.predicted[i], 40), short(top1.truth[i], 40)
    lines = [predicted, f"{100 * top1.confidence[i]:.0f} % sure"]
    lines += [] if top1.right[i] else [f"true: {true}"]
    return Photo(thumbnail(catalog.uri(image)), lines, "good" if top1.right[i] else "bad")


def _title(name: str) -> str:
    return f"Category, level {name.removeprefix('level')}" if name.startswith("level") else name.removeprefix("attr:")


def label_examples(
    predictions: PhotoPredictions, catalog: Catalog, count: int, seed: int = 0
) -> list[dict[str, object]]:
    """A few annotated photos, drawn at random, with the model's predictions: `thumbnail`, `caption`, `tone`.

    Captions hold the finest category level, or for a net that answers no categories every attribute type the photo is
    annotated for: beside categories, attributes are learnt for their sake, and another net answers them better.
    """
    levels = [target for target in predictions.targets if target.name.startswith("level")]
    shown = levels[-1:] or [target for target in predictions.targets if target.name.startswith("attr:")]
    annotated = [row for row in range(len(predictions.images)) if any(target.truth[row] for target in shown)]
    drawn = np.random.default_rng(seed).permutation(annotated)[:count]
    examples: list[dict[str, object]] = []
    for row in sorted(drawn.tolist()):
        lines, wrong = [], 0
        for target in shown:
            if not target.truth[row]:
                continue
            best = target.labels[int(target.scores[row].argmax())]
            right = best in target.truth[row]
            wrong += not right
            lines.append(
                f"{'✓' if right else '✗'} {_last(best)}" + ("" if right else f" (is {_last(target.truth[row][0])})")
            )
        picture = thumbnail(catalog.uri(predictions.images[row]))
        examples.append({"thumbnail": picture, "caption": lines, "tone": _tone(wrong, len(lines))})
    return examples


def _tone(wrong: int, asked: int) -> str:
    if not wrong:
        return "good"
    return "bad" if 2 * wrong > asked else "warn"


def _last(label: str) -> str:
    return label.rpartition("/")[2]
