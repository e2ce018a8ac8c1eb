"""Text or a logo that lies at one place over many photos of a catalog: watermarks.

What is stamped on photos has the same edges at the same place in each, whatever they show. In the mean of all their
gradients it stays, while everything else cancels (Dekel et al., "On the effectiveness of visible watermarks", 2017). So
does what photos of one pose have in common, heads and hems and frames, but not to the pixel: held against the mean,
such a photo agrees nearly as well where it is moved a little. One that carries the mark does not.
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
MOVED = 3  # of them by which a photo is moved to see whether it agrees there as well
FLAT = 6.0  # grey levels a pixel below which an edge is faint
GROUND = 0.05  # mean square of an edge that counts as chance on a plain ground, where the faintest would be clear
BROAD = 3.0  # pixels: deviation of the blur whose bands are taken out of a mean
WINDOW = 5  # pixels a side of the square in which edges lie together
FEWEST_EDGES = 16  # of a mark
STRONGEST = 200  # edges of it that photos are held against
# At first and in the end: deviations of chance that an edge of the mean must exceed, how many such must lie together,
# the cosine of a photo's edges with the mark's, and by how much it must be higher than where the photo is moved. Of
# three sets of real photos those of one layout reach a margin of 0.2, marked ones have 0.25 to 0.8.
LIKELY, SURE = (2.5, 8, 0.4, 0.2), (3.5, 5, 0.6, 0.25)
FEWEST, SAMPLE = 40, 600  # photos a mark can be told from, and is
FEWEST_MARKED = 8
SHAPE = 0.05  # step of the logarithm of width over height within which photos are of one shape
PORTION = 64
RING = [(y, x) for y in range(-MOVED, MOVED + 1) for x in range(-MOVED, MOVED + 1) if max(abs(y), abs(x)) == MOVED]

Edges = NDArray[np.float32]  # (side, side, 2): which way, 0 to 1 in length; a rim of MOVED pixels is 0
Places = NDArray[np.int64]
Mark = tuple[Places, Places, Edges]  # rows, columns and edges, (n,), (n,), (n, 2); or (photos, n, 2), one for each
Mask = NDArray[np.bool_]


def watermarks(catalog: Catalog, photos: pd.DataFrame, near: Groups, limit: int, workers: int | None = None) -> Mask:
    """Which rows carry a mark that many photos of a sample carry at the same place, (rows,).

    The same place is so in shares of width and height, or, in photos of one shape, however the mark is placed.

    Args:
        catalog: The photos.
        photos: Their photo table.
        near: Groups of near copies, -1 for a photo that is alone; copies have everything in common.
        limit: Rows outside of the sample that are looked at once a mark was found.
        workers: Processes that decode photos.
    """
    marked = np.zeros(len(photos), dtype=bool)
    readable = np.flatnonzero(photos["readable"].to_numpy(dtype=bool))
    alone = readable[(near[readable] < 0) | (near[readable] == readable)]
    if len(alone) < FEWEST:
        return marked
    sample = alone[np.linspace(0, len(alone) - 1, min(SAMPLE, len(alone)), dtype=np.int64)]
    edges = _edges_of(catalog, sample, workers)
    shapes = (np.log(photos["width"].to_numpy().clip(1) / photos["height"].to_numpy().clip(1)) / SHAPE).round()
    marked[sample], marks = common_marks(edges, shapes[sample])
    others = np.setdiff1d(readable, sample)[:limit] if marks else readable[:0]
    for start in range(0, len(others), SAMPLE):
        part = others[start : start + SAMPLE]
        of_part = _edges_of(catalog, part, workers)
        for shape, mark in marks.items():
            marked[part] |= _carries(of_part, mark, *SURE[2:]) & ((shape is None) | (shapes[part] == shape))
    return marked


def common_marks(edges: Edges, shapes: NDArray[np.float64]) -> tuple[Mask, dict[float | None, Mark]]:
    """Which of some photos carry a mark, and the marks: one of all of them, under None, and of those of one shape."""
    carries, marks = np.zeros(len(edges), dtype=bool), {}
    for shape in (None, *np.unique(shapes)):
        alike = np.flatnonzero(np.isin(shapes, shapes if shape is None else shape))
        if len(alike) < FEWEST or (shape is not None and len(alike) == len(edges)):
            continue
        found, mark = common_mark(edges if shape is None else edges[alike])
        if mark is not None:
            carries[alike[found]] = True
            marks[shape] = mark
    return carries, marks


def edges_of(grey: NDArray[np.uint8]) -> Edges:
    """Which way the edge at each pixel of a grey photo points: of full length if it is clear, shorter if faint."""
    shrink = cv2.INTER_AREA if min(grey.shape) >= SIDE else cv2.INTER_LINEAR
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=shrink).astype(np.float32)
    edges = np.zeros((SIDE, SIDE, 2), np.float32)
    slope = np.stack([small[1:-1, 2:] - small[1:-1, :-2], small[2:, 1:-1] - small[:-2, 1:-1]], axis=-1) / 2
    edges[1:-1, 1:-1] = slope / (np.linalg.norm(slope, axis=-1, keepdims=True) + FLAT)
    for side in (edges, edges.swapaxes(0, 1)):
        side[:MOVED] = side[-MOVED:] = 0
    return edges


def common_mark(edges: Edges) -> tuple[Mask, Mark | None]:
    """Which of some photos carry the same mark, (photos,), and the mark; none of them and None without one.

    First the edges that all have in common are looked at, perhaps of a layout as well; then those of the photos alone
    that agree with them to the pixel.

    Args:
        edges: See `edges_of`, (photos, side, side, 2).
    """
    nobody = np.zeros(len(edges), dtype=bool)
    likely = np.ones(len(edges), dtype=bool)
    mark = None
    for clear, beside, alike, sharp in (LIKELY, SURE):
        count, total = int(likely.sum()), np.zeros(edges.shape[1:], np.float32)
        power = np.zeros(edges.shape[1:3], np.float32)
        for place in np.flatnonzero(likely):  # one at a time: a copy of all takes 44 MB
            total += edges[place]
            power += np.einsum("ijk,ijk->ij", edges[place], edges[place]) / count
        mark = _mark_of(total / np.float32(count), np.sqrt((power + GROUND) / 2 / count), clear, beside)
        if mark is None:
            return nobody, None
        rows, columns, common = mark
        # One that took part is held against the others alone: a photo always agrees with itself.
        of_others = np.stack([common] * len(edges))
        for place in np.flatnonzero(likely):
            of_others[place] = _fine((total - edges[place]) / (count - 1))[rows, columns]
        likely = _carries(edges, (rows, columns, of_others), alike, sharp)
        if likely.sum() < FEWEST_MARKED:
            return nobody, None
    return likely, mark


def _mark_of(mean: Edges, chance: NDArray[np.float32], least: float, beside: int) -> Mark | None:
    """The edges of a mean that are no chance and lie together."""
    fine = _fine(mean)
    clear = np.linalg.norm(fine, axis=-1) / chance
    together = cv2.boxFilter((clear > least).astype(np.float32), -1, (WINDOW, WINDOW), normalize=False)
    inner = np.zeros(clear.shape, dtype=bool)
    inner[MOVED:-MOVED, MOVED:-MOVED] = True
    strength = np.where(inner & (clear > least) & (together >= beside), clear, 0)
    found = np.flatnonzero(strength)
    if len(found) < FEWEST_EDGES:
        return None
    strongest = found[np.argsort(-strength.ravel()[found], kind="stable")[:STRONGEST]]
    rows, columns = np.unravel_index(strongest, strength.shape)
    return rows, columns, fine[rows, columns]


def _fine(mean: Edges) -> Edges:
    """A mean of edges less its broad bands."""
    return np.asarray(mean - cv2.GaussianBlur(mean, (0, 0), BROAD), dtype=np.float32)


def _carries(edges: Edges, mark: Mark, alike: float, sharp: float) -> Mask:
    """Which photos agree with a mark where it is, and clearly less where they are moved."""
    here = _cosines(edges, mark)
    moved = np.max([_cosines(edges, mark, down, across) for down, across in RING], axis=0)
    return np.asarray((here > alike) & (here - moved > sharp), dtype=bool)


def _cosines(edges: Edges, mark: Mark, down: int = 0, across: int = 0) -> NDArray[np.float32]:
    """How the edges of photos, moved by some pixels, agree with a mark's, (photos,); plain photos with none."""
    rows, columns, wanted = mark
    there = edges[:, rows + down, columns + across]
    lengths = np.sqrt((np.square(there).sum(axis=(1, 2)) + 1) * np.square(wanted).sum(axis=(-2, -1)))
    return np.asarray((there * wanted).sum(axis=(1, 2)) / lengths, dtype=np.float32)


def _edges_of(catalog: Catalog, rows: NDArray[np.int64], workers: int | None) -> Edges:
    uris = [catalog.uri(image) for image in catalog.table["image"].take(rows)]
    tasks = [uris[start : start + PORTION] for start in range(0, len(uris), PORTION)]
    return np.concatenate(list(in_order(_edges, tasks, workers)))


def _edges(uris: list[str]) -> Edges:
    return np.stack([_edges_in(uri) for uri in uris])


def _edges_in(uri: str) -> Edges:
    try:
        return edges_of(np.asarray(open_photo(uri, SIDE).convert("L")))
    except PhotoError:  # gone since the scan
        return np.zeros((SIDE, SIDE, 2), np.float32)
