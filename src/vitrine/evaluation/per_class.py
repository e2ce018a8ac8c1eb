"""What changed between two models, say from the teachers to the student: class by class and in the space of the label
embeddings (MTSS, Fig. 7 and 8)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vitrine.evaluation.embedding_map import drawable, embedding_maps
from vitrine.evaluation.metrics import true_ranks
from vitrine.predictions import LabelPredictions, PhotoPredictions
from vitrine.report import Page, percent
from vitrine.untrusted import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 40  # classes of a figure
AT = 1
PROJECTED = 400  # photos of each of two pictures side by side
SEED = 0


def class_recall(target: LabelPredictions, k: int = AT) -> dict[str, tuple[int, float]]:
    """By class, its photos and the share of them that have it among the top k predictions."""
    ranks = true_ranks(target)
    hits = np.bincount(ranks.label, ranks.hits(k), minlength=len(ranks.names))
    count = np.bincount(ranks.label, minlength=len(ranks.names))
    return {name: (int(count[i]), float(hits[i] / count[i])) for i, name in enumerate(ranks.names)}


def changes(before: LabelPredictions, after: LabelPredictions, k: int = AT) -> list[tuple[str, int, float, float]]:
    """By class: name, photos, recall before and after; the greatest gain first."""
    old, new = class_recall(before, k), class_recall(after, k)
    rows = [(name, count, old[name][1], recall) for name, (count, recall) in new.items() if name in old]
    return sorted(rows, key=lambda row: (row[2] - row[3], row[0]))


def add_comparison(page: Page, outcome: PhotoPredictions, compared: Sequence[PhotoPredictions]) -> None:
    """Figures and a table for each target that another model predicts too."""
    targets = {target.name: target for target in outcome.targets if any(target.truth)}
    for other in compared:
        for target in other.targets:
            if target.name not in targets:
                continue
            rows = changes(target, targets[target.name])
            gained = sum(new > old for _, _, old, new in rows)
            lost = sum(new < old for _, _, old, new in rows)
            kind = target.name.removeprefix("attr:")
            page.heading(
                f"{kind}: class by class against the other model",
                f"Recall@{AT}. {gained} classes gain, {lost} lose, of {len(rows)}.",
            )
            page.figure(_figure(rows[:SHOWN]), f"change of recall per class of {target.name}")
            page.table(
                ["class", "photos", "other model", "this model", "change, points"],
                [(name, n, percent(old), percent(new), f"{100 * (new - old):+.1f}") for name, n, old, new in rows],
                shown=SHOWN,
            )
            if kind in other.label_embeddings and kind in outcome.label_embeddings:
                before, after = (predictions.label_embeddings[kind] for predictions in (other, outcome))
                _spaces(page, targets[target.name], before, after)


def _spaces(page: Page, target: LabelPredictions, before: np.ndarray, after: np.ndarray) -> None:
    annotated = [row for row, truth in enumerate(target.truth) if truth]
    drawn = np.sort(np.random.default_rng(SEED).permutation(annotated)[:PROJECTED]).astype(np.int64)
    if not drawable(before[drawn]) or not drawable(after[drawn]):
        return
    page.text("Where both place the annotated photos, in the space of the label embeddings (t-SNE, each for itself):")
    spaces = {"other model": before[drawn], "this model": after[drawn]}
    figure = embedding_maps(spaces, [target.truth[row][0] for row in drawn.tolist()])
    page.figure(figure, f"embeddings of {target.name} in two dimensions")


def _figure(rows: Sequence[tuple[str, int, float, float]]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 2.8), layout="constrained")
    axes = figure.add_subplot()
    change = [100 * (new - old) for _, _, old, new in rows]
    colours = ["#3454d1" if value >= 0 else "#c4320a" for value in change]
    axes.bar(range(len(rows)), change, color=colours)
    axes.axhline(0, color="#1d2330", linewidth=0.8)
    names = [plain(f"{name[:24]} ({count})") for name, count, _, _ in rows]
    axes.set_xticks(range(len(rows)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_ylabel("change, points", fontsize=9, color="#667085")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
