"""Text or a logo that lies at one place over many photos of a catalog: watermarks.

What is stamped on photos has the same edges at the same place in each, whatever they show. In the mean of all their
gradients it stays, while everything else cancels (Dekel et al., "On the effectiveness of visible watermarks", 2017). What
photos of one pose have in common moves by some pixels from one to the next and leaves broad bands in the mean, which are
taken out; so are copies, of which one is looked at. A photo carries the mark if its own edges there point where those of
the others do.
"""

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.catalog import Catalog
from vitrine.catalog.photos import PhotoError, open_photo
from vitrine.quality.duplicates import Groups
from vitrine.quality.pool import in_order

SIDE = 96  # pixels a photo is brought to, whatever its shape
RIM = 2  # of them that are not looked at
FLAT = 6.0  # grey levels a pixel below which an edge is none
BROAD = 3.0  # pixels: deviation of the blur whose bands belong to a common layout
CLEAR = 3.5  # deviations of chance that an edge of the mean must exceed
BESIDE, WINDOW = 5, 5  # such edges that must lie together, in a square of so many pixels a side
FEWEST_EDGES = 16  # of a mark
STRONGEST = 200  # edges of it that photos are held against
ALIKE = 0.6  # cosine of a photo's edges and the mark's
FEWEST, SAMPLE = 40, 600  # photos a mark can be told from, and is
FEWEST_MARKED = 10
PORTION = 64

Edges = NDArray[np.float32]  # (SIDE - 2 * RIM, SIDE - 2 * RIM, 2): which way, 0 to 1 in length
Mask = NDArray[np.bool_]


def watermarks(
    catalog: Catalog, photos: pd.DataFrame, near: Groups, limit: int, workers: int | None = None
) -> Mask:
    """Which rows carry a mark that many photos carry at the same place, (rows,).

    Args:
        catalog: The photos.
        photos: Their photo table.
        near: Groups of near copies, -1 for a photo that is alone.
        limit: Rows that are looked at once a mark was found.
        workers: Processes that decode photos.
    """
    marked = np.zeros(len(photos), dtype=bool)
    readable = np.flatnonzero(photos["readable"].to_numpy(dtype=bool))
    alone = readable[(near[readable] < 0) | (near[readable] == readable)]
    if len(alone) < FEWEST:
        return marked
    sample = alone[np.linspace(0, len(alone) - 1, min(SAMPLE, len(alone)), dtype=np.int64)]
    edges = _edges_of(catalog, sample, workers)
    scores, places, mark = scored(edges)
    if (scores > ALIKE).sum() < FEWEST_MARKED:
        return marked
    marked[sample[scores > ALIKE]] = True
    others = np.setdiff1d(readable, sample)[:limit]
    for start in range(0, len(others), SAMPLE):
        part = others[start : start + SAMPLE]
        marked[part] = _cosines(_edges_of(catalog, part, workers)[:, places[0], places[1]], mark) > ALIKE
    return marked


def edges_of(grey: NDArray[np.uint8]) -> Edges:
    """Which way each pixel's edge points in a grey photo: of full length where it is clear, shorter where it is faint."""
    shrink = cv2.INTER_AREA if min(grey.shape) >= SIDE else cv2.INTER_LINEAR
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=shrink).astype(np.float32)
    slope = np.stack([small[1:-1, 2:] - small[1:-1, :-2], small[2:, 1:-1] - small[:-2, 1:-1]], axis=-1) / 2
    slope /= np.linalg.norm(slope, axis=-1, keepdims=True) + FLAT
    return np.ascontiguousarray(slope[RIM - 1 : SIDE - RIM - 1, RIM - 1 : SIDE - RIM - 1], dtype=np.float32)


def scored(edges: Edges) -> tuple[NDArray[np.float64], tuple[NDArray[np.int64], NDArray[np.int64]], Edges]:
    """How much each of some photos agrees with the edges that the others have in common, -1 to 1; 0 without a mark.

    Args:
        edges: (photos, ...)

    Returns:
        Those, the places of the mark's edges, and the edges themselves.
    """
    count, total = len(edges), edges.sum(axis=0, dtype=np.float32)
    chance = np.sqrt(np.mean([np.square(each).sum(axis=-1) for each in edges], axis=0) / 2 / count) + 1e-3
    mean = _fine(total / count)
    clear = np.linalg.norm(mean, axis=-1) / chance
    together = cv2.boxFilter((clear > CLEAR).astype(np.float32), -1, (WINDOW, WINDOW), normalize=False)
    strength = np.where((clear > CLEAR) & (together >= BESIDE), clear, 0)
    found = np.flatnonzero(strength)
    if len(found) < FEWEST_EDGES:
        nowhere = np.empty(0, dtype=np.int64)
        return np.zeros(count), (nowhere, nowhere), np.empty((0, 2), np.float32)
    strongest = found[np.argsort(-strength.ravel()[found], kind="stable")[:STRONGEST]]
    down, across = np.unravel_index(strongest, strength.shape)
    # Each is held against the others alone: a photo always agrees with itself.
    others = [_fine((total - each) / (count - 1))[down, across] for each in edges]
    scores = [float(_cosines(each[None, down, across], mark)[0]) for each, mark in zip(edges, others, strict=True)]
    return np.array(scores), (down, across), mean[down, across]


def _fine(mean: Edges) -> Edges:
    """A mean of edges less its broad bands."""
    return np.asarray(mean - cv2.GaussianBlur(mean, (0, 0), BROAD), dtype=np.float32)


def _cosines(edges: Edges, mark: Edges) -> NDArray[np.float64]:
    """(photos, edges, 2) against (edges, 2) -> (photos,); a plain photo agrees with nothing."""
    products = (edges * mark).sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(products / np.sqrt((np.square(edges).sum(axis=(1, 2)) + 1) * np.square(mark).sum()))


def _edges_of(catalog: Catalog, rows: NDArray[np.int64], workers: int | None) -> Edges:
    uris = [catalog.uri(image) for image in catalog.table["image"].take(rows)]
    tasks = [uris[start : start + PORTION] for start in range(0, len(uris), PORTION)]
    return np.concatenate(list(in_order(_edges, tasks, workers))).astype(np.float32)


def _edges(uris: list[str]) -> NDArray[np.float16]:
    inner = SIDE - 2 * RIM
    edges = np.zeros((len(uris), inner, inner, 2), dtype=np.float16)
    for place, uri in enumerate(uris):
        try:
            edges[place] = edges_of(np.asarray(open_photo(uri, SIDE).convert("L")))
        except PhotoError:  # gone since the scan
            continue
    return edges
