import io
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vitrine.catalog import Catalog
from vitrine.catalog.table import TEXT
from vitrine.quality import duplicates
from vitrine.quality.scan import scan_photos

from .conftest import draw


def scan(folder, names):
    return scan_photos(Catalog(str(folder), pd.DataFrame({"image": pd.Series(names, dtype=TEXT)})), workers=1)


@pytest.mark.parametrize(("rows", "distance"), [(300, 0), (300, 3), (400, 8), (2000, 6), (400, 10)])
def test_pairs_equal_brute_force(rows, distance):
    rng = np.random.default_rng(rows + distance)
    codes = rng.integers(0, 2**63, rows, dtype=np.uint64)
    for row in range(0, rows, 4):  # neighbours at every distance
        flips = rng.choice(64, rng.integers(0, 14), replace=False)
        codes[row] = codes[(row * 7 + 1) % rows] ^ np.bitwise_or.reduce(
            np.uint64(1) << flips.astype(np.uint64), initial=0
        )
    found = {
        (min(a, b), max(a, b))
        for first, second in duplicates.near_pairs(codes, distance)
        for a, b in zip(first.tolist(), second.tolist(), strict=True)
    }
    gaps = np.bitwise_count(codes[:, None] ^ codes[None])
    expected = {(a, b) for a, b in combinations(range(rows), 2) if gaps[a, b] <= distance}
    assert expected
    assert found == expected


def test_crowded_buckets_cost_linear_time():
    codes = np.zeros(20_000, dtype=np.uint64)
    pairs = sum(len(first) for first, _ in duplicates.near_pairs(codes, 0))
    assert pairs <= 20_000 * duplicates.MAX_BUCKET
    assert (duplicates.linked(20_000, list(duplicates.near_pairs(codes, 0))) == 0).all()


def test_copies_are_found_and_products_kept_apart(tmp_path):
    for seed in range(60):
        draw(seed).save(tmp_path / f"{seed}.png")
    photo = draw(0)
    photo.save(tmp_path / "jpeg.jpg", quality=55)
    photo.resize((60, 60)).save(tmp_path / "small.png")
    photo.crop((2, 1, 94, 95)).save(tmp_path / "crop.jpg", quality=85)
    photo.save(tmp_path / "exact.png", pnginfo=None, compress_level=1)
    names = [f"{seed}.png" for seed in range(60)] + ["jpeg.jpg", "small.png", "crop.jpg", "exact.png"]
    photos = scan(tmp_path, names)
    exact = duplicates.exact_groups(photos)
    assert [rows.tolist() for rows in duplicates.members(exact)] == [[0, 63]]  # other bytes, the same pixels
    near = duplicates.near_duplicate_groups(photos)
    assert [rows.tolist() for rows in duplicates.members(near)] == [[0, 60, 61, 62, 63]]
    assert (near[1:60] == -1).all()


def test_another_shade_of_one_shape_is_another_product(tmp_path):
    for name, colour in {"red": (200, 30, 30), "green": (30, 110, 30), "blue": (60, 60, 220)}.items():
        image = Image.new("RGB", (96, 96), "white")
        image.paste(colour, (30, 20, 66, 80))
        image.save(tmp_path / f"{name}.png")
    photos = scan(tmp_path, ["red.png", "green.png", "blue.png"])
    assert (duplicates.near_duplicate_groups(photos) == -1).all()


def test_plain_photos_do_not_chain(tmp_path):
    rng = np.random.default_rng(0)
    for level in range(230, 250):
        noise = rng.integers(0, 3, (64, 64, 1)) + level
        Image.fromarray(np.repeat(noise, 3, axis=2).astype(np.uint8)).save(tmp_path / f"{level}.png")
    photos = scan(tmp_path, [f"{level}.png" for level in range(230, 250)])
    assert (duplicates.near_duplicate_groups(photos) == -1).all()


@pytest.mark.parametrize(
    "turn", [Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180]
)
def test_turned_copies_are_found_on_request(tmp_path, turn):
    draw(3).save(tmp_path / "a.png")
    draw(3).transpose(turn).save(tmp_path / "b.jpg", quality=80)
    draw(4).save(tmp_path / "c.png")
    photos = scan(tmp_path, ["a.png", "b.jpg", "c.png"])
    assert duplicates.near_duplicate_groups(photos).tolist() == [-1, -1, -1]
    assert duplicates.near_duplicate_groups(photos, turned=True).tolist() == [0, 0, -1]


def test_unreadable_rows_are_nobodys_copies(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(io.BytesIO(b"no photo").getvalue())
    photos = scan(tmp_path, ["a.jpg", "b.jpg", "gone.jpg", "../up.jpg"])
    assert (duplicates.exact_groups(photos) == -1).all()
    assert (duplicates.near_duplicate_groups(photos, turned=True) == -1).all()
