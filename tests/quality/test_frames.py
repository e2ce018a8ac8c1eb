"""Pairs that may be copies, from the photos' signatures; what they find is in test_duplicates and test_links."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from vitrine.catalog import Catalog
from vitrine.catalog.table import TEXT
from vitrine.quality import frames
from vitrine.quality.scan import scan_photos
from vitrine.quality.signature import LENGTH

from .conftest import draw


def photos_of_noise(count: int, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A photo table whose signatures are noise, with 40 photos once more, a little brighter."""
    rng = np.random.default_rng(0)
    encoded = rng.integers(60, 196, (count, LENGTH)).astype(np.uint8)
    encoded[-40:] = encoded[:40] + 8
    monkeypatch.setattr(frames, "signatures", lambda photos: encoded)
    return pd.DataFrame({"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0}, index=range(count))


@pytest.mark.slow
def test_memory_does_not_grow_as_the_square_of_the_photos(monkeypatch):
    photos = photos_of_noise(6000, monkeypatch)
    tracemalloc.start()
    try:
        found = frames.framed_pairs(photos, np.arange(6000))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {*zip(found.first.tolist(), found.second.tolist(), strict=True)} >= {(i, 5960 + i) for i in range(40)}
    assert most < 200e6  # all likenesses would be 6000 x 6000 x 8 bytes


@pytest.mark.parametrize("portion", [7, 64, 4096])
def test_portions_change_nothing(portion, monkeypatch):
    photos = photos_of_noise(150, monkeypatch)
    whole = frames.framed_pairs(photos, np.arange(150))
    monkeypatch.setattr(frames, "PORTION", portion)
    monkeypatch.setattr(frames, "CELLS", 10 * portion)
    parts = frames.framed_pairs(photos, np.arange(150))
    assert len(whole.first) >= 40
    for name in ("first", "second", "first_frames", "second_frames"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name


def test_a_photo_on_a_plain_ground_is_found_in_a_border_of_another_colour(tmp_path, monkeypatch):
    """Things on white, one of them once more between black bars: its own ground is part of what they surround."""
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    for seed in range(12):
        draw(seed).resize((60, 90)).save(tmp_path / f"{seed}.png")
        thing = ImageOps.expand(Image.open(tmp_path / f"{seed}.png"), (20, 15), "white")
        thing.save(tmp_path / f"{seed}.png")
    square = ImageOps.pad(Image.open(tmp_path / "3.png"), (120, 120), color=(0, 0, 0))
    square.save(tmp_path / "square.png")
    names = [*(f"{seed}.png" for seed in range(12)), "square.png"]
    catalog = Catalog(str(tmp_path), pd.DataFrame({"image": pd.Series(names, dtype=TEXT)}))
    found = frames.framed_pairs(scan_photos(catalog, 1), np.arange(13))
    pairs = {frozenset(pair): place for place, pair in enumerate(zip(found.first, found.second, strict=True))}
    place = pairs[frozenset((3, 12))]
    one, other = found.first_frames[place], found.second_frames[place]
    bars, whole = (one, other) if found.first[place] == 12 else (other, one)
    share = 100 / 120  # of the square's width that the photo takes
    assert (bars[2] - bars[0]) / (whole[2] - whole[0]) == pytest.approx(share, abs=0.03)
    assert (bars[3] - bars[1]) / (whole[3] - whole[1]) == pytest.approx(1, abs=0.03)
