"""Copies among real files: confirmed by pixels, and kept on the node."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vitrine import files
from vitrine.catalog import Catalog
from vitrine.catalog.table import TEXT
from vitrine.errors import InputError
from vitrine.quality.duplicates import linked
from vitrine.quality.links import copy_links, group_names
from vitrine.quality.scan import scan_photos

from .conftest import draw


def catalog_of(folder, names):
    return Catalog(str(folder), pd.DataFrame({"image": pd.Series(names, dtype=TEXT)}))


def pairs(links):
    return {tuple(sorted(pair)) for pair in zip(links[0].tolist(), links[1].tolist(), strict=True)}


@pytest.mark.parametrize("options", ["size=64k", "size=64k,ro"])
def test_a_disk_that_keeps_nothing_costs_time_only(tmp_path, small_disk, monkeypatch, options):
    disk = small_disk("size=64k")
    (disk / "others").write_bytes(bytes(60 * 1024))
    small_disk(options)
    monkeypatch.setenv("VITRINE_CACHE", str(disk))
    draw(3).save(tmp_path / "a.png")
    draw(3).save(tmp_path / "b.png", compress_level=1)
    catalog = catalog_of(tmp_path, ["a.png", "b.png"] * 200)  # links of 400 rows do not fit
    links = copy_links(catalog, scan_photos(catalog, workers=1), 16, workers=1)
    assert linked(400, [*links.exact]).tolist() == [0] * 400
    assert not list(disk.rglob("*.safetensors")) + list(disk.rglob("*.tmp"))


def test_copies_of_each_kind_are_told_apart(tmp_path):
    photo = draw(3)
    photo.save(tmp_path / "a.png")
    photo.save(tmp_path / "exact.png", compress_level=1)
    photo.save(tmp_path / "near.jpg", quality=60)
    photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", quality=90)
    draw(4).save(tmp_path / "other.png")
    catalog = catalog_of(tmp_path, ["a.png", "exact.png", "near.jpg", "turned.jpg", "other.png"])
    links = copy_links(catalog, scan_photos(catalog, workers=1), 16, workers=1)
    assert set().union(*(pairs(own) for own in links.exact)) == {(0, 1)}
    assert pairs(links.near) == {(0, 2)}
    assert pairs(links.turned) == {(0, 3), (2, 3)}
    groups = linked(5, [*links.exact, links.near, links.turned])
    assert groups.tolist() == [0, 0, 0, 0, -1]


def test_what_was_found_is_kept_for_the_next_step(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    draw(5).save(tmp_path / "a.png")
    draw(5).save(tmp_path / "b.jpg", quality=70)
    catalog = catalog_of(tmp_path, ["a.png", "b.jpg"])
    photos = scan_photos(catalog, workers=1)
    first = copy_links(catalog, photos, 16, workers=1)
    (tmp_path / "a.png").unlink()  # could not be confirmed again
    again = copy_links(catalog, photos, 16, workers=1)
    assert pairs(again.near) == pairs(first.near) == {(0, 1)}
    (kept,) = (files.cache_folder() / "copies").iterdir()
    kept.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"a\.png: cannot be read"):
        copy_links(catalog, photos, 16, workers=1)


@pytest.mark.parametrize("copy", ["near.jpg", "exact.png"])
def test_what_cannot_be_confirmed_is_not_kept_as_no_copy(tmp_path, monkeypatch, copy):
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    draw(5).save(tmp_path / "a.png")
    draw(5).save(tmp_path / copy, **({"quality": 70} if copy == "near.jpg" else {"compress_level": 1}))
    catalog = catalog_of(tmp_path, ["a.png", copy])
    photos = scan_photos(catalog, workers=1)
    (tmp_path / "a.png").rename(tmp_path / "away.png")
    with pytest.raises(InputError, match=r"a\.png"):
        copy_links(catalog, photos, 16, workers=1)
    (tmp_path / "away.png").rename(tmp_path / "a.png")
    links = copy_links(catalog, photos, 16, workers=1)
    assert pairs(links.near) | pairs(links.exact[1]) == {(0, 1)}


def test_a_group_is_named_after_its_smallest_digest():
    digests = pd.Series([letter * 64 for letter in "cabd"], dtype=TEXT)
    names = group_names(digests, np.array([0, 0, -1, -1]))
    assert names.tolist() == ["a" * 16, "a" * 16, "b" * 16, "d" * 16]


def test_a_photo_that_differs_in_less_than_the_working_size_shows_is_no_exact_copy(tmp_path):
    photo = np.asarray(draw(6, (640, 480))).copy()
    Image.fromarray(photo).save(tmp_path / "a.png")
    Image.fromarray(photo).save(tmp_path / "same.png", compress_level=1)
    photo[100, 100, 2] ^= 1
    Image.fromarray(photo).save(tmp_path / "other.png")
    catalog = catalog_of(tmp_path, ["a.png", "same.png", "other.png"])
    photos = scan_photos(catalog, workers=1)
    assert photos["pixels"].nunique() == 1
    links = copy_links(catalog, photos, 16, workers=1)
    assert set().union(*(pairs(own) for own in links.exact)) == {(0, 1)}
    assert pairs(links.near) == {(0, 2)}


def test_links_are_kept_for_these_contents_and_no_others(tmp_path, monkeypatch):
    """A bitmap that is retouched where the working size shows nothing keeps its size and every measure."""
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    photo = np.asarray(draw(6, (640, 480))).copy()
    for name, end in (("a.bmp", b"0"), ("b.bmp", b"1")):
        Image.fromarray(photo).save(tmp_path / name)
        with (tmp_path / name).open("ab") as file:
            file.write(end)
    catalog = catalog_of(tmp_path, ["a.bmp", "b.bmp"])
    assert pairs(copy_links(catalog, scan_photos(catalog, workers=1), 16, workers=1).exact[1]) == {(0, 1)}
    data = bytearray((tmp_path / "b.bmp").read_bytes())
    data[90_000] ^= 1
    (tmp_path / "b.bmp").write_bytes(data)
    links = copy_links(catalog, scan_photos(catalog, workers=1), 16, workers=1)
    assert [pairs(own) for own in links.exact] == [set(), set()]
    assert pairs(links.near) == {(0, 1)}
