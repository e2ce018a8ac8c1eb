"""Photos that are unlike the catalog's others in a way that spoils them: dark, bright, blurred, oddly shaped, empty.

What is usual is learned from the catalog's own photos: a jeweller's are darker than a grocer's, and pack shots on white
are brighter than either. Limits were measured on three sets of real photos (docs/results/quality-planted.md).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.quality import signature
from vitrine.quality.scan import signatures
from vitrine.quality.settings import Settings

FEWEST = 20  # photos below which nothing is usual
SEEN = 8.0  # size of a frequency of the 16 x 16 luma cells (orthonormal DCT) from which on it shows something
PORTION = 100_000  # signatures looked at together
LIFTED = 0.1  # of the usual shadows, which overexposure never darkens
OUTSIDE, FAR_OUT = 1.5, 3.0  # distances between the quartiles beyond the upper one: Tukey's fences
MASKS = ("dark_photos", "bright_photos", "blurred_photos", "odd_aspect", "low_information", "mostly_background")

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Usual:
    """The quartiles of a measure."""

    low: float
    middle: float
    high: float

    def fence(self, distance: float) -> float:
        """What lies that many distances between the quartiles above the upper one."""
        return self.high + distance * (self.high - self.low)


def defects(photos: pd.DataFrame, settings: Settings) -> dict[str, Mask]:
    """Which rows show each defect, by the name of its rule (`MASKS`); none in a catalog of a few photos.

    Args:
        photos: A photo table, with signatures.
        settings: Limits.
    """
    rows = np.flatnonzero(photos["readable"].to_numpy() & (photos["spread"].to_numpy() >= settings.blank_spread))
    found = {name: np.zeros(len(photos), dtype=bool) for name in MASKS}
    if len(rows) < FEWEST:
        return found

    def measure(name: str) -> NDArray[np.float64]:
        return photos[name].to_numpy()[rows].astype(np.float64)

    shadows, highlights, clipped = map(measure, ("shadows", "highlights", "clipped"))
    brightness, focus = map(measure, ("brightness", "focus"))
    stretch = np.abs(np.log(measure("width") / measure("height")))
    detail = information(signatures(photos))[rows]
    whitest = max(settings.bright_clipped, _usual(clipped).fence(FAR_OUT))
    lifted = shadows >= LIFTED * _usual(shadows).middle  # black print on white is not overexposed
    masks = (
        highlights < settings.dark_highlights * _usual(highlights).middle,
        ((clipped > whitest) | (brightness > _usual(brightness).fence(OUTSIDE))) & lifted,
        focus < settings.blurred_focus * _usual(focus).high,
        stretch > max(_usual(stretch).middle + np.log(settings.odd_aspect), _usual(stretch).fence(FAR_OUT)),
        detail < settings.low_information * _usual(detail).middle,
        measure("borders") > settings.background_share,
    )
    for name, mask in zip(MASKS, masks, strict=True):
        found[name][rows[mask]] = True
    return found


def information(looks: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many frequencies of a signature's luma cells show something, of 256: (n, LENGTH) -> (n,).

    Noise cancels within a cell, and a plain ground or a gradient has a handful of frequencies; a photo has a hundred.
    """
    side = signature.LUMA
    waves = cv2.dct(np.eye(side, dtype=np.float32), flags=cv2.DCT_ROWS)  # one per column
    counts = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(looks), PORTION):
        luma = looks[start : start + PORTION, : side * side].reshape(-1, side, side).astype(np.float32)
        counts.append((np.abs(waves.T @ luma @ waves) > SEEN).sum(axis=(1, 2)))
    return np.concatenate(counts)


def _usual(values: NDArray[np.float64] | NDArray[np.int64]) -> _Usual:
    return _Usual(*np.percentile(values, (25, 50, 75)).tolist())
