"""Pairs that may be copies, from the photos' signatures; what they find is in test_duplicates and test_links."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from vitrine.quality import frames
from vitrine.quality.signature import LENGTH


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
