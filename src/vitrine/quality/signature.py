"""What a photo looks like in 288 bytes, its 64-bit perceptual hash, and whether two signatures show one photo.

A signature holds 16 x 16 luma and 4 x 4 x 2 chroma values (uint8). The hash is the DCT hash of the luma plane (Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions", 2010): the 8 x 8 lowest frequencies without the
constant row and column, each above or below their median. Because it follows from the signature alone, the hash of a
flipped or turned photo needs no second look at the photo.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

LUMA = 16
CHROMA = 4
INNER = (LUMA - 2) ** 2  # luma cells less the outermost
LENGTH = LUMA * LUMA + 2 * CHROMA * CHROMA
TURNS = 8  # the symmetries of a square: 0 is the photo as it is

# Two signatures may show one photo when, after laying one over the other, no cell differs by more than MAX_CELL grey
# levels (of 255), the cells together by no more than MAX_SHARE of the contrast, and no chroma cell by more than
# MAX_CHROMA. Measured on three sets of real photos, 200 of each: of copies that were re-encoded, resized or mirrored at
# least 99 in 100 pass (95 of those resized without smoothing), of those cropped by up to 4 % a side 95. Of 723,348
# pairs among 6,118 catalogue photos of 60 x 80 pixels whose hashes are within 20 bits 979 pass, nearly all of different
# things: pixels decide, see `vitrine.quality.confirm`.
MAX_CELL = 22.0
MAX_SHARE = 0.2
MAX_CHROMA = 11
MAX_GAIN = 1.25  # brighter or darker copies
MAX_SHIFT = 0.05  # of the side, by which an edge may move
LIKELY_CHROMA = 16  # before registration
LIKELY_CORRELATION = 0.6  # before registration, of the luma planes; of 900 copies with 4 % cut off, the least had 0.65
# Of the contrast, what the best linear shift and zoom may leave: some 95 in 100 copies with 5 % cut off all sides stay
# below, and 27 in 100 of 833,324 pairs of catalogue photos whose hashes are close.
LIKELY_REST = 0.45
# Of the contrast, what may be left after 1 and 2 steps. Of 1,500 copies with up to 4.5 % cut off that pass in the end
# the worst had 0.30 and 0.25; of the pairs of catalogue photos that come so far, two thirds have more.
EARLY_SHARES = {1: 0.32, 2: 0.27}
EDGE_SLACK = 0.1  # of the local gradient: what is left of a moved edge after resampling
STEPS = 5
PORTION = 4096  # pairs judged at a time
HALF = np.float32(0.5)
UNCLEAR = 0.05  # share of the contrast by which a side must be brighter to count; crops by 4 % mostly move it by less
# Rows are the waves of the DCT-II of frequencies 1 to 8.
WAVES = np.cos(np.pi / LUMA * np.outer(np.arange(1, 9), np.arange(LUMA) + 0.5)).astype(np.float32)
# ITU-R BT.601 at full range, as JPEG uses it: rows are Y, Cb, Cr of R, G, B.
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=np.float32)
OFFSET = np.array([0, 128, 128], dtype=np.float32)
# Triangles of two cells' width over cells of half the width, (16, 32): 1, 3, 3, 1, of which the rim cuts off one.
_TRIANGLES = np.maximum(0, 4 - np.abs(4 * np.arange(LUMA)[:, None] + 1 - 2 * np.arange(2 * LUMA)))
WEIGHTS = _TRIANGLES.sum(axis=1).astype(np.float32)
# The same for rows whose cells hold three colours, to three rows of one: (32 * 3, 3 * 16).
HALVING = np.einsum("ij,cd->jcdi", _TRIANGLES / WEIGHTS[:, None], np.eye(3)).reshape(96, 48).astype(np.float32)
# Luma cells to the means of CHROMA x CHROMA blocks of them, (256, 16).
_BLOCKS = np.arange(LUMA) // (LUMA // CHROMA)
POOLING = np.kron(*(2 * [np.eye(CHROMA, dtype=np.float32)[_BLOCKS] / (LUMA // CHROMA)]))


def cell_colours(pixels: NDArray[np.uint8], count: int = 1) -> NDArray[np.uint8]:
    """The mean colours of twice as many cells a side as a signature has.

    Args:
        pixels: Upright RGB photos of one size, one below the other, (count * height, width, 3).
        count: How many.

    Returns:
        (count, 32, 32, 3)
    """
    side = 2 * LUMA
    cells = cv2.resize(pixels, (side, count * side), interpolation=cv2.INTER_AREA)
    return np.asarray(cells).reshape(count, side, side, 3)


def smoothed(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The colours of a signature's cells, which overlap as triangles: (n, 32, 32, 3) -> (n, 3, LUMA * LUMA)."""
    rows = colours.reshape(len(colours), 2 * LUMA, -1).astype(np.uint16)
    upper, lower = rows[:, 0::2], rows[:, 1::2]
    down = 3 * (upper + lower)  # triangles weigh 1, 3, 3, 1
    down[:, 1:] += lower[:, :-1]
    down[:, :-1] += upper[:, 1:]
    across = (down.astype(np.float32).reshape(-1, 2 * LUMA * 3) @ HALVING).reshape(-1, LUMA, 3, LUMA)
    return np.ascontiguousarray((across / WEIGHTS[:, None, None]).transpose(0, 2, 1, 3)).reshape(len(colours), 3, -1)


def signatures_of(cells: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The signatures of photos from the `smoothed` colours of their cells, (n, 3, LUMA * LUMA) -> (n, LENGTH)."""
    planes = np.tensordot(YCBCR, cells, (1, 1)) + OFFSET[:, None, None]  # (3, n, cells)
    chroma = (planes[1:] @ POOLING).transpose(1, 0, 2).reshape(len(cells), -1)
    joined = np.concatenate([planes[0], chroma], axis=1)
    return joined.round().clip(0, 255).astype(np.uint8)


def signature(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The signature of an upright RGB photo, (height, width, 3) -> (LENGTH,)."""
    return signatures_of(smoothed(cell_colours(pixels)))[0]


def hashes(signatures: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The perceptual hash of each signature, (n, LENGTH) -> (n,)."""
    return codes(frequencies(signatures))


def frequencies(signatures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The 8 x 8 lowest frequencies of the luma planes, less the constant ones, (n, LENGTH) -> (n, 8, 8)."""
    luma = signatures[:, : LUMA * LUMA].reshape(-1, LUMA, LUMA).astype(np.float32)
    return np.asarray(WAVES @ luma @ WAVES.T, dtype=np.float32)


def codes(low: NDArray[np.float32]) -> NDArray[np.uint64]:
    """A bit per frequency, whether it lies above their median, (n, 8, 8) -> (n,)."""
    flat = low.reshape(-1, 64)
    bits = flat > np.median(flat, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def turned_frequencies(low: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """What `frequencies` of the `turned` signatures would be: a mirrored wave of odd frequency changes its sign."""
    sign = np.where(np.arange(1, 9) % 2, -1, 1).astype(np.float32)
    if turn & 1:
        low = low * sign
    if turn & 2:
        low = low * sign[:, None]
    return low.swapaxes(1, 2) if turn & 4 else low


def canonical_turns(signatures: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """By which of the 8 turns each photo comes to lie with its bright side right, then down: (n, LENGTH) -> (n, TURNS).

    Turned copies of one photo share such a position, so only these need to be compared. A photo without a clear bright
    side has several.
    """
    luma = signatures[:, : LUMA * LUMA].reshape(-1, LUMA, LUMA).astype(np.float32)
    across = np.linspace(-1, 1, LUMA, dtype=np.float32)
    contrast = np.maximum(luma.std(axis=(1, 2)), 1.0)
    right, down = luma.mean(axis=1) @ across / LUMA / contrast, luma.mean(axis=2) @ across / LUMA / contrast
    is_canonical = np.empty((len(signatures), TURNS), dtype=bool)
    for turn in range(TURNS):
        x, y = (-right if turn & 1 else right), (-down if turn & 2 else down)
        x, y = (y, x) if turn & 4 else (x, y)
        is_canonical[:, turn] = (x >= -UNCLEAR) & (y >= -UNCLEAR) & (x >= y - UNCLEAR)
    return is_canonical


def turned(signatures: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """The signatures of the photos flipped or turned by a quarter: bit 1 mirrors, bit 2 flips, bit 4 transposes."""
    luma = signatures[:, : LUMA * LUMA].reshape(-1, 1, LUMA, LUMA)
    chroma = signatures[:, LUMA * LUMA :].reshape(-1, 2, CHROMA, CHROMA)
    sizes = (LUMA * LUMA, 2 * CHROMA * CHROMA)
    planes = zip((luma, chroma), sizes, strict=True)
    return np.concatenate([_turn(plane, turn).reshape(len(plane), size) for plane, size in planes], axis=1)


def same_photo(
    first: NDArray[np.uint8], second: NDArray[np.uint8], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which pairs of signatures show one photo.

    A crop moves every edge, a product of another shade or shape moves none: so the luma planes are first registered, by
    Gauss-Newton steps on a shift and a zoom along each axis (Lucas and Kanade, 1981), and the rest is judged.

    Args:
        first: Signatures, (n, LENGTH).
        second: Signatures, (m, LENGTH).
        left: Rows of `first`, (pairs,).
        right: Rows of `second`, (pairs,).
    """

    def judged(start: int) -> NDArray[np.bool_]:
        rows = np.arange(start, min(start + PORTION, len(left)))
        same = _likely(first[left[rows]], second[right[rows]])
        same[same] = _nearly(first, second, left[rows[same]], right[rows[same]])
        rows = rows[same]
        same[same] = _registered(first[left[rows]], second[right[rows]])
        return same

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy lets go of the interpreter
        return np.concatenate([np.empty(0, dtype=bool), *pool.map(judged, range(0, len(left), PORTION))])


def _likely(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What is worth registering, (pairs, LENGTH) twice -> (pairs,)."""
    cells = LUMA * LUMA
    shade = np.abs(one[:, cells:].astype(np.int16) - other[:, cells:]).max(axis=1)
    a, b = one[:, :cells].astype(np.float32), other[:, :cells].astype(np.float32)
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    product = np.einsum("ij,ij->i", a, b)
    size = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    return np.asarray((shade <= LIKELY_CHROMA) & (product >= LIKELY_CORRELATION * size), dtype=bool)


def _nearly(
    first: NDArray[np.uint8], second: NDArray[np.uint8], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which pairs a small shift and zoom could explain, by the linear part alone: cheap enough for all pairs."""
    distinct, place = np.unique(left, return_inverse=True)[:2]
    one = _normalised(first[distinct]).reshape(-1, LUMA, LUMA)
    down, across = np.gradient(one, axis=(1, 2))[:2]
    span = np.linspace(-1, 1, LUMA, dtype=np.float32)
    slopes = np.stack([across, down, across * span, down * span[:, None]], axis=-1).reshape(
        len(distinct), LUMA * LUMA, 4
    )
    normal = slopes.swapaxes(1, 2) @ slopes + 0.01 * LUMA * LUMA * np.eye(4, dtype=np.float32)
    inverse = np.linalg.inv(normal)[place]
    difference = one.reshape(len(distinct), LUMA * LUMA)[place] - _normalised(second[right])
    target = np.einsum("nij,ni->nj", slopes[place], difference)
    explained = np.einsum("nj,njk,nk->n", target, inverse, target)
    rest = np.einsum("ni,ni->n", difference, difference) - explained
    return np.asarray(rest <= LIKELY_REST**2 * LUMA * LUMA, dtype=bool)


def _normalised(signatures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma cells of mean 0 and deviation 1, (n, LENGTH) -> (n, LUMA * LUMA)."""
    cells = signatures[:, : LUMA * LUMA].astype(np.float32)
    cells -= cells.mean(axis=1, keepdims=True)
    return cells / np.maximum(cells.std(axis=1, keepdims=True), 1)


def _registered(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether signatures agree once registered, (pairs, LENGTH) twice -> (pairs,)."""
    first, second = (side[:, : LUMA * LUMA].reshape(-1, LUMA, LUMA).astype(np.float32) for side in (one, other))
    inner = slice(1, -1)  # the outermost cells show what a crop took away
    span = np.linspace(-1, 1, LUMA, dtype=np.float32)
    same = np.zeros(len(one), dtype=bool)
    rows = np.arange(len(one))
    # Shift x, shift y, zoom x, zoom y, in cells at the edge.
    warp: NDArray[np.float32] = np.zeros((len(one), 4), dtype=np.float32)
    for step in range(STEPS + 1):
        # Each plane moves half the way, so that the order of a pair does not matter.
        a, spread_a = _centred(_moved(first[rows], warp * HALF))
        b, spread_b = _centred(_moved(second[rows], -warp * HALF))
        gain = np.sqrt(np.clip(spread_b / spread_a, 1 / MAX_GAIN, MAX_GAIN))[:, None, None]
        a, b = a * gain, b / gain
        difference = a - b
        rest = np.abs(difference)[:, inner, inner]
        share = np.sqrt(np.square(rest).mean(axis=(1, 2)) / (spread_a * spread_b))
        if step in EARLY_SHARES:
            left = share <= EARLY_SHARES[step]
            rows, warp, a, b, difference = rows[left], warp[left], a[left], b[left], difference[left]
        down, right = np.gradient((a + b) / 2, axis=(1, 2))
        if step == STEPS:
            break
        slopes = np.stack([right, down, right * span, down * span[:, None]], axis=-1)[:, inner, inner]
        slopes = slopes.reshape(len(a), INNER, 4)
        normal = slopes.swapaxes(1, 2) @ slopes + 0.25 * LUMA * LUMA * np.eye(4, dtype=np.float32)
        target = np.einsum("nij,ni->nj", slopes, difference[:, inner, inner].reshape(len(a), INNER))
        update = np.linalg.solve(normal, target[..., None])[..., 0]
        warp = np.clip(warp - update, -MAX_SHIFT * LUMA, MAX_SHIFT * LUMA)
    slack = EDGE_SLACK * (np.abs(down) + np.abs(right))[:, inner, inner]
    worst = np.maximum(rest - slack, 0).max(axis=(1, 2), initial=0)
    chroma = _moved_chroma(one[rows], warp * HALF) - _moved_chroma(other[rows], -warp * HALF)
    shade = np.abs(chroma).max(axis=1, initial=0)
    same[rows] = (worst <= MAX_CELL) & (share <= MAX_SHARE) & (shade <= MAX_CHROMA)
    return same


def _moved_chroma(signatures: NDArray[np.uint8], warp: NDArray[np.float32]) -> NDArray[np.float32]:
    """The chroma cells under a warp that is given in luma cells, (pairs, 2 * CHROMA * CHROMA)."""
    planes = signatures[:, LUMA * LUMA :].reshape(-1, 2, CHROMA, CHROMA).astype(np.float32)
    smaller = warp * np.float32(CHROMA / LUMA)
    moved = [_moved(planes[:, channel], smaller) for channel in range(2)]
    return np.stack(moved, axis=1).reshape(len(signatures), 2 * CHROMA * CHROMA)


def _moved(planes: NDArray[np.float32], warp: NDArray[np.float32]) -> NDArray[np.float32]:
    """Planes resampled linearly at shifted and zoomed positions; each axis is one small matrix."""
    size = planes.shape[-1]
    across, down = _sampling(warp[:, 0], warp[:, 2], size), _sampling(warp[:, 1], warp[:, 3], size)
    return np.asarray(down @ planes @ across.swapaxes(1, 2), dtype=np.float32)


def _sampling(shift: NDArray[np.float32], zoom: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    cells = np.arange(size, dtype=np.float32)
    span = np.linspace(-1, 1, size, dtype=np.float32)
    positions = np.clip(cells + shift[:, None] + zoom[:, None] * span, 0, size - 1)
    return np.maximum(0, 1 - np.abs(positions[:, :, None] - cells)).astype(np.float32)


def _centred(planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Planes less the mean of their inner cells, and the inner cells' standard deviation."""
    inside = planes[:, 1:-1, 1:-1]
    centred = (planes - inside.mean(axis=(1, 2), keepdims=True)).astype(np.float32)
    return centred, np.maximum(inside.std(axis=(1, 2)), 1.0)


def _turn(plane: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    if turn & 1:
        plane = plane[..., ::-1]
    if turn & 2:
        plane = plane[..., ::-1, :]
    return plane.swapaxes(-1, -2) if turn & 4 else plane
