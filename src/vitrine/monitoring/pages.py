"""The pages of a drift comparison: a short one that says what moved, and Evidently's full one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vitrine.evaluation.shift import DriftRules, Finding, kind_of, label_shares, nearest_photos, signal_title, strongest
from vitrine.monitoring.statistics import STATISTICS
from vitrine.report import Page, Photo, Tile, thumbnail
from vitrine.report.harmless import confined, harmless
from vitrine.untrusted import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vitrine.monitoring.drift import Drift, Side

BEFORE, NOW = "#98a2b3", "#3454d1"
MAP = "map.html"
OLD, NEW = "Reference", "New photos"
PLOTS = 9
OF_ALL = ("embedding", "neighbours")  # kinds of signals that all components of the embeddings make together
SHOWN_LABELS = 8
SAMPLES = 12


def report_page(
    drift: "Drift",
    before: "Side",
    now: "Side",
    rules: DriftRules,
    without_full: str = "",
    with_map: bool = False,
    full: bool = True,
) -> Page:
    """The page a person reads: verdict, what moved, distributions, photos of both sides.

    Args:
        drift: The verdict.
        before: The reference.
        now: The new photos.
        rules: When to alarm.
        without_full: Why there is no page of Evidently's although it was asked for.
        with_map: Whether there is a map beside it.
        full: Whether Evidently's page was asked for.
    """
    before, now = _turned(before, now)
    moved = [finding for finding in drift.findings if finding.moved]
    page = Page(
        "Drift of the photos",
        f"{now.photos:,} new photos ({now.data_version or 'unknown version'}) against "
        f"{before.photos:,} of the reference ({before.data_version or 'unknown version'})",
        "Drift" if drift.drifted else "No drift" if drift.findings else "Nothing compared",
        "bad" if drift.drifted else "warn" if drift.unsure else "good",
    )
    page.text(drift.reason)
    if before.model:
        page.text(f"Predictions and embeddings are those of {before.model}.")
    compared = [finding for finding in drift.findings if finding.kind != "new labels"]
    page.tiles(
        [
            Tile("signals that moved", f"{len(moved)} of {len(drift.findings)}", "bad" if moved else "good"),
            Tile("new photos measured", f"{len(now.table):,}", hint=_unreadable(now.table)),
            Tile("reference photos", f"{len(before.table):,}", hint=_unreadable(before.table)),
        ]
    )
    if drift.broken:
        page.heading("Could not be computed", "Whether these signals moved is not known. The others are judged.")
        page.table(["signal", "reason"], [(signal_title(name), reason) for name, reason in drift.broken])
    page.heading("What moved", "A signal has moved when its distance is beyond its threshold.")
    page.table(
        ["signal", "kind", "what changed", "distance", "threshold", "p"],
        [(signal_title(f.signal), f.kind, f.change, *_in_figures(f)) for f in moved],
    )
    page.heading("All signals", "Distance in thresholds: 1 is where a signal counts as moved. Bars end at 3.")
    page.bars(((signal_title(f.signal), min(f.ratio, 3.0), f"{f.ratio:.2f}") for f in compared), maximum=3.0)
    if compared:
        page.heading("Distributions", "Grey is the reference, blue the new photos. Furthest moved first.")
        page.figure(_distributions(compared[:PLOTS], before, now), "distributions of both sides")
    _photos(page, drift, before, now)
    if still := [f for f in drift.findings if f.kind == "new labels" and not f.moved]:
        page.heading("Labels seen for the first time", "So few that the reference may have missed them by chance.")
        page.table(["label column", "labels"], [(signal_title(f.signal), f.change) for f in still])
    if drift.not_compared:
        page.heading("Not compared")
        page.table(["signal", "reason"], [(signal_title(name), reason) for name, reason in drift.not_compared])
    page.heading("How this was decided")
    page.text(
        f"Listings of both sides, whole, are dealt to two sides at random, {rules.draws} times or more. A threshold is "
        f"what all signals and new labels together exceed in {100 * rules.false_alarm_rate:g} % of such deals, and at "
        f"least {rules.min_shift:g} standard deviations for a number (Wasserstein distance), {rules.min_mix:g} for a "
        f"mix of labels (Jensen-Shannon distance), {rules.min_embedding:g} for embeddings (Fréchet distance) and "
        f"{rules.min_neighbours:g} for neighbours (the share of new photos that lie by themselves). p is the chance of "
        "such a distance in any of the signals. A label that the reference never had counts when more "
        "photos have one than its rare labels let expect."
    )
    links = [("Figures", "results.json", "the same for programs")]
    if without_full:
        page.text(f"Evidently's full comparison could not be made: {without_full}.")
    elif full:
        links.insert(0, ("Full comparison", "evidently.html", "every signal's distribution, by Evidently (3.7 MB)"))
    if with_map:
        links.insert(0, ("Map", MAP, "photos of both sides, near each other where they look alike to the model"))
    page.links(links)
    return page


def _in_figures(finding: Finding) -> tuple[str, str, str]:
    """Distance, threshold and p; of new labels the first two are photos."""
    form = ",.0f" if finding.kind == "new labels" else ".3f"
    p_value = "< 0.001" if finding.p_value < 0.001 else f"{finding.p_value:.3f}"
    return format(finding.distance, form), format(finding.threshold, form), p_value


def map_page(before: "Side", now: "Side", path: Path) -> bool:
    """Both sides on one map, as the model that the reference was made with sees them.

    Returns:
        False, and no page, where no model answered.
    """
    from vitrine.report.map import Colouring, laid_out, write_map

    components = _components(before.table)
    if not components or not set(components) <= set(now.table.columns):
        return False
    sides = [side.table.dropna(subset=components).assign(side=word) for side, word in ((before, OLD), (now, NEW))]
    table = pd.concat(sides, ignore_index=True)
    named = [name for name in table if kind_of(str(name)) in ("labels", "predictions") and name != "readable"]
    shown = table[["side", *named]].astype(object).fillna("")
    captions = [
        [photo, *dict.fromkeys(filter(None, labels))]
        for photo, labels in zip(table["photo"], shown.itertuples(index=False), strict=True)
    ]
    write_map(
        path,
        "The reference and the new photos as a map",
        f"{len(sides[1]):,} new photos among {len(sides[0]):,} of the reference. Near each other lies what looks alike "
        "to the model; new photos that lie by themselves are what it has not seen.",
        laid_out(table[components].to_numpy(np.float64)),
        table["photo"].tolist(),
        captions,
        [Colouring(signal_title(str(name)).capitalize(), shown[name].tolist()) for name in shown],
    )
    return True


def evidently_page(drift: "Drift", before: "Side", now: "Side", path: Path) -> None:
    """Evidently's page of the compared signals, with this comparison's thresholds.

    Embeddings are judged there by a domain classifier (can a model tell the two sides apart?), a second opinion.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import EmbeddingsDrift, ValueDrift
    from evidently.metrics.embeddings import ModelDriftMethod

    before, now = _turned(before, now)
    single = [f for f in drift.findings if f.kind not in ("new labels", *OF_ALL)]
    numbers = [harmless(f.signal) for f in single if f.kind in ("statistic", "confidence")]
    mixes = [harmless(f.signal) for f in single if harmless(f.signal) not in numbers]
    metrics: list[ValueDrift | EmbeddingsDrift] = [
        ValueDrift(
            column=harmless(f.signal),
            method="wasserstein" if harmless(f.signal) in numbers else "jensenshannon",
            threshold=round(f.threshold, 4),
        )
        for f in single
    ]
    components = []
    if any(f.kind == "embedding" for f in drift.findings):
        components = _components(before.table)
        method = ModelDriftMethod(bootstrap=True, quantile_probability=0.99)
        metrics.append(EmbeddingsDrift(embeddings_name="embedding", drift_method=method))
    definition = DataDefinition(
        numerical_columns=numbers,
        categorical_columns=mixes,
        embeddings={"embedding": components} if components else None,
    )
    sides = []
    for side in (now, before):
        table = side.table.rename(columns=harmless)[[*numbers, *mixes, *components]].copy()
        table[numbers] = table[numbers].round(6)  # a histogram cannot divide a range of a few rounding errors
        for name in mixes:  # labels come from sellers, and the page writes them into a script
            words = {word: harmless(str(word)) for word in table[name].unique() if word != ""}
            table[name] = table[name].map(words).astype(object)
        if components:
            table = table.dropna(subset=components)
        sides.append(Dataset.from_pandas(table, data_definition=definition))
    Report(metrics, include_tests=True).run(*sides).save_html(str(path))
    path.write_text(confined(path.read_text(encoding="utf-8")), encoding="utf-8")


def _photos(page: Page, drift: "Drift", before: "Side", now: "Side") -> None:
    """Photos of both sides: an even sample, and for what moved the new photos that show it most."""
    shown = [finding for finding in drift.findings if finding.moved][:3]
    for finding in shown:
        rows = _most_changed(finding, before.table, now.table)
        page.heading(
            f"New photos: {signal_title(finding.signal)}", f"Those that show the change most ({finding.change})."
        )
        page.photos(_thumbnails(now.table.loc[rows], finding.signal))
    generator = np.random.default_rng(0)
    for name, side in (("New photos", now), ("Reference photos", before)):
        count = min(SAMPLES, len(side.table))
        page.heading(f"{name}, an even sample")
        page.photos(_thumbnails(side.table.iloc[generator.choice(len(side.table), count, replace=False)], ""))


def _most_changed(finding: Finding, before: pd.DataFrame, now: pd.DataFrame) -> pd.Index:
    components = _components(before)
    if finding.kind == "neighbours":
        both = pd.concat([before, now], ignore_index=True)
        near = nearest_photos(both[components].to_numpy(np.float64), np.arange(len(both)))
        share = pd.Series((near[len(before) :] >= len(before)).mean(axis=1), index=now.index)
        return share[now[components].notna().all(axis=1)].nlargest(SAMPLES).index
    if finding.kind == "embedding":
        middle, spread = before[components].mean(), before[components].std().clip(lower=1e-9)
        direction = (now[components].mean() - middle) / spread
        return ((now[components] - middle) / spread @ direction).nlargest(SAMPLES).index
    old, new = before[finding.signal], now[finding.signal]
    if finding.kind in ("statistic", "confidence"):
        return (new - old.mean()).mul(np.sign(new.mean() - old.mean())).nlargest(SAMPLES).index
    was, is_now = label_shares(old), label_shares(new)
    grown = sorted(is_now, key=lambda label: was.get(label, 0.0) - is_now[label])
    if finding.kind == "new labels":
        grown = [label for label in grown if label not in was]
    having = new.map(lambda cell: any(label in cell.split("|") for label in grown[:1]))
    return new.index[having.astype(bool)][:SAMPLES]


def _components(table: pd.DataFrame) -> list[str]:
    """The columns of the embeddings."""
    return [column for column in table.columns if kind_of(column) == "embedding"]


def _turned(before: "Side", now: "Side") -> tuple["Side", "Side"]:
    """Both sides with embeddings in the directions that were compared, the strongest first."""
    names = _components(before.table)
    if not names or not set(names) <= set(now.table.columns):
        return before, now
    sides, start = [], 0
    points = strongest(pd.concat([before.table[names], now.table[names]]).to_numpy(np.float64))
    for side in (before, now):
        own = points[start : start + len(side.table)]
        part = pd.DataFrame(own, index=side.table.index, columns=names[: points.shape[1]])
        sides.append(replace(side, table=pd.concat([side.table.drop(columns=names), part], axis=1)))
        start += len(part)
    return sides[0], sides[1]


def _thumbnails(rows: pd.DataFrame, signal: str) -> list[Photo]:
    photos = []
    for _, row in rows.iterrows():
        value = row.get(signal, "")
        caption = f"{value:.2f}" if isinstance(value, float) else str(value)
        name = str(row["photo"]).rpartition("/")[2]
        photos.append(Photo(thumbnail(row["photo"]), [line for line in (caption, name) if line]))
    return photos


def _distributions(findings: Sequence[Finding], before: "Side", now: "Side") -> "Figure":
    from matplotlib.figure import Figure

    columns = 3
    rows = -(-len(findings) // columns)
    figure = Figure(figsize=(11, 2.9 * rows), layout="constrained")
    for i, finding in enumerate(findings):
        axes = figure.add_subplot(rows, columns, i + 1)
        if finding.kind in OF_ALL:
            _plot_points(axes, before.table, now.table)
        elif finding.kind in ("labels", "predictions"):
            _plot_shares(axes, before.table[finding.signal], now.table[finding.signal])
        else:
            _plot_numbers(axes, before.table[finding.signal], now.table[finding.signal])
        axes.set_title(
            signal_title(finding.signal), fontsize=10, fontweight="bold" if finding.moved else "normal", loc="left"
        )
        if finding.signal in STATISTICS:
            axes.set_xlabel(STATISTICS[finding.signal], fontsize=8, color="#667085")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure


def _plot_numbers(axes: "Axes", before: pd.Series, now: pd.Series) -> None:
    old, new = before.dropna().to_numpy(), now.dropna().to_numpy()
    low, high = np.quantile(np.concatenate([old, new]), [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1, 31)
    bins = edges.tolist()
    old_share, new_share = (
        np.histogram(np.clip(values, low, bins[-1]), bins)[0] * 100 / len(values) for values in (old, new)
    )
    axes.stairs(old_share, edges, fill=True, color=BEFORE, alpha=0.55)
    axes.stairs(new_share, edges, color=NOW, linewidth=1.6)
    axes.set_ylabel("% of photos", fontsize=8, color="#667085")


def _plot_shares(axes: "Axes", before: pd.Series, now: pd.Series) -> None:
    old, new = label_shares(before), label_shares(now)
    labels = sorted({*old, *new}, key=lambda label: -abs(new.get(label, 0) - old.get(label, 0)))[:SHOWN_LABELS][::-1]
    places = np.arange(len(labels))
    axes.barh(places + 0.2, [100 * old.get(label, 0) for label in labels], 0.38, color=BEFORE)
    axes.barh(places - 0.2, [100 * new.get(label, 0) for label in labels], 0.38, color=NOW)
    axes.set_yticks(places, [_plain(label.rpartition("/")[2]) for label in labels])
    axes.set_xlabel("% of labels; those that changed most", fontsize=8, color="#667085")


def _plot_points(axes: "Axes", before: pd.DataFrame, now: pd.DataFrame) -> None:
    names = _components(before)
    first, second = names[0], names[min(1, len(names) - 1)]
    axes.scatter(before[first], before[second], s=4, color=BEFORE, alpha=0.5, linewidths=0)
    axes.scatter(now[first], now[second], s=4, color=NOW, alpha=0.5, linewidths=0)
    axes.set_xlabel("first two principal components", fontsize=8, color="#667085")


def _plain(text: str, length: int = 22) -> str:
    """Cut to `length`, with no `$...$` for matplotlib to read as a formula."""
    return plain(text if len(text) <= length else f"{text[: length - 1]}…")


def _unreadable(table: pd.DataFrame) -> str:
    count = int((table["readable"] == "no").sum())
    return f"{count} cannot be read" if count else ""
