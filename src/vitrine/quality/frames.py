"""Which photos may be copies of one another though one was cropped, padded, turned a little, brightened or marked.

A hash of the whole photo tells no more once a tenth of each side is gone. So each photo is looked at in three frames:
whole, without the twelfth of each side that a crop may have taken, and within its plain border if it has one. For each
frame the photos that look most alike are sought among the others, by soft luma and gradients alone, which neither
another brightness nor a logo changes much. They are laid over each other as well as a shift and a zoom along each axis
can, and the few that fit best are left for the pixels to decide (`vitrine.quality.confirm`).
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.quality.looks import gradients
from vitrine.quality.scan import signatures
from vitrine.quality.signature import CHROMA, LUMA

WHOLE = (0.0, 0.0, 1.0, 1.0)  # left, top, right, bottom, in shares of the sides
CROPPED = (0.08, 0.08, 0.92, 0.92)
WITHIN = 0.06  # of the plain border's box, further in on every side: cells at its rim show the border as well
SMALLEST_BOX = 0.3  # of a side: a smaller one is hardly a photo in a border
# Share of the cells along the rim of that box that are not of the border's colour, and by how many levels, where it was
# put around a photo: what is shown on a plain ground touches its box at some places only.
ADDED, APART = 0.95, 10.0
BORDERED = 0.97  # of a side: a larger box leaves no border
NEIGHBOURS = 4  # photos looked at for each, in each frame
KEPT = 4  # of the pairs of a photo, the best ones: the first of either, and others that both keep
MAX_CHROMA = 13.0  # levels by which cells' colours may differ, but for SPARED ones
SPARED = 3
COLOURLESS = 5.0
# What may be left of the luma cells once registered, as a share of their slopes, the worst twelfth left out. Of 60
# photos of each of three sets, 95 in 100 copies lie below 0.3 to 0.4 if brightened by a fifth, cropped by 8 % a side or
# padded by 10 %.
MAX_REST = 0.36
WHOLE_HANDICAP = np.float32(1.5)
WORST = 0.08
STEPS = 4
MAX_SHIFT = 2.0  # cells
STIFFNESS = 0.5
BRUTE_FORCE = 16_384  # photos up to which all pairs are compared
LISTS = 8  # of the photos that an index of more holds, looked into for each
PORTION = 512  # photos or pairs in memory at a time
CELLS = 1 << 20  # and of a table of all of their likenesses
DESCRIBED = 192  # numbers of a descriptor

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
HALF = np.float32(0.5)
SPAN = np.linspace(-1, 1, LUMA, dtype=np.float32)


@dataclass(frozen=True)
class Framed:
    """Pairs of rows that may show one photo, and the frames in which they do.

    Attributes:
        first: Rows, (pairs,).
        second: Rows, (pairs,).
        first_frames: Left, top, right, bottom in shares of the photo's sides, (pairs, 4).
        second_frames: The same.
    """

    first: Rows
    second: Rows
    first_frames: Floats
    second_frames: Floats


@dataclass(frozen=True)
class _View:
    """Some photos in one frame each: the frames, luma cells, their spread, colours and descriptors."""

    frames: Floats
    luma: Floats
    spread: Floats
    colours: Floats
    descriptors: Floats


def framed_pairs(photos: pd.DataFrame, rows: Rows) -> Framed:
    """The pairs among some rows of a photo table that are worth a look at their pixels.

    Args:
        photos: A photo table.
        rows: Rows to look at; of exact copies one.
    """
    none = np.empty(0, dtype=np.int64)
    if len(rows) < 2:
        return Framed(none, none, np.empty((0, 4), np.float32), np.empty((0, 4), np.float32))
    encoded = signatures(photos)[rows]
    bordered = photos[["left", "top", "right", "bottom"]].to_numpy(np.float32)[rows]
    within = _view(encoded, _inner(bordered))
    bordered_pairs = _candidates(within, within)
    added = np.flatnonzero(_is_added(within.luma, encoded, bordered))
    del within  # views take most of the memory: no more than two at a time
    whole = _view(encoded, np.broadcast_to(np.array(WHOLE, dtype=np.float32), bordered.shape))
    cropped = _view(encoded, np.broadcast_to(np.array(CROPPED, dtype=np.float32), bordered.shape))
    # A photo on a plain ground to which a border of another colour was added: its own ground is none.
    padded = _view(encoded[added], _box_within(bordered[added], CROPPED[0]))
    padded_pairs = _candidates(padded, cropped, added)
    candidates = [_candidates(whole, whole), _candidates(cropped, whole), bordered_pairs, padded_pairs]
    first, second, rest = (np.concatenate(column) for column in zip(*(each[:3] for each in candidates), strict=True))
    one, other = (np.concatenate(column) for column in zip(*(each[3:] for each in candidates), strict=True))
    # Of each pair's frames the best. A crop is laid over the whole as well as a shift and a zoom can, and not quite.
    handicap = np.where(np.arange(len(rest)) < len(candidates[0][0]), WHOLE_HANDICAP, np.float32(1))
    best = np.lexsort((rest * handicap, np.maximum(first, second), np.minimum(first, second)))
    low, high = np.minimum(first, second)[best], np.maximum(first, second)[best]
    fresh = np.ones(len(best), dtype=bool)
    fresh[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    best = best[fresh]
    best = best[np.argsort(rest[best], kind="stable")]
    ranks = _rank(first[best], len(rows)), _rank(second[best], len(rows))
    best = best[(np.minimum(*ranks) == 0) | (np.maximum(*ranks) < KEPT)]
    # The frame of a border is the border's box itself: what is further in was only looked at.
    return Framed(rows[first[best]], rows[second[best]], one[best], other[best])


def _inner(boxes: Floats) -> Floats:
    sides = boxes[:, 2:] - boxes[:, :2]
    boxes = np.where((sides >= SMALLEST_BOX).all(axis=1, keepdims=True), boxes, np.array(WHOLE, dtype=np.float32))
    return _box_within(boxes, WITHIN)


def _box_within(boxes: Floats, share: float) -> Floats:
    """Boxes less a share of their sides on every side."""
    rim = share * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] + rim, boxes[:, 2:] - rim], axis=1).astype(np.float32)


def _is_added(luma: Floats, encoded: NDArray[np.uint8], boxes: Floats) -> NDArray[np.bool_]:
    """Which photos had a plain border put around them, by their luma cells within its box."""
    sides = boxes[:, 2:] - boxes[:, :2]
    rim = np.concatenate([luma[:, 0], luma[:, -1], luma[:, 1:-1, 0], luma[:, 1:-1, -1]], axis=1)
    other = (np.abs(rim - encoded[:, :1]) > APART).mean(axis=1) >= ADDED
    return np.asarray(other & (sides.min(axis=1) <= BORDERED) & (sides >= SMALLEST_BOX).all(axis=1))


def _view(encoded: NDArray[np.uint8], frames: Floats) -> _View:
    count = len(encoded)
    luma, spread = np.empty((count, LUMA, LUMA), np.float32), np.empty(count, np.float32)
    colours = np.empty((count, encoded.shape[1] - LUMA * LUMA), np.float32)
    descriptors = np.empty((count, DESCRIBED), np.float32)
    for start in range(0, count, PORTION):
        part = slice(start, start + PORTION)
        cells = encoded[part, : LUMA * LUMA].reshape(-1, 1, LUMA, LUMA).astype(np.float32)
        chroma = encoded[part, LUMA * LUMA :].reshape(-1, 2, CHROMA, CHROMA).astype(np.float32) - 128
        luma[part] = _resampled(cells, frames[part])[:, 0]
        spread[part] = np.maximum(luma[part].std(axis=(1, 2)), 1.0)
        colours[part] = _resampled(chroma, frames[part]).reshape(len(chroma), -1)
        descriptors[part] = _descriptors(luma[part])
    return _View(frames, luma, spread, colours, descriptors)


def _resampled(planes: Floats, frames: Floats) -> Floats:
    """Planes of square cells within frames, as many cells again: (n, planes, side, side) -> the same."""
    side = planes.shape[-1]
    cells = (np.arange(side, dtype=np.float32) + 0.5) / side

    def sampling(low: Floats, high: Floats) -> Floats:
        places = ((low[:, None] + (high - low)[:, None] * cells) * side - 0.5).clip(0, side - 1)
        return np.maximum(0, 1 - np.abs(places[:, :, None] - np.arange(side, dtype=np.float32)))

    across, down = sampling(frames[:, 0], frames[:, 2]), sampling(frames[:, 1], frames[:, 3])
    return np.asarray(down[:, None] @ planes @ across.swapaxes(1, 2)[:, None], dtype=np.float32)


def _descriptors(luma: Floats) -> Floats:
    """Unit vectors of 8 x 8 luma cells and of histograms of their gradients, (n, LUMA, LUMA) -> (n, DESCRIBED)."""
    soft = luma.reshape(-1, 8, 2, 8, 2).mean(axis=(2, 4)).reshape(len(luma), -1)
    soft = soft - soft.mean(axis=1, keepdims=True)
    edges = gradients(luma.reshape(len(luma), -1), 4, 8)
    unit = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-6) for part in (soft, edges)]
    return np.concatenate(unit, axis=1)


def _candidates(one: _View, other: _View, owners: Rows | None = None) -> tuple[Rows, Rows, Floats, Floats, Floats]:
    """Pairs of which the first in a frame of `one` looks like the second in one of `other`, and how well they fit.

    Args:
        one: Photos.
        other: All photos.
        owners: Which of all photos those of `one` are; by default all.
    """
    count = len(one.luma)
    owners = np.arange(count) if owners is None else owners
    near = _nearest(one.descriptors, other.descriptors, one is other)
    first, second = np.repeat(np.arange(count), near.shape[1]), near.ravel()
    apart = (owners[first] != second) & (second >= 0)
    if one is other:  # each pair once
        pairs = np.unique(np.minimum(first, second)[apart] * count + np.maximum(first, second)[apart])
        first, second = pairs // count, pairs % count
    else:
        first, second = first[apart], second[apart]

    def by_portions(compared: Callable[[Rows, Rows], Floats]) -> Floats:
        parts = [(first[i : i + PORTION], second[i : i + PORTION]) for i in range(0, len(first), PORTION)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy lets go of the interpreter
            return np.concatenate([np.empty(0, np.float32), *pool.map(lambda part: compared(*part), parts)])

    alike = by_portions(lambda a, b: _colours_apart(one, other, a, b)) <= MAX_CHROMA
    first, second = first[alike], second[alike]
    rest = by_portions(lambda a, b: _rest(one.luma[a], other.luma[b]))
    fits = rest <= MAX_REST
    first, second = first[fits], second[fits]
    return owners[first], second, rest[fits], one.frames[first], other.frames[second]


def _nearest(asked: Floats, among: Floats, itself: bool) -> Rows:
    """The nearest few of each, (n, few); with `itself` the same photo is none of them."""
    count = min(NEIGHBOURS + itself, len(among))
    if len(among) <= BRUTE_FORCE:
        neighbours = [np.empty((0, count), dtype=np.int64)]
        portion = max(1, CELLS // len(among))
        for start in range(0, len(asked), portion):
            likeness = asked[start : start + portion] @ among.T
            # A copy: a view would keep the whole table.
            neighbours.append(np.argpartition(-likeness, count - 1, axis=1)[:, :count].copy())
        return np.concatenate(neighbours)
    import faiss

    # Time grows as n^1.5: lists as many as the square root, of which a fixed number is looked into.
    index = faiss.index_factory(among.shape[1], f"IVF{round(len(among) ** 0.5)},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(among[:: max(1, len(among) // 50_000)])
    index.add(among)
    faiss.extract_index_ivf(index).nprobe = LISTS
    return np.asarray(index.search(asked, count)[1], dtype=np.int64)


def _colours_apart(one: _View, other: _View, first: Rows, second: Rows) -> Floats:
    """By how much the cells' colours differ once contrast is made up for; 0 where one photo has no colour, (pairs,)."""
    gain = np.sqrt((other.spread[second] / one.spread[first]).clip(0.5, 2))[:, None]
    a, b = one.colours[first], other.colours[second]
    apart = np.sort(np.abs(a * gain - b / gain), axis=1)[:, -1 - SPARED]
    grey = np.minimum(np.abs(a).max(axis=1), np.abs(b).max(axis=1)) < COLOURLESS
    return np.where(grey, np.float32(0), apart)


def _rest(one: Floats, other: Floats) -> Floats:
    """What is left of the difference of luma cells once registered, as a share of their slopes, (pairs,).

    Gauss-Newton steps on a shift and a zoom along each axis, cells that differ most weighing least; a turn by a few
    degrees is made up for by its linear part alone.
    """
    count = len(one)
    warp: Floats = np.zeros((count, 4), dtype=np.float32)
    for step in range(STEPS + 1):
        a, seen = _moved(one, warp * HALF)
        b, also = _moved(other, -warp * HALF)
        seen = seen & also
        a, b = _normalised(a, seen), _normalised(b, seen)
        difference = a - b
        down, across = np.gradient((a + b) / 2, axis=(1, 2))
        slopes = [across, down, across * SPAN, down * SPAN[:, None]]
        if step == STEPS:
            slopes += [across * SPAN[:, None], down * SPAN]
        slope = np.stack(slopes, axis=-1).reshape(count, LUMA * LUMA, -1)
        weighted = slope * (seen / (1 + np.square(difference / 0.4))).reshape(count, -1, 1)
        normal = slope.swapaxes(1, 2) @ weighted + STIFFNESS * np.eye(slope.shape[2], dtype=np.float32)
        target = np.einsum("nij,ni->nj", weighted, difference.reshape(count, -1))
        update = np.linalg.solve(normal, target[..., None])[..., 0]
        if step < STEPS:
            warp = np.clip(warp - update, -MAX_SHIFT, MAX_SHIFT).astype(np.float32)
    difference = difference - np.einsum("nij,nj->ni", slope, update.clip(-1, 1)).reshape(difference.shape)
    cells = seen.sum(axis=(1, 2))
    squares = np.sort(np.where(seen, np.square(difference), 0).reshape(count, -1), axis=1)[:, ::-1]
    ordered = np.cumsum(squares, axis=1)
    worst = ordered[np.arange(count), np.maximum(1, WORST * cells).astype(np.int64) - 1]
    relief = ((np.square(across) + np.square(down)) * seen).sum(axis=(1, 2))
    return np.sqrt((ordered[:, -1] - worst).clip(0) / np.maximum(relief, 1e-3)).astype(np.float32)


def _moved(planes: Floats, warp: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Planes at shifted and zoomed places, and which of the inner cells lie within, (pairs, LUMA, LUMA) each."""
    axes = []
    for shift, zoom in ((warp[:, 0], warp[:, 2]), (warp[:, 1], warp[:, 3])):
        places = np.arange(LUMA, dtype=np.float32) + shift[:, None] + zoom[:, None] * SPAN
        inside = (places >= -0.01) & (places <= LUMA - 0.99)
        inside[:, [0, -1]] = False
        weights = np.maximum(0, 1 - np.abs(places.clip(0, LUMA - 1)[:, :, None] - np.arange(LUMA, dtype=np.float32)))
        axes.append((weights.astype(np.float32), inside))
    (across, columns), (down, rows) = axes
    return down @ planes @ across.swapaxes(1, 2), rows[:, :, None] & columns[:, None]


def _normalised(planes: Floats, seen: NDArray[np.bool_]) -> Floats:
    """The cells that are seen at mean 0 and deviation 1, the others 0."""
    cells = np.maximum(seen.sum(axis=(1, 2), keepdims=True), 1)
    centred = (planes - (planes * seen).sum(axis=(1, 2), keepdims=True) / cells) * seen
    spread = np.sqrt(np.square(centred).sum(axis=(1, 2), keepdims=True) / cells)
    return np.asarray(centred / np.maximum(spread, 1), dtype=np.float32)


def _rank(owners: Rows, count: int) -> Rows:
    """Which of its owner's entries each is, in their order."""
    order = np.argsort(owners, kind="stable")
    starts = np.cumsum(np.bincount(owners, minlength=count)) - np.bincount(owners, minlength=count)
    rank = np.empty(len(owners), dtype=np.int64)
    rank[order] = np.arange(len(owners)) - starts[owners[order]]
    return rank
