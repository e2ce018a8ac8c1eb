"""Features of the photo table: gradients against a loop, and no surprises at the edges."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vitrine.quality.looks import GRIDS, gradients, looks
from vitrine.quality.signature import LENGTH, LUMA


def table(signatures):
    """A photo table with just what features are made of."""
    rows = len(signatures)
    data = pa.array([row.tobytes() for row in signatures], pa.binary(LENGTH))
    measures = {
        name: np.full(rows, 50, "float32")
        for name in ("brightness", "contrast", "spread", "colourfulness", "sharpness")
    }
    size = {"width": np.full(rows, 640), "height": np.full(rows, 480), "readable": np.ones(rows, dtype=bool)}
    return pd.DataFrame({**measures, **size, "signature": pd.Series(data, dtype=pd.ArrowDtype(pa.binary(LENGTH)))})


def by_the_book(luma, side, directions):
    plane = luma.reshape(LUMA, LUMA)
    cells = np.zeros((side, side, directions))
    for y in range(LUMA):
        for x in range(LUMA):
            right, left = plane[y, min(x + 1, LUMA - 1)], plane[y, max(x - 1, 0)]
            below, above = plane[min(y + 1, LUMA - 1), x], plane[max(y - 1, 0), x]
            across, down = right - left, below - above
            place = (math.atan2(down, across) % math.pi) / math.pi * directions
            lower, share = int(place) % directions, place - int(place)
            cell = cells[y * side // LUMA, x * side // LUMA]
            cell[lower] += math.hypot(across, down) * (1 - share)
            cell[(lower + 1) % directions] += math.hypot(across, down) * share
    return np.sqrt(cells.ravel() / (cells.sum() + 1e-6))


@pytest.mark.parametrize(("side", "directions"), GRIDS)
def test_gradients_equal_a_loop_over_cells(side, directions):
    luma = np.random.default_rng(0).integers(0, 256, (5, LUMA * LUMA)).astype(np.float32)
    luma[4] = 90.0  # no gradient anywhere
    got = gradients(luma, side, directions)
    for row in range(5):
        assert np.allclose(got[row], by_the_book(luma[row], side, directions), atol=1e-4)


def test_dark_on_light_is_light_on_dark():
    luma = np.random.default_rng(1).integers(0, 256, (3, LUMA * LUMA)).astype(np.float32)
    assert np.allclose(gradients(luma, 4, 8), gradients(255 - luma, 4, 8), atol=1e-3)


def test_columns_are_standardised_and_constant_ones_harmless():
    signatures = np.random.default_rng(2).integers(0, 256, (40, LENGTH)).astype(np.uint8)
    features = looks(table(signatures))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert np.allclose(features.mean(axis=0), 0, atol=1e-3)
    assert np.isfinite(looks(table(np.zeros((3, LENGTH), np.uint8)))).all()
    assert len(looks(table(signatures[:1]))) == 1
