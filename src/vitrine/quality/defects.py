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
WHITE = 249  # level of a luma cell
MIDDLE = slice(signature.LUMA // 4, -signature.LUMA // 4)  # cells of each axis
RIM = np.flatnonzero(np.pad(np.zeros((signature.LUMA - 2,) * 2), 1, constant_values=1))
ON_WHITE, FILLED, PALE = (
    0.4,
    0.3,
    200,
)  # shares of rim and middle that are white; level of the dark parts of what is shown
# How abrupt edges are, in units of the usual: below, a photo is soft; above, a thing on a white ground is overexposed;
# and levels were cut off at white, whatever is shown.
SOFT, HARD, CUT_OFF = 0.9, 1.2, 1.7
WHITENED = 0.1  # share of an overexposed photo that is nearly white at least
SPAN, FLAT = 0.25, 0.08  # of the usual span of levels: all that is left of it, and what the darkest tenth has of it
VEILED = 0.3  # share that is nearly white below which no ground is white
OUTSIDE, FAR_OUT = 1.5, 3.0  # distances between the quartiles beyond the upper one: Tukey's fences
LEVELS = ("shadows", "highlights", "clipped", "blown", "focus")
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
    by_defect = {name: np.zeros(len(photos), dtype=bool) for name in MASKS}
    if len(rows) < FEWEST:
        return by_defect

    def measure(name: str) -> NDArray[np.float64]:
        return photos[name].to_numpy()[rows].astype(np.float64)

    highlights, focus = measure("highlights"), measure("focus")
    stretch = np.abs(np.log(measure("width") / measure("height")))
    encoded = signatures(photos)
    detail = information(encoded)[rows]
    masks = (
        highlights < settings.dark_highlights * _usual(highlights).middle,
        _overexposed(encoded[rows], {name: measure(name) for name in LEVELS}, settings),
        focus < settings.blurred_focus * _usual(focus).high,
        stretch > max(_usual(stretch).middle + np.log(settings.odd_aspect), _usual(stretch).fence(FAR_OUT)),
        detail < settings.low_information * _usual(detail).middle,
        measure("borders") > settings.background_share,
    )
    for name, mask in zip(MASKS, masks, strict=True):
        by_defect[name][rows[mask]] = True
    return by_defect


def _overexposed(encoded: NDArray[np.uint8], measured: dict[str, NDArray[np.float64]], settings: Settings) -> Mask:
    """Which photos lost their light parts, or are washed out; a thing on a white ground is neither, however bright.

    Colours at their limit tell: a ground is white, but what is overexposed is yellow or cyan before it is white. Where
    all of a photo has become white, so has its middle, and edges are cut off where they reach white.

    Args:
        encoded: Signatures, (photos, LENGTH).
        measured: The `LEVELS` of the photo table, (photos,) each.
        settings: Limits.
    """
    shadows, clipped, blown = measured["shadows"], measured["clipped"], measured["blown"]
    luma = encoded[:, : signature.LUMA**2].reshape(-1, signature.LUMA, signature.LUMA)
    middle = luma[:, MIDDLE, MIDDLE].reshape(len(luma), -1)
    white = (luma >= WHITE).reshape(len(luma), -1)
    on_white = (white[:, RIM].mean(axis=1) > ON_WHITE) & ((middle >= WHITE).mean(axis=1) < FILLED)
    on_white &= np.percentile(middle, 10, axis=1) < PALE
    darkest, dark = np.percentile(luma.reshape(len(luma), -1), (5, 10), axis=1)
    limit = clipped + blown * (1 - clipped)
    edges = measured["focus"] / max(_usual(measured["focus"]).middle, 1e-6)
    lifted = shadows >= LIFTED * _usual(shadows).middle  # black print on white is not overexposed
    coloured = (blown > max(settings.bright_blown, _usual(blown).fence(FAR_OUT))) & (
        limit > max(2 * settings.bright_blown, _usual(limit).fence(OUTSIDE))
    )
    coloured &= (edges > SOFT) | (limit > settings.bright_clipped)
    gone = limit > max(settings.bright_clipped, _usual(limit).fence(FAR_OUT))
    gone &= clipped > WHITENED  # what has a colour at its limit and no white may be a vivid thing
    gone &= edges > np.where(on_white, HARD, SOFT)
    whiter = (_usual(limit).middle + _usual(limit).high) / 2
    cut_off = (edges > CUT_OFF) & (limit > max(settings.bright_clipped, whiter))
    veiled = (shadows > max(settings.bright_shadows, _usual(shadows).fence(FAR_OUT))) & (
        (clipped < VEILED) | (darkest > _usual(darkest).fence(FAR_OUT))
    )
    span = measured["highlights"] - shadows
    usual_span = _usual(span).middle
    veiled |= (span < SPAN * usual_span) & (dark - shadows < FLAT * usual_span) & (shadows > settings.bright_shadows)
    return np.asarray(lifted & (coloured | gone | cut_off) | veiled, dtype=bool)


def information(encoded: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many frequencies of a signature's luma cells show something, of 256: (n, LENGTH) -> (n,).

    Noise cancels within a cell, and a plain ground or a gradient has a handful of frequencies; a photo has a hundred.
    """
    side = signature.LUMA
    waves = cv2.dct(np.eye(side, dtype=np.float32), flags=cv2.DCT_ROWS)  # one per column
    counts = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(encoded), PORTION):
        luma = encoded[start : start + PORTION, : side * side].reshape(-1, side, side).astype(np.float32)
        counts.append((np.abs(waves.T @ luma @ waves) > SEEN).sum(axis=(1, 2)))
    return np.concatenate(counts)


def _usual(values: NDArray[np.float64] | NDArray[np.int64]) -> _Usual:
    return _Usual(*np.percentile(values, (25, 50, 75)).tolist())
