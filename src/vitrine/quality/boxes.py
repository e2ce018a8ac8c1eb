"""Marked boxes against the photos they lie in."""

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
    x, y, w, h = _corners(boxes)
    inside = (w > 0) & (h > 0) & (x + w <= width + ROUNDING) & (y + h <= height + ROUNDING)
    return np.asarray(~inside, dtype=bool)


def clipped(boxes: pd.Series, width: NDArray[np.int32], height: NDArray[np.int32]) -> pd.Series:
    """What of each box lies inside its photo, "" where nothing does."""
    x, y, w, h = _corners(boxes)
    inside = np.stack([x, y, np.minimum(x + w, width) - x, np.minimum(y + h, height) - y], axis=1).round(2)
    cells = [
        ",".join(np.format_float_positional(value, trim="-") for value in box) if min(box[2:]) > 0 else ""
        for box in inside
    ]
    return pd.Series(cells, index=boxes.index, dtype=TEXT)


def _corners(boxes: pd.Series) -> NDArray[np.float64]:
    """x, y, w and h, (4, n)."""
    return boxes.str.split(",", expand=True).astype(float).to_numpy().reshape(-1, 4).T
