"""What a photo looks like as a row of numbers, from the photo table alone: no photo is opened again.

Histograms of oriented gradients (Dalal and Triggs, CVPR 2005) of the signature's luma cells say what shapes there are
and where; its chroma cells, and both sorted by value, say the colours. On 5,096 photos of 17 kinds of clothes they tell
six in ten apart, the bare signature four in ten.
"""

from math import sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.quality.scan import signatures
from vitrine.quality.signature import CHROMA, LUMA

GRIDS = ((4, 8), (8, 6))  # cells a side, directions
MEASURES = ("brightness", "contrast", "spread", "colourfulness")

Features = NDArray[np.float32]


def looks(photos: pd.DataFrame) -> Features:
    """Features of readable photos, (photos, features): blocks of standardised columns, each block of a fixed weight."""
    cells = signatures(photos).astype(np.float32)
    luma, chroma = cells[:, : LUMA * LUMA], cells[:, LUMA * LUMA :]
    tones = np.sort(luma, axis=1)[:, LUMA // 2 :: LUMA]
    colours = np.sort(chroma.reshape(-1, 2, CHROMA * CHROMA), axis=2).reshape(len(cells), -1)
    shapes = np.concatenate([gradients(luma, side, directions) for side, directions in GRIDS], axis=1)
    blocks = [(luma, 0.5), (chroma, 1.0), (colours, 1.0), (tones, 0.5), (shapes, 1.5), (_measures(photos), 1.0)]
    return np.concatenate([_standardised(block) * (weight / sqrt(block.shape[1])) for block, weight in blocks], axis=1)


def gradients(luma: Features, side: int, directions: int) -> Features:
    """Histograms of oriented gradients, (photos, side * side * directions), square roots of shares.

    A cell's gradient is shared between the two nearest of the directions, which are those of lines: dark on light is
    light on dark.

    Args:
        luma: (photos, LUMA * LUMA)
        side: Cells of the histogram grid on a side.
        directions: Bins over half a turn.
    """
    planes = np.pad(luma.reshape(-1, LUMA, LUMA), ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = planes[:, 1:-1, 2:] - planes[:, 1:-1, :-2]
    down = planes[:, 2:, 1:-1] - planes[:, :-2, 1:-1]
    strength = np.hypot(across, down)
    angle = np.arctan2(down, across) % np.pi * np.float32(directions / np.pi)
    lower = np.floor(angle)
    upper_share = angle - lower
    lower = lower.astype(np.int8) % directions
    step = LUMA // side
    histograms = np.empty((len(luma), side, side, directions), dtype=np.float32)
    for direction in range(directions):
        share = (lower == direction) * (1 - upper_share) + ((lower + 1) % directions == direction) * upper_share
        histograms[..., direction] = (strength * share).reshape(-1, side, step, side, step).sum(axis=(2, 4))
    flat = histograms.reshape(len(luma), -1)
    return np.sqrt(flat / (flat.sum(axis=1, keepdims=True) + 1e-6))


def _measures(photos: pd.DataFrame) -> Features:
    width, height = photos["width"].to_numpy(np.float32), photos["height"].to_numpy(np.float32)
    derived = [
        np.log1p(photos["sharpness"].to_numpy(np.float32)),
        np.log(width / height),
        np.log(np.minimum(width, height)),
    ]
    return np.stack([*(photos[name].to_numpy(np.float32) for name in MEASURES), *derived], axis=1)


def _standardised(block: Features) -> Features:
    spread = block.std(axis=0)
    return (block - block.mean(axis=0)) / np.where(spread > 1e-4, spread, 1)
