"""The paper's crops, pixel for pixel."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitrine.data.crops import CENTRE, cropped, crops_of, square_around
from vitrine.data.photo_store import PhotoStore


@given(*[st.floats(0, 300) for _ in range(2)], *[st.floats(0.5, 400) for _ in range(2)], *[st.integers(1, 300)] * 2)
def test_the_square_has_the_papers_edge_and_lies_inside(x, y, w, h, width, height):
    left, top, edge = square_around((x, y, w, h), width, height)
    assert edge == pytest.approx(max(1.0, min(max(w, h), min(width, height))))
    assert left >= 0
    assert top >= 0
    assert left + edge <= width + 1e-6
    assert top + edge <= height + 1e-6


def test_a_user_photo_is_cut_to_its_centre():
    pixels = np.zeros((256, 320, 3), np.uint8)
    pixels[16:240, 48:272] = 255  # the 224 x 224 in the middle
    assert cropped(Image.fromarray(pixels), "centre", 224).min() == 255
    pixels[16, 160] = 0  # its first row
    assert cropped(Image.fromarray(pixels), "centre", 224).min() == 0
    assert CENTRE == 0.875


def test_boxes_are_in_pixels_of_the_original_even_of_large_jpegs(tmp_path):
    pixels = np.zeros((800, 1200, 3), np.uint8)
    pixels[100:300, 700:900] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    store = PhotoStore([str(tmp_path / "a.jpg")] * 2, 32, crops=["700,100,200,150", ""])
    boxed, whole = store.read(np.arange(2))
    assert boxed[0, 6:-2, 2:-2].min() > 230  # edge 200 around (800, 175): 75 ... 275
    assert boxed[0, 0].max() < 60
    assert (whole[0] > 230).float().mean() < 0.1


def test_which_crop_a_row_gets():
    table = pd.DataFrame({"domain": ["shop", "shop", "user", ""], "bbox": ["1,2,3,4", "", "1,2,3,4", ""]})
    assert crops_of(table) == ["1,2,3,4", "", "centre", "centre"]
    assert crops_of(table[[]]) == ["centre"] * 4
