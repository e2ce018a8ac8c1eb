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


def test_red_where_the_heat_is(photo):
    pixels = np.asarray(shaded(photo, np.array([[1.0, 0.0], [0.0, 0.0]]), 64), int)
    redness = pixels[..., 0] - pixels[..., 2]
    assert redness[:20, :20].mean() > 60
    assert redness[44:, 44:].mean() < 0  # the photo's own blue


def test_spread():
    assert spread(np.array([[2.0, 3.0], [4.0, 2.5]])).tolist() == [[0, 0.5], [1, 0.25]]
    assert spread(np.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]


def test_unreadable(tmp_path):
    assert heat_thumbnail(str(tmp_path / "none.jpg"), np.ones((2, 2))) is None
    with pytest.raises(InputError, match=r"none\.jpg"):
        shaded(str(tmp_path / "none.jpg"), np.ones((2, 2)))
