"""Whether the pixels of photos that look alike show one photo: the last look before a row is called a copy.

A signature cannot tell two black wallets on white apart: nearly all of its cells agree. So both photos of each pair
that signatures let pass are decoded, reduced to what the smaller one still shows, laid one over the other and compared
block by block. Re-encoding adds noise, mostly of colour, that cancels within a block; a crop leaves a little along the
edges; another shade, print or shape changes whole blocks.

Measured on three sets of real photos, 96 and 60 pixels wide, 130 copies of a kind and set: of those saved as JPEG or
WEBP of quality 40 all pass, of those halved at quality 60 at least 99 in 100, of those cropped by up to 4 % a side and
saved at quality 60 at least 95. Of all 619 pairs of photos as they come that signatures let pass, 19 do: 5 copies, 2
second exposures of one scene, and 12 photos of a cosmetic or a bag with another shade painted in.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.catalog.photos import PhotoError, open_photo
from vitrine.quality.pool import in_order

SIDE = 64  # pixels a side that pairs are compared at
BLOCK = 8  # pixels a side of the blocks that are judged
# Grey levels of 255 by which a block's mean may differ: in any colour; or, where noise of colour is all there is, in
# luma, and then in any colour.
LIMIT = 9.0
LUMA_LIMIT, NOISY_LIMIT = 4.2, 18.0
FAINT = 0.3  # of the photo's contrast, which no limit exceeds: two rings on white differ little, and are two rings
SMALL = 60  # pixels of the shorter side below which re-encoding leaves more: limits then grow as the side shrinks
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
LEVELS = (16, 32, 64)  # pixels a side at which photos are registered, coarse to fine
STEPS = 6  # at each level
MAX_SHIFT = 0.06  # of the side, by which an edge may move
STIFFNESS = 0.25  # what a shift by one pixel costs, against which the gradients stand
DECODE = 128  # pixels of the shorter side that large photos are decoded at
BATCH = 64  # pairs
HALF = np.float32(0.5)
TURNS = {1: Image.Transpose.FLIP_LEFT_RIGHT, 2: Image.Transpose.FLIP_TOP_BOTTOM, 4: Image.Transpose.TRANSPOSE}

Planes = NDArray[np.float32]  # (pairs, side, side, 3)
Task = tuple[list[str], list[str], list[int], list[int]]


def confirmed(
    first: Sequence[str],
    second: Sequence[str],
    workers: int | None = None,
    turns: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None,
) -> NDArray[np.bool_]:
    """Which pairs of photos show one photo, judged by their pixels.

    Photos are decoded in worker processes, a bounded number of pairs at a time, and once for neighbouring pairs: sort
    the pairs by their first photo.

    Args:
        first: URIs, one per pair.
        second: URIs, one per pair.
        workers: Processes; by default one per processor.
        turns: By which turn (as in `signature.turned`) each first and each second photo is laid before it is compared.

    Returns:
        A verdict per pair; False where a photo cannot be read.
    """
    upright = np.zeros(len(first), dtype=np.uint8)
    left, right = (upright, upright) if turns is None else turns
    tasks: list[Task] = []
    for start in range(0, len(first), BATCH):
        part = slice(start, start + BATCH)
        tasks.append((list(first[part]), list(second[part]), left[part].tolist(), right[part].tolist()))
    return np.concatenate([np.empty(0, dtype=bool), *in_order(_judged, tasks, workers)])


def pixel_digests(uris: Sequence[str], workers: int | None = None) -> list[str]:
    """A digest of all of each photo's upright RGB pixels; "" where it cannot be read.

    Args:
        uris: Photos.
        workers: Processes; by default one per processor.
    """
    return list(in_order(_pixel_digest, uris, workers))


def _pixel_digest(uri: str) -> str:
    try:
        image = open_photo(uri)
    except PhotoError:
        return ""
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()


def same_photo(one: Planes, other: Planes, scale: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pairs of upright RGB photos show one photo.

    Args:
        one: Values 0..255, (pairs, SIDE, SIDE, 3).
        other: The same.
        scale: By how much more each pair may differ, because it is small, (pairs,).
    """
    colour, luma, contrast = differences(one, other)
    faint = FAINT * contrast
    clean = colour <= np.minimum(LIMIT, faint) * scale
    noisy = (luma <= np.minimum(LUMA_LIMIT, faint / 2) * scale) & (colour <= NOISY_LIMIT * scale)
    return np.asarray(clean | noisy, dtype=bool)


def differences(one: Planes, other: Planes) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """By how much pairs of photos differ, once laid one over the other by a shift and a zoom along each axis.

    Returns:
        The largest difference of a block's mean in any of the three colours and in luma, and the standard deviation
        of luma within the photos, all in grey levels, (pairs,) each.
    """
    warp = _registered(one, other)
    left, right = _moved(one, other, warp)
    inside = _inside(warp, SIDE)
    blocks = SIDE // BLOCK
    summed = ((left - right) * inside[..., None]).reshape(-1, blocks, BLOCK, blocks, BLOCK, 3).sum(axis=(2, 4))
    pixels = inside.reshape(-1, blocks, BLOCK, blocks, BLOCK).sum(axis=(2, 4))
    means = summed / np.maximum(pixels, 1)[..., None]  # (pairs, blocks, blocks, 3)
    contrast = ((one + other) / 2 @ LUMA).std(axis=(1, 2))
    return np.abs(means).max(axis=(1, 2, 3)), np.abs(means @ LUMA).max(axis=(1, 2)), contrast


def _registered(one: Planes, other: Planes) -> NDArray[np.float32]:
    """Shift x, shift y, zoom x, zoom y of each pair, as shares of the side at the edge, (pairs, 4).

    Gauss-Newton steps on the squared difference of all colours (Lucas and Kanade, 1981), coarse to fine. Each photo
    moves half the way, so that the order of a pair does not matter.
    """
    warp = np.zeros((len(one), 4), dtype=np.float32)
    for side in LEVELS:
        first, second = _reduced(one, side), _reduced(other, side)
        span = np.linspace(-1, 1, side, dtype=np.float32)
        stiff = STIFFNESS * 3 * side * side * np.eye(4, dtype=np.float32)
        for _ in range(STEPS):
            left, right = _moved(first, second, warp)
            inside = _inside(warp, side)[..., None]
            down, across = np.gradient((left + right) / 2, axis=(1, 2))
            slopes = [across, down, across * span[:, None], down * span[:, None, None]]  # of each warp, in pixels
            slope = np.stack([(each * inside).reshape(len(one), -1) for each in slopes], axis=-1)  # (pairs, values, 4)
            target = np.einsum("nij,ni->nj", slope, (left - right).reshape(len(one), -1))
            update = np.linalg.solve(slope.swapaxes(1, 2) @ slope + stiff, target[..., None])[..., 0]
            warp = np.clip(warp - update / side, -MAX_SHIFT, MAX_SHIFT).astype(np.float32)
    return warp


def _moved(one: Planes, other: Planes, warp: NDArray[np.float32]) -> tuple[Planes, Planes]:
    """Both photos moved half the way towards each other, resampled linearly; each axis is one small matrix."""
    moved = []
    for photos, half in ((one, warp * HALF), (other, -warp * HALF)):
        side = photos.shape[1]
        across, down = _sampling(half[:, 0], half[:, 2], side), _sampling(half[:, 1], half[:, 3], side)
        rows = (down @ photos.reshape(len(photos), side, -1)).reshape(photos.shape)
        moved.append(np.einsum("nxk,nykc->nyxc", across, rows, optimize=True))
    return moved[0], moved[1]


def _places(shift: NDArray[np.float32], zoom: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Where each pixel of an axis is taken from, (pairs, side)."""
    cells, span = np.arange(side, dtype=np.float32), np.linspace(-1, 1, side, dtype=np.float32)
    return np.asarray(cells + side * (shift[:, None] + zoom[:, None] * span), dtype=np.float32)


def _sampling(shift: NDArray[np.float32], zoom: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    places = _places(shift, zoom, side).clip(0, side - 1)
    return np.maximum(0, 1 - np.abs(places[:, :, None] - np.arange(side, dtype=np.float32))).astype(np.float32)


def _inside(warp: NDArray[np.float32], side: int) -> NDArray[np.bool_]:
    """Which pixels both photos show, less a rim, (pairs, side, side)."""
    rim = side // 32
    seen = []
    for axis in (1, 0):  # down, across
        both = np.ones((len(warp), side), dtype=bool)
        for half in (warp * HALF, -warp * HALF):
            places = _places(half[:, axis], half[:, 2 + axis], side)
            both &= (places >= 0) & (places <= side - 1)
        both[:, :rim] = both[:, side - rim :] = False
        seen.append(both)
    return seen[0][:, :, None] & seen[1][:, None]


def _reduced(photos: Planes, side: int) -> Planes:
    block = photos.shape[1] // side
    return photos.reshape(len(photos), side, block, side, block, 3).mean(axis=(2, 4))


# Photos into planes, in processes.


def _judged(task: Task) -> NDArray[np.bool_]:
    photos = {uri: _decoded(uri) for uri in dict.fromkeys([*task[0], *task[1]])}
    found = np.zeros(len(task[0]), dtype=bool)
    pairs: list[tuple[Planes, Planes]] = []
    scales: list[float] = []
    places: list[int] = []
    for place, (first, second, left, right) in enumerate(zip(*task, strict=True)):
        one, other = photos[first], photos[second]
        if one is not None and other is not None:
            pairs.append(_laid(_turned(one, left), _turned(other, right)))
            scales.append(max(1, SMALL / min(*one.size, *other.size)))
            places.append(place)
    if pairs:
        ones, others = (np.stack(side) for side in zip(*pairs, strict=True))
        found[places] = same_photo(ones, others, np.array(scales, dtype=np.float32))
    return found


def _decoded(uri: str) -> Image.Image | None:
    """A photo at no more than a few times SIDE, None if it cannot be read."""
    try:
        image = open_photo(uri, near=DECODE)
    except PhotoError:
        return None
    scale = DECODE / min(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.HAMMING) if scale < 1 else image


def _laid(one: Image.Image, other: Image.Image) -> tuple[Planes, Planes]:
    """Two photos as (SIDE, SIDE, 3) that show no more detail than the smaller of them."""
    common = (min(one.width, other.width, SIDE), min(one.height, other.height, SIDE))
    small = [image.resize(common, Image.Resampling.HAMMING) for image in (one, other)]
    wide = [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float32) for image in small]
    return wide[0], wide[1]


def _turned(image: Image.Image, turn: int) -> Image.Image:
    """The photo as `signature.turned` lays it: bit 1 mirrors, bit 2 flips, bit 4 transposes."""
    for bit, method in TURNS.items():
        image = image.transpose(method) if turn & bit else image
    return image
