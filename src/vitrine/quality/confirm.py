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
# The same picture (`same_picture`), in grey levels: the largest difference of a block's mean, that of all textured
# blocks together, and how many times the usual one the largest may be. Faint ones may be coherent, as rounding is.
UNSEEN = 2.5
FAINT_LIMIT, FAINT_TINT, FAINT_PEAK = 4.0, 1.5, 3.0
NOISE_LIMIT, NOISE_TINT, NOISE_PEAK = 10.0, 2.0, 3.6
COHERENT = 0.45  # share of the differences that block means keep: 1/8 of white noise, 1 of a shade
LOOSER = 1.4  # for photos of different sizes
PLAIN = 4.0  # deviation below which a block shows nothing
SHOWN = 16  # of the 64 blocks that must show something: two shades of a lipstick on white differ by no more than noise
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
LEVELS = (16, 32, 64)  # pixels a side at which photos are registered, coarse to fine
STEPS = 6  # at each level
MAX_SHIFT = 0.06  # of the side, by which an edge may move
STIFFNESS = 0.25  # what a shift by one pixel costs, against which the gradients stand
DECODE = 128  # pixels of the shorter side that large photos are decoded at
BATCH = 64  # pairs
HALF = np.float32(0.5)
TURNS = {1: Image.Transpose.FLIP_LEFT_RIGHT, 2: Image.Transpose.FLIP_TOP_BOTTOM, 4: Image.Transpose.TRANSPOSE}

DIFFERENT, COPY, PICTURE = 0, 1, 2

Planes = NDArray[np.float32]  # (pairs, side, side, 3)
Verdicts = NDArray[np.uint8]
Task = tuple[list[str], list[str], list[int], list[int]]


def confirmed(
    first: Sequence[str],
    second: Sequence[str],
    workers: int | None = None,
    turns: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None,
) -> Verdicts:
    """Whether pairs of photos show one photo, judged by their pixels.

    Photos are decoded in worker processes, a bounded number of pairs at a time, and once for neighbouring pairs: sort
    the pairs by their first photo.

    Args:
        first: URIs, one per pair.
        second: URIs, one per pair.
        workers: Processes; by default one per processor.
        turns: By which turn (as in `signature.turned`) each first and each second photo is laid before it is compared.

    Returns:
        Of each pair `DIFFERENT`, `COPY` or `PICTURE` (re-encoded or resized, nothing else); `DIFFERENT` where a photo
        cannot be read.
    """
    upright = np.zeros(len(first), dtype=np.uint8)
    left, right = (upright, upright) if turns is None else turns
    tasks: list[Task] = []
    for start in range(0, len(first), BATCH):
        part = slice(start, start + BATCH)
        tasks.append((list(first[part]), list(second[part]), left[part].tolist(), right[part].tolist()))
    return np.concatenate([np.empty(0, dtype=np.uint8), *in_order(_judged, tasks, workers)])


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


def same_picture(one: Planes, other: Planes, resized: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pairs of copies differ as one picture does from itself when it was saved anew or resized.

    Where nothing was moved and no shade painted in, what is left is noise: it lies all over the photo, and cancels
    within a block. Paint changes whole blocks by one amount, and leaves others as they were. Of photos of different
    sizes, which nobody paints on, more is allowed: resampling softens edges.

    Measured on 150 photos of each of three sets: of copies saved as JPEG of quality 75 or 40 or WEBP of 40, or
    enlarged by half, 81 to 100 in 100 pass, of those halved and saved at quality 85 91 to 99, at 60 54 to 99; of 12
    pairs of one cosmetic or bag in two shades none.

    Args:
        one: Values 0..255, (pairs, SIDE, SIDE, 3).
        other: The same.
        resized: Which pairs come from photos of different sizes, (pairs,).
    """
    difference, blocks = one - other, SIDE // BLOCK
    cut = (-1, blocks, BLOCK, blocks, BLOCK, 3)
    means = difference.reshape(cut).mean(axis=(2, 4)).reshape(len(one), -1, 3)  # (pairs, blocks, 3)
    power = np.square(difference).reshape(cut).mean(axis=(2, 4)).reshape(means.shape)
    detail = ((one + other) / 2).reshape(cut).std(axis=(2, 4)).reshape(means.shape).max(axis=2)
    textured = detail > PLAIN
    shown = textured.sum(axis=1)
    share = (textured / shown.clip(1)[:, None])[..., None]  # of each textured block, (pairs, blocks, 1)
    largest = np.abs(means).max(axis=(1, 2))
    usual = np.sqrt((np.square(means).max(axis=2, keepdims=True) * share).sum(axis=(1, 2))).clip(0.1)
    tint = np.abs((means * share).sum(axis=1)).max(axis=1)
    kept, all_power = ((each * share).sum(axis=(1, 2)) for each in (np.square(means), power))
    coherence = np.sqrt(kept / all_power.clip(1e-6))
    looser = np.where(resized, LOOSER, 1)
    unseen = largest <= UNSEEN
    faint = (largest <= FAINT_LIMIT) & (tint <= FAINT_TINT) & (largest <= FAINT_PEAK * usual)
    noise = (largest <= NOISE_LIMIT * looser) & (tint <= NOISE_TINT * looser) & (largest <= NOISE_PEAK * usual)
    noise &= coherence <= COHERENT * looser
    return np.asarray((shown >= SHOWN) & (unseen | faint | noise), dtype=bool)


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


def _judged(task: Task) -> Verdicts:
    photos = {uri: _decoded(uri) for uri in dict.fromkeys([*task[0], *task[1]])}
    found = np.zeros(len(task[0]), dtype=np.uint8)
    pairs: list[tuple[Planes, Planes]] = []
    scales: list[float] = []
    resized: list[bool] = []
    places: list[int] = []
    for place, (first, second, left, right) in enumerate(zip(*task, strict=True)):
        one, other = photos[first], photos[second]
        if one is not None and other is not None:
            pairs.append(_laid(_turned(one, left), _turned(other, right)))
            scales.append(max(1, SMALL / min(*one.size, *other.size)))
            resized.append(one.size != other.size)
            places.append(place)
    if pairs:
        ones, others = (np.stack(side) for side in zip(*pairs, strict=True))
        copies = same_photo(ones, others, np.array(scales, dtype=np.float32))
        pictures = copies & same_picture(ones, others, np.array(resized))
        found[places] = np.where(pictures, PICTURE, np.where(copies, COPY, DIFFERENT))
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
