"""What a photo looks like in 288 bytes, its 64-bit perceptual hash, and whether two signatures show one photo.

A signature holds 16 x 16 luma and 4 x 4 x 2 chroma values (uint8). The hash is the DCT hash of the luma plane (Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions", 2010): the 8 x 8 lowest frequencies without the
constant row and column, each above or below their median. Because it follows from the signature alone, the hash of a
flipped or turned photo needs no second look at the photo.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

LUMA = 16
CHROMA = 4
LENGTH = LUMA * LUMA + 2 * CHROMA * CHROMA
TURNS = 8  # the symmetries of a square: 0 is the photo as it is

# Two signatures show one photo when no cell differs by more than MAX_CELL grey levels (of 255) beyond what a small crop
# explains, the differences together stay below MAX_SHARE of the contrast, and no chroma cell differs by MAX_CHROMA.
# Measured on 10,000 pairs of different products with close hashes and on re-encoded, shrunk, cropped copies.
MAX_CELL = 10.0
MAX_SHARE = 0.03
MAX_CHROMA = 8.0
MAX_GAIN = 1.25  # brighter or darker copies


def signature(image: Image.Image) -> NDArray[np.uint8]:
    """The signature of an upright RGB photo, (LENGTH,)."""
    small = np.asarray(image.convert("YCbCr").resize((LUMA, LUMA), Image.Resampling.BILINEAR), dtype=np.float32)
    block = LUMA // CHROMA
    chroma = small[..., 1:].reshape(CHROMA, block, CHROMA, block, 2).mean(axis=(1, 3))
    return np.concatenate([small[..., 0].ravel(), chroma.transpose(2, 0, 1).ravel()]).round().astype(np.uint8)


def hashes(signatures: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The perceptual hash of each signature, (n, LENGTH) -> (n,)."""
    out = np.empty(len(signatures), dtype=np.uint64)
    for start in range(0, len(signatures), 100_000):
        part = slice(start, start + 100_000)
        luma = signatures[part, : LUMA * LUMA].reshape(-1, LUMA, LUMA).astype(np.float32)
        low = dctn(luma, axes=(1, 2), norm="ortho")[:, 1:9, 1:9].reshape(-1, 64)
        bits = low > np.median(low, axis=1, keepdims=True)
        out[part] = np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)
    return out


def turned(signatures: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """The signatures of the photos flipped or turned by a quarter: bit 1 mirrors, bit 2 flips, bit 4 transposes."""
    luma = signatures[:, : LUMA * LUMA].reshape(-1, 1, LUMA, LUMA)
    chroma = signatures[:, LUMA * LUMA :].reshape(-1, 2, CHROMA, CHROMA)
    return np.concatenate([_turn(plane, turn).reshape(len(signatures), -1) for plane in (luma, chroma)], axis=1)


def same_photo(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pairs of signatures show one photo, (pairs, LENGTH) twice -> (pairs,).

    A crop or a resize moves edges by a fraction of a cell, so a cell may differ by half its luma gradient before the
    difference counts; a product of another shade or print differs inside its area, where the gradient is small.
    """
    out = np.empty(len(first), dtype=bool)
    for start in range(0, len(first), 50_000):
        part = slice(start, start + 50_000)
        out[part] = _same(first[part], second[part])
    return out


def _same(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    a, b = (
        side[:, : LUMA * LUMA].reshape(-1, LUMA, LUMA).astype(np.float32)
        - side[:, : LUMA * LUMA].mean(axis=1, dtype=np.float32)[:, None, None]
        for side in (first, second)
    )
    spread_a, spread_b = (np.maximum(np.sqrt(np.square(side).mean(axis=(1, 2))), 1.0) for side in (a, b))
    gain = np.sqrt(np.clip(spread_b / spread_a, 1 / MAX_GAIN, MAX_GAIN))[:, None, None]
    a, b = a * gain, b / gain
    slack = 0.25 * (_gradient(a) + _gradient(b))
    beyond = np.maximum(np.abs(a - b) - slack, 0)
    share = np.sqrt(np.square(beyond).mean(axis=(1, 2))) / np.sqrt(spread_a * spread_b)
    chroma = np.abs(first[:, LUMA * LUMA :].astype(np.int16) - second[:, LUMA * LUMA :].astype(np.int16)).max(axis=1)
    return (beyond.max(axis=(1, 2)) <= MAX_CELL) & (share <= MAX_SHARE) & (chroma <= MAX_CHROMA)


def _gradient(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    down, right = np.gradient(plane, axis=(1, 2))
    return np.abs(down) + np.abs(right)


def _turn(plane: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    if turn & 1:
        plane = plane[..., ::-1]
    if turn & 2:
        plane = plane[..., ::-1, :]
    return plane.swapaxes(-1, -2) if turn & 4 else plane
