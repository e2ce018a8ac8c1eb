"""Marked boxes against the photos they lie in."""

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.catalog.schema import BBOX_PATTERN
from vitrine.catalog.table import TEXT

ROUNDING = 1  # pixels by which a box may stand out


def is_box(boxes: pd.Series) -> pd.Series:
    """Which cells read x,y,w,h."""
    return boxes.str.fullmatch(BBOX_PATTERN).astype(bool)


def outside(boxes: pd.Series, width: NDArray[np.int32], height: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which boxes do not lie inside their photos, or have no area.

    Args:
        boxes: `x,y,w,h` each, (n,).
        width: Of the photos, pixels, (n,).
        height: The same.
    """
    x, y, w, h = _numbers(boxes)
    inside = (w > 0) & (h > 0) & (x >= -ROUNDING) & (y >= -ROUNDING)
    inside &= (x + w <= width + ROUNDING) & (y + h <= height + ROUNDING)
    return np.asarray(~inside, dtype=bool)


def clipped(boxes: pd.Series, width: NDArray[np.int32], height: NDArray[np.int32]) -> pd.Series:
    """What of each box lies inside its photo, "" where nothing does."""
    x, y, w, h = _numbers(boxes)
    left, top = np.maximum(x, 0), np.maximum(y, 0)
    inside = np.stack([left, top, np.minimum(x + w, width) - left, np.minimum(y + h, height) - top], axis=1).round(2)
    cells = [
        ",".join(np.format_float_positional(value, trim="-") for value in box) if min(box[2:]) > 0 else ""
        for box in inside
    ]
    return pd.Series(cells, index=boxes.index, dtype=TEXT)


def same_place(one: str, other: str, size: tuple[int, int], other_size: tuple[int, int]) -> bool:
    """Whether two boxes mark the same part of a photo that both are about, to a pixel of the smaller copy.

    Args:
        one: `x,y,w,h`; texts that are no boxes are compared as texts.
        other: The same.
        size: Width and height of the copy that `one` lies in, pixels.
        other_size: The same for `other`.
    """
    if one == other and size == other_size:
        return True
    if not (re.fullmatch(BBOX_PATTERN, one) and re.fullmatch(BBOX_PATTERN, other)):
        return one == other
    smaller = np.minimum(size, other_size)
    apart = (_corners(one) / size - _corners(other) / other_size) * smaller  # pixels of the smaller copy
    return bool((np.abs(apart).round(6) <= ROUNDING).all())


def _corners(box: str) -> NDArray[np.float64]:
    """Left, top and right, bottom, (2, 2)."""
    x, y, w, h = (float(number) for number in box.split(","))
    return np.array([[x, y], [x + w, y + h]])


def _numbers(boxes: pd.Series) -> NDArray[np.float64]:
    """x, y, w and h, (4, n)."""
    return boxes.str.split(",", expand=True).astype(float).to_numpy().reshape(-1, 4).T
