"""Heat maps over photos."""

import numpy as np
import pytest
from PIL import Image

from vitrine.data.heat import heat_thumbnail, shaded, spread
from vitrine.errors import InputError


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (40, 60), (90, 120, 150)).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def test_colour_where_the_heat_is(photo):
    pixels = np.asarray(shaded(photo, np.array([[1.0, 0.0], [0.0, 0.0]]), 64), int)
    assert np.allclose(pixels[8:12, 12:20], (90, 120, 150), atol=4)  # the photo is upright: its sides are filled
    assert np.allclose(pixels[52:, 44:52], 0.35 * 120, atol=4)


def test_spread():
    assert spread(np.array([[2.0, 3.0], [4.0, 2.5]])).tolist() == [[0, 0.5], [1, 0.25]]
    assert spread(np.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]


def test_unreadable(tmp_path):
    assert heat_thumbnail(str(tmp_path / "none.jpg"), np.ones((2, 2))) is None
    with pytest.raises(InputError, match=r"none\.jpg"):
        shaded(str(tmp_path / "none.jpg"), np.ones((2, 2)))
