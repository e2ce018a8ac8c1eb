"""Figures and the page of features: recall among the photos themselves at every level of the category tree."""

from collections.abc import Mapping

import numpy as np

from vitrine.catalog import Catalog
from vitrine.catalog.tree import CategoryTree
from vitrine.errors import InputError
from vitrine.evaluation.beside import add_baseline
from vitrine.evaluation.metrics import topk, true_ranks
from vitrine.evaluation.recall_curve import recall_curve
from vitrine.predictions import RetrievalPredictions
from vitrine.report import Page, Photo, Tile, percent, thumbnail
from vitrine.retrieval.exact import best_first
from vitrine.retrieval.ranks import Ranks, rank
from vitrine.retrieval.segment import unit_rows

RECALL_AT = (1, 2, 4, 8, 10, 100, 1000)
CURVE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
QUERIES_SHOWN, ANSWERS_SHOWN = 8, 7


def level_ranks(predictions: RetrievalPredictions) -> dict[int, Ranks]:
    """Per level, every labelled photo asked for among all others; levels where no photo has a partner are left out.

    Photos that are in the gallery only (`RetrievalPredictions.asking`) are no queries.
    """
    tree = CategoryTree(predictions.paths)
    by_level = {}
    for level in range(1, tree.depth + 1):
        labels = level_labels(predictions, level)
        asked = labels if predictions.asking is None else np.where(predictions.asking, labels, -1)
        ranks = rank(predictions.embeddings, asked, predictions.embeddings, labels, itself=np.arange(len(labels)))
        if len(ranks.query):
            by_level[level] = ranks
    return by_level


def level_labels(predictions: RetrievalPredictions, level: int) -> np.ndarray:
    """(photos,) the node of each photo at a level as a number, -1 where it is not known."""
    tree = CategoryTree(predictions.paths)
    place = {node: i for i, node in enumerate(tree.level(level))}
    return np.array([place.get(tree.node(path, level), -1) if path else -1 for path in predictions.paths], np.int64)


def representation_metrics(predictions: RetrievalPredictions) -> dict[str, float]:
    """`level<i>/recall@k` of every level, `recall@k` of the deepest, and `level<i>/top1|top5` of the trained ones.

    Raises:
        InputError: if no two photos share a category.
    """
    ranks = level_ranks(predictions)
    if not ranks:
        raise InputError(f"nothing to measure: no two of {len(predictions.images)} photos share a category")
    values: dict[str, float] = {}
    for level, level_rank in ranks.items():
        values |= {f"level{level}/recall@{k}": level_rank.recall(k) for k in RECALL_AT}
        values[f"level{level}/count"] = float(len(level_rank.query))
    values |= {f"recall@{k}": ranks[max(ranks)].recall(k) for k in RECALL_AT}
    for target in predictions.targets:
        if any(target.truth):
            values |= {f"{target.name}/top{k}": topk(true_ranks(target), k) for k in (1, 5)}
    values["count"] = float(len(predictions.images) if predictions.asking is None else predictions.asking.sum())
    values["seconds_per_1000_images"] = 1000.0 * predictions.seconds / len(predictions.images)
    return values


def representation_page(
    predictions: RetrievalPredictions, rows: Catalog, metrics: Mapping[str, float], title: str
) -> Page:
    """Headline figures, recall by level, the curve over k, and queries with what is found for them."""
    ranks = level_ranks(predictions)
    deepest = max(ranks)
    page = Page(
        title,
        f"{metrics['count']:,.0f} photos, each asked for among all {len(predictions.images):,} by cosine, itself left "
        f"out · data "
        f"{rows.data_version or 'of unknown version'} · {metrics['seconds_per_1000_images']:.1f} s per 1,000 photos",
    )
    page.tiles(Tile(f"recall@{k}, level {deepest}", percent(metrics[f"recall@{k}"])) for k in (1, 2, 4, 8))
    add_baseline(page, metrics)
    page.heading("Recall by level", "Share of photos with at least one photo of the same node among the first k.")
    page.table(
        ["level", "queries", "alone in their node", *(f"@{k}" for k in RECALL_AT)],
        [
            (
                level,
                f"{len(level_rank.query):,}",
                f"{level_rank.left_out:,}",
                *(percent(level_rank.recall(k)) for k in RECALL_AT),
            )
            for level, level_rank in ranks.items()
        ],
    )
    lines = {f"level {level}": [of_level.recall(k) for k in CURVE] for level, of_level in ranks.items()}
    page.figure(recall_curve(lines, CURVE, "recall@k"), "recall against k, per level")
    page.heading(
        f"What is found, level {deepest}",
        "A query drawn at random, then its nearest photos; framed green: of the same node, red: of another. Two rows "
        "of names each.",
    )
    for photos in _grids(predictions, rows, deepest, ranks[deepest]):
        page.photos(photos)
    return page


def _grids(predictions: RetrievalPredictions, rows: Catalog, level: int, ranks: Ranks) -> list[list[Photo]]:
    labels, unit = level_labels(predictions, level), unit_rows(predictions.embeddings)
    drawn = np.random.default_rng(0).permutation(ranks.query)[:QUERIES_SHOWN]
    grids = []
    for query in np.sort(drawn).tolist():
        scores = unit @ unit[query]
        scores[query] = -np.inf
        ranked, cosines = best_first(np.arange(len(unit)), scores, ANSWERS_SHOWN)
        photos = [
            Photo(thumbnail(rows.uri(predictions.images[query])), ["query", _last(predictions.paths[query])], "warn")
        ]
        for row, cosine in zip(ranked.tolist(), cosines.tolist(), strict=True):
            tone = "good" if labels[row] == labels[query] else "bad"
            caption = [_last(predictions.paths[row]), f"cosine {cosine:.3f}"]
            photos.append(Photo(thumbnail(rows.uri(predictions.images[row])), caption, tone))
        grids.append(photos)
    return grids


def _last(path: str) -> str:
    return path.rpartition("/")[2] or "no category"
