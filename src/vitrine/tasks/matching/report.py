"""Figures and the page of matching: user photos ask, shop photos are searched (Wang et al., Section 4)."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vitrine.catalog import Catalog
from vitrine.catalog.tree import CategoryTree
from vitrine.errors import InputError
from vitrine.evaluation.beside import add_baseline
from vitrine.evaluation.recall_curve import recall_curve
from vitrine.predictions import RetrievalPredictions
from vitrine.report import Page, Photo, Tile, percent, thumbnail
from vitrine.report.map import laid_out
from vitrine.retrieval.exact import best_first
from vitrine.retrieval.ranks import Ranks, rank
from vitrine.retrieval.segment import unit_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP = (1, 5, 20, 200)
CURVE = (1, 2, 5, 10, 20, 50, 100, 200)
SHELF = 2  # products a node's shop photos show at least, for a search in it to ask anything
SHOWN, ANSWERS = 4, 6  # queries of a kind on the page, and neighbours of each
MAPPED = 250  # photos of each domain in the map of features


def overall_ranks(predictions: RetrievalPredictions) -> Ranks:
    """Every query against all shop photos (the Alibaba protocol)."""
    return _ranks(predictions, *_domains(predictions), "")


def node_ranks(predictions: RetrievalPredictions) -> dict[int, dict[str, Ranks]]:
    """By level and node, its queries against its own shop photos (the Street2Shop protocol).

    Nodes whose shop photos show fewer than two products, or with no query of a product that they show, are left out.
    """
    queries, gallery = _domains(predictions)
    tree = CategoryTree(predictions.paths)
    products = np.asarray(predictions.product_ids, object)
    by_level: dict[int, dict[str, Ranks]] = {}
    for level in range(1, tree.depth + 1):
        nodes = np.array([tree.node(path, level) if path else "" for path in predictions.paths], object)
        by_node = {}
        for node in tree.level(level):
            shelf = gallery[nodes[gallery] == node]
            if len(set(products[shelf]) - {""}) >= SHELF:
                ranks = _ranks(predictions, queries[nodes[queries] == node], shelf, node)
                if len(ranks.query):
                    by_node[node] = ranks
        if by_node:
            by_level[level] = by_node
    return by_level


def matching_metrics(predictions: RetrievalPredictions) -> dict[str, float]:
    """`top1|top5|top20|top200` of the search among all shop photos, and of that within a category.

    A query is a hit at k if one of its first k shop photos shows its product. `level<i>/top<k>` is the mean over all
    queries searched within their node of that level, `category:<path>/top20` over those of one node. `count` are the
    queries whose product a shop photo shows; `without_answer` the others, which nothing could find.

    Raises:
        InputError: if no query's product is in the gallery.
    """
    ranks = overall_ranks(predictions)
    if not len(ranks.query):
        raise InputError(
            f"nothing to measure: none of {len(_domains(predictions)[0])} user photos shows what a shop photo shows"
        )
    values = {f"top{k}": ranks.recall(k) for k in TOP}
    for level, nodes in node_ranks(predictions).items():
        for k in TOP:
            values[f"level{level}/top{k}"] = float(
                np.concatenate([ranks_of.hits(k) for ranks_of in nodes.values()]).mean()
            )
        values |= {f"category:{node}/top20": ranks_of.recall(20) for node, ranks_of in nodes.items()}
        values |= {f"category:{node}/count": float(len(ranks_of.query)) for node, ranks_of in nodes.items()}
        values[f"level{level}/count"] = float(sum(len(ranks_of.query) for ranks_of in nodes.values()))
    values["count"] = float(len(ranks.query))
    values["without_answer"] = float(ranks.left_out)
    values["shop_photos"] = float(len(_domains(predictions)[1]))
    values["seconds_per_1000_images"] = 1000.0 * predictions.seconds / len(predictions.images)
    return values


def matching_page(predictions: RetrievalPredictions, rows: Catalog, metrics: Mapping[str, float], title: str) -> Page:
    """Headline figures, the curve over k (Fig. 6), categories, hits and misses (Fig. 7), a map of features (Fig. 9)."""
    ranks = overall_ranks(predictions)
    page = Page(
        title,
        f"{metrics['count']:,.0f} user photos, each searched among {metrics['shop_photos']:,.0f} shop photos · data "
        f"{rows.data_version or 'of unknown version'} · {metrics['seconds_per_1000_images']:.1f} s per 1,000 photos",
    )
    page.tiles(Tile(f"top-{k}", percent(metrics[f"top{k}"])) for k in TOP)
    add_baseline(page, metrics)
    if metrics["without_answer"]:
        page.text(f"{metrics['without_answer']:,.0f} user photos of products that no shop photo shows are left out.")
    nodes = node_ranks(predictions)
    page.heading("Top-k accuracy", "Share of user photos with the same product among the first k shop photos.")
    page.figure(_curve(ranks, nodes), "top-k accuracy against k")
    page.heading("Within a category", "The category of the query is known, and only its shop photos are searched.")
    page.table(
        ["category", "queries", *(f"top-{k}" for k in TOP)],
        [
            (node, f"{len(ranks_of.query):,}", *(percent(ranks_of.recall(k)) for k in TOP))
            for level in nodes.values()
            for node, ranks_of in level.items()
        ],
    )
    for hit, text in ((True, "Hits"), (False, "Misses")):
        page.heading(
            text, f"Drawn at random; green: same product. Right within the first {ANSWERS}: {'yes' if hit else 'no'}."
        )
        grids = _grids(predictions, rows, ranks, hit)
        for photos in grids:
            page.photos(photos)
        if not grids:
            page.text("None.")
    page.heading("Map of features", "t-SNE of photos drawn at random; lines join user and shop photos of one thing.")
    page.figure(_map(predictions), "t-SNE of the features of both domains")
    return page


def matching_examples(predictions: RetrievalPredictions, rows: Catalog, count: int) -> list[dict[str, object]]:
    """A few queries, each with what was found first: `thumbnail`, `caption`, `tone`."""
    ranks = overall_ranks(predictions)
    gallery = _domains(predictions)[1]
    drawn = np.random.default_rng(0).permutation(len(ranks.query))[: count // 2]
    examples: list[dict[str, object]] = []
    for query in sorted(_domains(predictions)[0][ranks.query[drawn]].tolist()):
        (first,), _ = _nearest(predictions, query, gallery, 1)
        right = predictions.product_ids[first] == predictions.product_ids[query]
        for row, mark, tone in ((query, "?", ""), (first, "✓" if right else "✗", "good" if right else "bad")):
            picture = thumbnail(rows.uri(predictions.images[row]))
            examples.append({"thumbnail": picture, "caption": [f"{mark} {predictions.product_ids[row]}"], "tone": tone})
    return examples


def queries_of(predictions: RetrievalPredictions) -> np.ndarray:
    """The rows that ask: user photos."""
    return _domains(predictions)[0]


def _domains(predictions: RetrievalPredictions) -> tuple[np.ndarray, np.ndarray]:
    domains = np.asarray(predictions.domains, object)
    return np.flatnonzero(domains == "user"), np.flatnonzero(domains == "shop")


def _ranks(predictions: RetrievalPredictions, queries: np.ndarray, gallery: np.ndarray, node: str) -> Ranks:
    names = np.asarray(predictions.product_ids, object)
    labels = pd.factorize(names)[0]
    labels[names == ""] = -1
    compare = None if predictions.compare is None else partial(predictions.compare, category=node)
    features = predictions.embeddings
    return rank(features[queries], labels[queries], features[gallery], labels[gallery], score=compare)


def _nearest(
    predictions: RetrievalPredictions, query: int, gallery: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest neighbours of a query: rows and their scores."""
    import torch
    from torch.nn import functional as F

    asking, shelf = (torch.from_numpy(predictions.embeddings[rows]) for rows in (np.array([query]), gallery))
    if predictions.compare is None:
        scores = F.normalize(asking, dim=1) @ F.normalize(shelf, dim=1).T
    else:
        scores = predictions.compare(asking, shelf, "")
    return best_first(gallery, scores[0].cpu().numpy(), count)


def _curve(ranks: Ranks, nodes: Mapping[int, Mapping[str, Ranks]]) -> "Figure":
    lines = {"all shop photos": [ranks.recall(k) for k in CURVE]}
    for level, by_node in nodes.items():
        hits = [float(np.concatenate([ranks.hits(k) for ranks in by_node.values()]).mean()) for k in CURVE]
        lines[f"within the category, level {level}"] = hits
    return recall_curve(lines, CURVE, "top-k accuracy")


def _grids(predictions: RetrievalPredictions, rows: Catalog, ranks: Ranks, hit: bool) -> list[list[Photo]]:
    queries, gallery = _domains(predictions)
    wanted = ranks.query[(ranks.hits(ANSWERS) > 0.5) == hit]
    drawn = np.random.default_rng(0).permutation(wanted)[:SHOWN]
    grids = []
    for query in queries[np.sort(drawn)].tolist():
        ranked, scores = _nearest(predictions, query, gallery, ANSWERS)
        photos = [
            Photo(thumbnail(rows.uri(predictions.images[query])), ["query", predictions.product_ids[query]], "warn")
        ]
        for row, score in zip(ranked.tolist(), scores.tolist(), strict=True):
            tone = "good" if predictions.product_ids[row] == predictions.product_ids[query] else "bad"
            photos.append(
                Photo(
                    thumbnail(rows.uri(predictions.images[row])), [predictions.product_ids[row], f"{score:.3f}"], tone
                )
            )
        grids.append(photos)
    return grids


def _map(predictions: RetrievalPredictions) -> "Figure":
    """Fig. 9: unit features in the plane, by t-SNE."""
    from matplotlib.figure import Figure

    users, shops = (_drawn(rows) for rows in _domains(predictions))
    chosen = np.concatenate([users, shops])
    places = laid_out(unit_rows(predictions.embeddings[chosen]))
    figure = Figure(figsize=(7.2, 5.2), layout="constrained")
    axes = figure.add_subplot()
    shop_place = {predictions.product_ids[row]: place for row, place in zip(shops, places[len(users) :], strict=True)}
    for row, place in zip(users, places[: len(users)], strict=True):
        if predictions.product_ids[row] and predictions.product_ids[row] in shop_place:
            other = shop_place[predictions.product_ids[row]]
            axes.plot([place[0], other[0]], [place[1], other[1]], color="0.8", linewidth=0.5, zorder=1)
    for domain_rows, name, colour in (
        (slice(0, len(users)), "user", "tab:orange"),
        (slice(len(users), None), "shop", "tab:blue"),
    ):
        axes.scatter(places[domain_rows, 0], places[domain_rows, 1], s=12, label=name, color=colour, zorder=2)
    axes.set(xticks=[], yticks=[])
    axes.legend(frameon=False)
    return figure


def _drawn(rows: np.ndarray) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(rows)[:MAPPED])
