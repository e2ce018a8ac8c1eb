"""The page of an evaluation of listings: what it decides by itself, at what cost, and which photos made it say so."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vitrine.catalog import Catalog
from vitrine.data.heat import heat_thumbnail
from vitrine.evaluation.beside import add_baseline
from vitrine.evaluation.calibration import BINS, reliability
from vitrine.evaluation.embedding_map import PROJECTED, embedding_map
from vitrine.evaluation.roc import roc
from vitrine.predictions import ListingPredictions
from vitrine.report import Page, Photo, Tile, percent, thumbnail
from vitrine.tasks.authenticity.decision import ASK, AUTHENTIC, COUNTERFEIT, Costs, mean_cost
from vitrine.tasks.authenticity.metrics import RATES, Judged, attention_by_view, judged, rates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = {"wrong": 8, "asked": 6, "right": 6}  # listings of each kind on the page
PHOTOS = 6  # of a listing, the least decisive are left out
EVEN = 0.98  # attention this even, of 1, weighs no photo over another
DRAWS = 500
SEED = 0
SOFT, ACCENT, GOOD, WARN, BAD = "#667085", "#3454d1", "#12805c", "#b25e09", "#c4320a"


def listing_page(
    predictions: ListingPredictions,
    catalog: Catalog,
    metrics: Mapping[str, float],
    config: Mapping[str, Any],
    title: str,
) -> Page:
    """The page of an evaluation of listings.

    Args:
        predictions: At least one listing has a verdict.
        catalog: The listings' photos and who judged them.
        metrics: `listing_metrics` of it.
        config: The model's config.json: its costs, and its training curve.
        title: Of the page.
    """
    listings = judged(predictions)
    costs = _costs(config)
    page = Page(
        title,
        f"{config['variant']} · {len(listings.rows):,} listings, {sum(map(len, predictions.images)):,} photos · data "
        f"{catalog.data_version or 'of unknown version'} · {metrics['seconds_per_1000_images']:.1f} s per 1,000 photos",
    )
    page.verdict, page.tone = _verdict(listings, metrics)
    intervals = _intervals(listings, [name for name in (*RATES, "auc") if name in metrics])
    _tiles(page, listings, metrics, costs, intervals)
    add_baseline(page, metrics)
    _verdict_counts(page, listings, predictions, costs)
    _attention(page, predictions, listings, metrics)
    _views(page, metrics)
    page.heading("All figures", "Authentic is the positive class, predicted from a probability of 50 % on.")
    _all_figures(page, metrics, intervals)
    page.heading(
        "Can the probability be believed?",
        "Left: how many authentic listings pass for how many counterfeits that pass with them. Middle: points on the "
        "dashed line are honest. Right: where the thresholds cut.",
    )
    page.figure(_curves(listings, predictions.thresholds, metrics), "ROC curve, calibration and probabilities")
    _listings(page, listings, predictions, catalog)
    _experts(page, listings, predictions, catalog)
    _embeddings(page, listings, predictions)
    _training(page, config.get("history") or [])
    return page


def listing_examples(
    predictions: ListingPredictions, catalog: Catalog, count: int, seed: int = SEED
) -> list[dict[str, object]]:
    """A few listings of known truth, drawn at random, by their deciding photo: `thumbnail`, `caption`, `tone`."""
    listings = judged(predictions)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(listings.rows))[:count])
    examples: list[dict[str, object]] = []
    for i in drawn.tolist():
        row = int(listings.rows[i])
        image = predictions.images[row][_order(predictions, row)[0]]
        tone, sign = {"right": ("good", "✓"), "wrong": ("bad", "✗"), "asked": ("warn", "?")}[_kind(listings, i)]
        lines = [f"{sign} {listings.verdict[i]}", f"{percent(listings.probability[i])} authentic"]
        lines += [] if tone == "good" else [f"is {predictions.truth[row]}"]
        examples.append({"thumbnail": thumbnail(catalog.uri(image)), "caption": lines, "tone": tone})
    return examples


def verdict_confusion(predictions: ListingPredictions) -> dict[str, Any]:
    """Truth against verdict and the ROC curve of authentic, in the form of KFP's `ClassificationMetrics`.

    Returns:
        `target`, `categories` (authentic, counterfeit, ask an expert) and `matrix` (rows are true; no listing truly
        is `ask an expert`), and `roc` (see `roc`).
    """
    listings = judged(predictions)
    categories = [AUTHENTIC, COUNTERFEIT, ASK]
    truth = np.where(listings.authentic, AUTHENTIC, COUNTERFEIT)
    matrix = [
        [int(((truth == true) & (listings.verdict == predicted)).sum()) for predicted in categories]
        for true in categories
    ]
    curve = roc(listings.probability, listings.authentic)
    return {"question": "verdict", "categories": categories, "matrix": matrix, "roc": curve}


def _costs(config: Mapping[str, Any]) -> Costs:
    settings = config["settings"]
    return Costs(settings["accept_counterfeit"], settings["refuse_authentic"], settings["ask"])


def _verdict(listings: Judged, metrics: Mapping[str, float]) -> tuple[str, str]:
    if metrics["asked"] == 1:
        return "Asks an expert about every listing: it is never sure enough to decide", "bad"
    decided, right = 1 - metrics["asked"], metrics["decided_accuracy"]
    sentence = f"Decides {percent(decided)} of the listings by itself and is right about {percent(right)} of those"
    commonest = max(listings.authentic.mean(), 1 - listings.authentic.mean())
    if metrics["accuracy"] <= commonest:
        return f"{sentence}; calling all listings the same would do as well", "bad"
    return sentence, "good" if right >= 0.9 else "warn"


def _tiles(
    page: Page, listings: Judged, metrics: Mapping[str, float], costs: Costs, intervals: Mapping[str, str]
) -> None:
    truth = np.where(listings.authentic, AUTHENTIC, COUNTERFEIT).tolist()
    paid = mean_cost(listings.verdict.tolist(), truth, costs)
    accepted = listings.verdict[~listings.authentic] == AUTHENTIC
    refused = listings.verdict[listings.authentic] == COUNTERFEIT
    page.tiles(
        [
            Tile("Left to an expert", percent(metrics["asked"]), hint="it is not sure enough"),
            Tile(
                "Counterfeits called authentic",
                f"{accepted.sum():,} of {len(accepted):,}",
                "bad" if accepted.any() else "good",
            ),
            Tile(
                "Authentic ones refused", f"{refused.sum():,} of {len(refused):,}", "bad" if refused.any() else "good"
            ),
            Tile(
                "Cost per listing",
                f"{paid:.2f}",
                "good" if paid < costs.ask else "bad",
                f"asking about every listing costs {costs.ask:.2f}",
            ),
            Tile("Right if it must decide all", percent(metrics["accuracy"]), hint=f"95 %: {intervals['accuracy']}"),
        ]
    )


def _verdict_counts(page: Page, listings: Judged, predictions: ListingPredictions, costs: Costs) -> None:
    low, high = predictions.thresholds
    page.heading(
        "What it says, and what is true",
        f"Below {percent(low)} authentic it says counterfeit, from {percent(high)} on authentic, between them it asks. "
        f"That is cheapest where accepting a counterfeit costs {costs.accept_counterfeit:g}, refusing an authentic "
        f"listing {costs.refuse_authentic:g} and asking {costs.ask:g}.",
    )
    rows = []
    for name, truth in ((AUTHENTIC, listings.authentic), (COUNTERFEIT, ~listings.authentic)):
        counts = [int((listings.verdict[truth] == verdict).sum()) for verdict in (AUTHENTIC, COUNTERFEIT, ASK)]
        rows.append((f"is {name}", int(truth.sum()), *counts))
    page.table(["", "listings", "says authentic", "says counterfeit", "asks an expert"], rows)


def _attention(page: Page, predictions: ListingPredictions, listings: Judged, metrics: Mapping[str, float]) -> None:
    if predictions.attention is None:
        page.heading("Attention weights")
        page.text("This system weighs no photos against each other.")
        return
    page.heading(
        "Attention weights",
        "They show which photos drove the verdict; a listing's sum to 100 %. A view above an even share matters.",
    )
    entropy = metrics.get("attention_entropy")
    if entropy is not None and entropy > EVEN:
        page.text(
            "Attention does not work: every photo of a listing gets nearly the same weight "
            f"(evenness {entropy:.3f} of 1)."
        )
    elif entropy is not None:
        page.text(f"Evenness of the weights: {entropy:.2f} (1: every photo the same; 0: one photo decides).")
    shares = attention_by_view(predictions)
    if not shares:
        page.text("The photos of this catalog have no view.")
        return
    page.bars([(view, share, percent(share)) for view, share in sorted(shares.items(), key=lambda item: -item[1])])
    rows = []
    for view, share in sorted(shares.items(), key=lambda item: -item[1]):
        having = [i for i, views in enumerate(predictions.views) if view in views]
        even = np.mean([predictions.views[i].count(view) / len(predictions.views[i]) for i in having])
        first = np.mean([predictions.views[i][int(np.argmax(predictions.attention[i]))] == view for i in having])
        rows.append((view, len(having), percent(share), percent(float(even)), percent(float(first))))
    page.table(["view", "listings", "attention", "even share", "is the deciding photo"], rows)


def _views(page: Page, metrics: Mapping[str, float]) -> None:
    views = [name.split("/")[0] for name in metrics if name.startswith("view:") and name.endswith("/accuracy")]
    if not views:
        return
    page.heading("If only one view is shown", "The same listings, judged by their photos of that view alone.")
    rows = [
        (
            view.removeprefix("view:"),
            int(metrics[f"{view}/count"]),
            *(_share(metrics, f"{view}/{name}") for name in RATES),
        )
        for view in views
    ]
    rows.append(("all photos", int(metrics["count"]), *(_share(metrics, name) for name in RATES)))
    page.table(["view", "listings", *RATES], rows)


def _all_figures(page: Page, metrics: Mapping[str, float], intervals: Mapping[str, str]) -> None:
    rows = [(name, percent(metrics[name]), interval) for name, interval in intervals.items()]
    more = {"decided_accuracy": "right when it decides by itself", "ece": "calibration error"}
    rows += [(title, percent(metrics[name]), "") for name, title in more.items() if name in metrics]
    page.table(["figure", "value", "95 % interval"], rows)


def _share(metrics: Mapping[str, float], name: str) -> str:
    return percent(metrics[name]) if name in metrics else "–"


def _intervals(listings: Judged, names: Sequence[str]) -> dict[str, str]:
    """Of some of the `rates`: 95 % percentile bootstrap over listings."""
    random = np.random.default_rng(SEED)
    drawn = []
    for _ in range(DRAWS):
        rows = random.integers(len(listings.rows), size=len(listings.rows))
        measured = rates(listings.probability[rows], listings.authentic[rows])
        drawn.append([measured[name] for name in names])
    low, high = 100 * np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return {name: f"{low[i]:.1f} – {high[i]:.1f}" for i, name in enumerate(names)}


def _kind(listings: Judged, i: int) -> str:
    if listings.verdict[i] == ASK:
        return "asked"
    return "right" if (listings.verdict[i] == AUTHENTIC) == listings.authentic[i] else "wrong"


def _listings(page: Page, listings: Judged, predictions: ListingPredictions, catalog: Catalog) -> None:
    """Listings with their photos, the heaviest first and once more shaded by its activation map."""
    kinds = np.array([_kind(listings, i) for i in range(len(listings.rows))], dtype=object)
    distance = np.abs(listings.probability - 0.5)
    random = np.random.default_rng(SEED)
    wrong = np.flatnonzero(kinds == "wrong")
    chosen = {
        "wrong": wrong[np.argsort(-distance[wrong], kind="stable")],
        "asked": random.permutation(np.flatnonzero(kinds == "asked")),
        "right": random.permutation(np.flatnonzero(kinds == "right")),
    }
    titles = {
        "wrong": ("Wrong", "Surest first. Some may be wrong verdicts in the catalog."),
        "asked": ("Left to an expert", "An even sample."),
        "right": ("Right", "An even sample."),
    }
    shade = "; shaded: the class activation map of its verdict" if predictions.maps is not None else ""
    for kind, (heading, note) in titles.items():
        rows = chosen[kind]
        page.heading(
            f"Listings: {heading.lower()} ({len(rows):,})",
            f"{note} Up to {PHOTOS} photos, those that decided first{shade}.",
        )
        if not len(rows):
            page.text("None.")
        for i in rows[: SHOWN[kind]].tolist():
            row = int(listings.rows[i])
            words = "asks an expert" if kind == "asked" else f"says {listings.verdict[i]}"
            sure = percent(listings.probability[i])
            page.text(f"{predictions.listings[row]}: {words} ({sure} authentic); is {predictions.truth[row]}.")
            page.photos(_photos(predictions, row, catalog, {"wrong": "bad", "asked": "warn", "right": "good"}[kind]))


def _order(predictions: ListingPredictions, row: int) -> np.ndarray:
    """A listing's photos, the most decisive first: by attention weight, else by its own probability."""
    if predictions.attention is not None:
        weights = np.asarray(predictions.attention[row])
    elif predictions.photo_probability is not None:
        towards = 1 if predictions.probability[row] >= 0.5 else -1
        weights = towards * np.asarray(predictions.photo_probability[row])
    else:
        weights = np.zeros(len(predictions.images[row]))
    return np.argsort(-weights, kind="stable")


def _photos(predictions: ListingPredictions, row: int, catalog: Catalog, tone: str) -> list[Photo]:
    shown = []
    for place, k in enumerate(_order(predictions, row)[:PHOTOS].tolist()):
        uri = catalog.uri(predictions.images[row][k])
        lines = [predictions.views[row][k] or "photo"]
        if predictions.attention is not None:
            lines.append(f"{percent(float(predictions.attention[row][k]))} of attention")
        if predictions.photo_probability is not None:
            lines.append(f"alone {percent(float(predictions.photo_probability[row][k]))} authentic")
        shown.append(Photo(thumbnail(uri), lines, tone if place == 0 else ""))
        if place == 0 and predictions.maps is not None:
            shown.append(Photo(heat_thumbnail(uri, predictions.maps[row][k]), ["saliency"], tone))
    return shown


def _experts(page: Page, listings: Judged, predictions: ListingPredictions, catalog: Catalog) -> None:
    """Verdicts by expert against the model, and products that experts contradict each other about."""
    table = catalog.table
    if "expert" not in table or "listing" not in table or not (table["expert"] != "").any():
        return
    named = table[(table["expert"] != "") & (table["listing"] != "")].drop_duplicates("listing")
    expert_of = dict(zip(named["listing"], named["expert"], strict=True))
    experts = np.array([expert_of.get(predictions.listings[row], "") for row in listings.rows.tolist()], dtype=object)
    page.heading(
        "Experts and the model",
        "An expert whom the model often contradicts judges differently from the others, or better than the model.",
    )
    rows = []
    for name in sorted(set(experts) - {""}):
        of_expert = experts == name
        decided = of_expert & (listings.verdict != ASK)
        agrees = (listings.verdict == AUTHENTIC)[decided] == listings.authentic[decided]
        rows.append(
            (
                name,
                int(of_expert.sum()),
                percent(listings.authentic[of_expert].mean()),
                percent(float((listings.verdict[of_expert] == ASK).mean())),
                percent(float(agrees.mean())) if decided.any() else "–",
                int((~agrees).sum()),
            )
        )
    page.table(
        ["expert", "listings", "called authentic", "model would ask", "model agrees when it decides", "contradicted"],
        rows,
    )
    if "product" in table:
        judged_items = table[(table["product"] != "") & (table["verdict"] != "")].drop_duplicates("listing")
        verdicts_of = judged_items.groupby("product")["verdict"].agg(["size", "nunique"])
        several = verdicts_of[verdicts_of["size"] > 1]
        if len(several):
            page.text(
                f"{len(several):,} products were judged in more than one listing; the verdicts contradict each other "
                f"about {int((several['nunique'] > 1).sum()):,} of them."
            )


def _embeddings(page: Page, listings: Judged, predictions: ListingPredictions) -> None:
    page.heading("Embeddings", "Listings that lie close look alike to the model (t-SNE).")
    rows = listings.rows[np.sort(np.random.default_rng(SEED).permutation(len(listings.rows))[:PROJECTED])]
    points = predictions.embeddings[rows].astype(np.float64)
    if len(rows) < 10 or not np.isfinite(points).all() or not points.std(axis=0).any():
        page.text("Not shown: there are fewer than 10 listings, or all of them have the same embedding.")
        return
    page.figure(embedding_map(points, [predictions.truth[row] for row in rows.tolist()]), "listings in two dimensions")


def _training(page: Page, history: Sequence[Mapping[str, Any]]) -> None:
    if len(history) < 2:
        return
    page.heading(
        "How training went", "The objective falls and the validation score settles; a rise at the end is overfitting."
    )
    page.figure(_history(history), "objective and validation score per epoch")


def _axes(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9, color=SOFT)
    axes.set_ylabel(y, fontsize=9, color=SOFT)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _curves(listings: Judged, thresholds: tuple[float, float], metrics: Mapping[str, float]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 3.4), layout="constrained")
    roc, honest, spread = figure.subplots(1, 3)
    order = np.argsort(-listings.probability, kind="stable")
    last = np.append(np.diff(listings.probability[order]) != 0, True)  # ties are passed together
    passed = [
        np.insert(np.cumsum(positives[order])[last], 0, 0) for positives in (listings.authentic, ~listings.authentic)
    ]
    up, down = (counts / max(1, counts[-1]) for counts in passed)
    roc.plot(down, up, color=ACCENT)
    roc.fill_between(down, up, color=ACCENT, alpha=0.08)
    roc.plot([0, 1], [0, 1], "--", color=SOFT, linewidth=1)
    area = f": area {metrics['auc']:.3f}" if "auc" in metrics else ""
    _axes(roc, f"ROC{area}", "counterfeits that pass", "authentic ones that pass")
    bins = [entry for entry in reliability(listings.probability, listings.authentic) if entry[0]]
    honest.plot([0, 1], [0, 1], "--", color=SOFT, linewidth=1)
    sizes = [20 + 300 * share for share, _, _ in bins]
    honest.scatter([mean for _, _, mean in bins], [true for _, true, _ in bins], s=sizes, color=ACCENT, alpha=0.8)
    honest.set(xlim=(-0.03, 1.03), ylim=(-0.05, 1.05))
    _axes(honest, f"Calibration: off by {100 * metrics['ece']:.1f} points", "says so authentic", "are authentic")
    edges = np.linspace(0, 1, 2 * BINS + 1)
    parts = [listings.probability[listings.authentic], listings.probability[~listings.authentic]]
    spread.hist(parts, edges, stacked=True, color=[GOOD, BAD], alpha=0.85, label=[AUTHENTIC, COUNTERFEIT])
    low, high = thresholds
    spread.axvspan(low, high, color=WARN, alpha=0.12, linewidth=0, label=ASK)
    spread.set_xlim(0, 1)
    spread.legend(frameon=False, fontsize=8)
    _axes(spread, "Probabilities given", "probability of authentic", "listings")
    return figure


def _history(history: Sequence[Mapping[str, Any]]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    epochs = range(1, len(history) + 1)
    axes.plot(epochs, [epoch["loss"] for epoch in history], color=ACCENT, label="objective (Eq. 2)")
    _axes(axes, "", "epoch", "objective")
    lines = axes.get_lines()
    if all(epoch.get("score") is not None for epoch in history):
        other = axes.twinx()
        lines += other.plot(epochs, [epoch["score"] for epoch in history], color=GOOD, label="validation AUC")
        other.set_ylabel("validation AUC", fontsize=9, color=SOFT)
        other.tick_params(labelsize=8)
        other.spines["top"].set_visible(False)
    axes.legend(lines, [str(line.get_label()) for line in lines], frameon=False, fontsize=8, loc="center right")
    return figure
