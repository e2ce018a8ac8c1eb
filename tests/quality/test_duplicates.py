import io
from itertools import combinations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from vitrine.catalog import Catalog
from vitrine.catalog.table import TEXT
from vitrine.quality import duplicates
from vitrine.quality.scan import scan_photos

from .conftest import draw


def scan(folder, names):
    return scan_photos(Catalog(str(folder), pd.DataFrame({"image": pd.Series(names, dtype=TEXT)})), workers=1)


def planted(rows, seed=0):
    """Random codes, and pairs of positions at known distances of 0 to 13 bits."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**64, rows, dtype=np.uint64)
    pairs = rng.permutation(rows)[: rows // 4 * 2].reshape(-1, 2)
    flips = np.argsort(rng.random((len(pairs), 64)), axis=1)[:, :13].astype(np.uint64)
    distances = rng.integers(0, 14, len(pairs))
    bits = np.where(np.arange(13) < distances[:, None], np.uint64(1) << flips, np.uint64(0))
    codes[pairs[:, 1]] = codes[pairs[:, 0]] ^ np.bitwise_or.reduce(bits, axis=1)
    return codes, pairs, distances


def as_set(first, second):
    return {(min(a, b), max(a, b)) for a, b in zip(first.tolist(), second.tolist(), strict=True)}


@pytest.mark.parametrize(("rows", "distance"), [(300, 0), (300, 3), (400, 8), (2000, 6), (400, 12), (1, 12), (0, 12)])
def test_pairs_equal_brute_force(rows, distance):
    codes, _, _ = planted(rows, seed=rows + distance)
    gaps = np.bitwise_count(codes[:, None] ^ codes[None])
    expected = {(a, b) for a, b in combinations(range(rows), 2) if gaps[a, b] <= distance}
    assert expected or rows < 2
    first, second = duplicates.near_pairs(codes, distance)
    assert as_set(first, second) == expected
    assert len(first) == len(expected)


def test_of_many_codes_close_pairs_are_all_found_and_no_others():
    codes, pairs, distances = planted(60_000)
    first, second = duplicates.near_pairs(codes, 12)
    assert np.bitwise_count(codes[first] ^ codes[second]).max() == 12
    found = as_set(first, second)
    assert len(found) == len(first)
    hit = np.array([(min(a, b), max(a, b)) in found for a, b in pairs.tolist()])
    assert hit[distances <= 8].all()
    assert hit[distances == 12].mean() > 0.97
    assert not hit[distances == 13].any()


@pytest.mark.parametrize("rows", [20_000, 5])
def test_one_code_of_many_rows_links_them_all_in_linear_time(rows):
    links = duplicates.near_pairs(np.zeros(rows, dtype=np.uint64), 12)
    assert len(links[0]) <= rows * duplicates.CROWD
    assert (duplicates.linked(rows, [links]) == 0).all()


def test_rows_of_neighbouring_codes_are_compared():
    codes = np.array([0, 0, 7, 7, 7], dtype=np.uint64)
    assert as_set(*duplicates.near_pairs(codes, 3)) == set(combinations(range(5), 2))


def test_links_among_the_rows_that_are_left():
    links = np.array([0, 1, 4]), np.array([1, 2, 5])
    first, second = duplicates.among(links, np.array([1, 2, 4]), 6)
    assert (first.tolist(), second.tolist()) == ([0], [1])


@pytest.mark.parametrize("dtype", [TEXT, object, "string", pd.ArrowDtype(pa.string())])
def test_rows_without_a_value_are_not_chained(dtype):
    first, second = duplicates.chain(pd.Series(["a", None, "", None, "a", "b", ""], dtype=dtype))
    assert as_set(first, second) == {(0, 4)}


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
    exact = duplicates.linked(len(photos), duplicates.exact_links(photos))
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
    assert (duplicates.linked(len(photos), duplicates.exact_links(photos)) == -1).all()
    assert (duplicates.near_duplicate_groups(photos, turned=True) == -1).all()
