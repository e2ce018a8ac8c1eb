"""Photos in batches: in order, whatever is cached, and said by name when missing."""

import hashlib
import io
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vitrine import files
from vitrine.catalog import Catalog
from vitrine.catalog.photos import PhotoError
from vitrine.data import photo_store
from vitrine.data.photo_store import PhotoStore, fit_square

SIZE = 16


@pytest.fixture(scope="module")
def uris(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    names = []
    for i in range(23):
        height, width = random.integers(5, 60, 2)
        names.append(str(folder / f"{i}.png"))
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(names[-1])
    return names


@pytest.fixture(scope="module")
def plain(uris):
    """Every photo, decoded one by one."""
    pixels = [fit_square(Image.open(uri).convert("RGB"), SIZE) for uri in uris]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cached(uris, folder, contents=None):
    return PhotoStore(uris, SIZE, workers=3, cache=folder, contents=contents or uris)


def test_a_disk_that_others_filled_costs_the_cache_only(uris, plain, small_disk, monkeypatch):
    disk = small_disk("size=64k")
    (disk / "others").write_bytes(bytes(60 * 1024))
    monkeypatch.setattr(photo_store, "make_room", lambda *_, **__: True)  # there was room a moment ago
    store = cached(uris, disk / "cache")
    assert torch.equal(store.read(np.arange(len(uris))), plain)  # writing to a map of a full disk would end the process
    assert not list((disk / "cache").iterdir())


def test_read_keeps_the_order_and_repeats(uris, plain):
    rows = np.array([7, 0, 22, 7])
    batch = PhotoStore(uris, SIZE).read(rows)
    assert batch.dtype == torch.uint8
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, plain[rows])


@pytest.mark.parametrize("workers", [0, 1, 5])
@pytest.mark.parametrize("batch", [1, 4, 23])
def test_batches_keep_the_order(uris, plain, workers, batch):
    order = np.random.default_rng(1).permutation(23)
    store = PhotoStore(uris, SIZE, workers)
    got = list(store.batches(np.array_split(order, range(batch, 23, batch))))
    assert np.concatenate([rows for rows, _ in got]).tolist() == order.tolist()
    for rows, pixels in got:
        assert torch.equal(pixels, plain[rows])
        assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_no_batches(uris):
    assert list(PhotoStore(uris, SIZE).batches([])) == []


def test_cached_equals_uncached_the_first_and_the_second_time(uris, plain, tmp_path):
    store = cached(uris, tmp_path)
    for _ in range(2):
        got = torch.cat([pixels for _, pixels in store.batches(np.array_split(np.arange(23), 4))])
        assert torch.equal(got, plain)


def test_what_is_cached_is_not_decoded_again_by_another_store(uris, plain, tmp_path, monkeypatch):
    cached(uris, tmp_path).read(np.arange(23))

    def refuse(*_, **__):
        raise AssertionError("decoded again")

    monkeypatch.setattr(photo_store, "open_photo", refuse)
    assert torch.equal(cached(uris, tmp_path).read(np.arange(23)), plain)


def test_two_stores_share_the_memory_map_while_both_read(uris, plain, tmp_path):
    one, two = cached(uris, tmp_path), cached(uris, tmp_path)
    assert torch.equal(one.read(np.arange(12)), plain[:12])
    assert torch.equal(two.read(np.arange(23)), plain)
    assert torch.equal(one.read(np.arange(23)), plain)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_cache_may_be_dropped_in_the_middle(uris, plain, tmp_path):
    folder = tmp_path / "cache"
    store = cached(uris, folder)
    store.read(np.arange(9))
    shutil.rmtree(folder)
    assert torch.equal(store.read(np.arange(23)), plain)
    assert torch.equal(cached(uris, folder).read(np.arange(23)), plain)


def test_whichever_file_of_the_cache_is_dropped_no_photo_turns_black(uris, plain, tmp_path):
    cached(uris, tmp_path).read(np.arange(23))
    for path in list(tmp_path.iterdir()):
        path.unlink()
        assert torch.equal(cached(uris, tmp_path).read(np.arange(23)), plain)


def test_a_cut_short_cache_is_made_anew(uris, plain, tmp_path):
    cached(uris, tmp_path).read(np.arange(23))
    (path,) = tmp_path.iterdir()
    os.truncate(path, 100)
    assert torch.equal(cached(uris, tmp_path).read(np.arange(23)), plain)


def test_an_unusable_cache_folder_costs_time_only(uris, plain, tmp_path):
    (tmp_path / "file").write_text("")
    assert torch.equal(cached(uris, tmp_path / "file" / "cache").read(np.arange(23)), plain)


def test_other_contents_or_sizes_are_other_caches(uris, tmp_path):
    cached(uris, tmp_path).read(np.arange(23))
    assert cached(uris, tmp_path, [f"{uri} changed" for uri in uris])._filled.sum() == 0
    assert PhotoStore(uris, SIZE + 1, cache=tmp_path, contents=uris)._filled.sum() == 0
    assert cached(uris, tmp_path)._filled.sum() == 23


def test_the_cache_unused_longest_makes_room(uris, tmp_path, monkeypatch):
    one = cached(uris, tmp_path, [f"{uri}1" for uri in uris])
    (first,) = tmp_path.iterdir()
    cached(uris, tmp_path, [f"{uri}2" for uri in uris])
    (second,) = set(tmp_path.iterdir()) - {first}
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    cached(uris, tmp_path, [f"{uri}1" for uri in uris])  # used again, only read
    monkeypatch.setattr(photo_store, "MAX_CACHE_BYTES", int(2.5 * first.stat().st_size))
    cached(uris, tmp_path, [f"{uri}3" for uri in uris])
    assert first.exists()
    assert not second.exists()
    assert len(one.read(np.arange(23))) == 23


def test_what_is_cached_is_used_where_there_is_no_room_for_more(uris, plain, tmp_path, monkeypatch):
    cached(uris, tmp_path).read(np.arange(23))
    (path,) = tmp_path.iterdir()
    monkeypatch.setattr(photo_store, "MAX_CACHE_BYTES", path.stat().st_size)
    monkeypatch.setattr(photo_store.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    monkeypatch.setattr(photo_store, "open_photo", None)
    assert torch.equal(cached(uris, tmp_path).read(np.arange(23)), plain)


@pytest.mark.parametrize(
    ("limit", "kept", "fits"), [(50, "abcd", True), (30, "bd", True), (20, "b", True), (15, "abcd", False)]
)
def test_room_is_made_by_what_was_used_longest_ago(tmp_path, limit, kept, fits):
    for time, name in enumerate("cabd"):
        (tmp_path / name).write_bytes(b"0123456789")
        os.utime(tmp_path / name, (time, time))
    assert photo_store.make_room(tmp_path, "*", 10, limit, {"b"}) is fits
    assert "".join(sorted(path.name for path in tmp_path.iterdir())) == kept


def test_a_catalog_that_is_too_big_is_decoded_each_time(uris, plain, tmp_path, monkeypatch):
    monkeypatch.setattr(photo_store, "MAX_CACHE_BYTES", 10)
    assert torch.equal(cached(uris, tmp_path).read(np.arange(23)), plain)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cache", [False, True])
def test_a_missing_photo_is_named(uris, tmp_path, cache):
    names = [*uris, str(tmp_path / "gone.png")]
    store = cached(names, tmp_path / "cache") if cache else PhotoStore(names, SIZE)
    with pytest.raises(PhotoError, match=r"gone\.png: no such photo"):
        list(store.batches([np.arange(20), np.arange(20, 24)]))
    assert len(store.read(np.arange(23))) == 23  # the others are still there


class TestOfCatalog:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))

    def catalog(self, tmp_path, colour, **columns):
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(folder / "a.png")
        return Catalog(str(folder), pd.DataFrame({"image": ["a.png"], **columns}))

    def colour(self, catalog):
        return tuple(PhotoStore.of_catalog(catalog, 8).read(np.array([0]))[0, :, 0, 0].tolist())

    def test_a_photo_that_changed_is_read_anew(self, tmp_path):
        assert self.colour(self.catalog(tmp_path, "red")) == (255, 0, 0)
        catalog = self.catalog(tmp_path, "blue")
        os.utime(tmp_path / "photos" / "a.png", (5, 5))
        assert self.colour(catalog) == (0, 0, 255)

    @pytest.mark.parametrize("junk", ["", "n/a", float("nan")])
    def test_a_foreign_sha256_column_mixes_no_photos_up(self, tmp_path, junk):
        (tmp_path / "x").mkdir()
        assert self.colour(self.catalog(tmp_path / "x", "red", sha256=[junk])) == (255, 0, 0)
        (tmp_path / "y").mkdir()
        assert self.colour(self.catalog(tmp_path / "y", "blue", sha256=[junk])) == (0, 0, 255)

    def test_the_same_photo_elsewhere_is_found_by_its_hash(self, tmp_path, monkeypatch):
        catalogs = []
        for name in "xy":
            (tmp_path / name).mkdir()
            catalog = self.catalog(tmp_path / name, "red")
            photo = tmp_path / name / "photos" / "a.png"
            os.utime(photo, (5, 5))  # as a copy that keeps times, or one laid out by the node's cache
            catalogs.append(catalog.with_table(catalog.table.assign(sha256=digest_of(photo))))
        self.colour(catalogs[0])
        monkeypatch.setattr(photo_store, "open_photo", None)
        assert self.colour(catalogs[1]) == (255, 0, 0)

    @pytest.mark.parametrize("warm", [True, False], ids=["where it is cached", "on another machine"])
    def test_a_photo_replaced_after_cleaning_is_refused(self, tmp_path, warm):
        catalog = self.catalog(tmp_path, "red")
        cleaned = catalog.with_table(catalog.table.assign(sha256=digest_of(tmp_path / "photos" / "a.png")))
        if warm:
            assert self.colour(cleaned) == (255, 0, 0)
        self.catalog(tmp_path, "blue")
        os.utime(tmp_path / "photos" / "a.png", (5, 5))
        with pytest.raises(PhotoError, match=r"a\.png: is not the photo that was cleaned"):
            self.colour(cleaned)

    @pytest.mark.slow
    def test_a_photo_replaced_on_s3_is_read_anew(self, bucket):
        def put(colour):
            buffer = io.BytesIO()
            Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
            files.write_bytes(f"{bucket}/a.png", buffer.getvalue())
            return hashlib.sha256(buffer.getvalue()).hexdigest()

        digest = put("red")
        catalog = Catalog(bucket, pd.DataFrame({"image": ["a.png"]}), "the same version")
        cleaned = catalog.with_table(catalog.table.assign(sha256=digest))
        assert self.colour(catalog) == self.colour(cleaned) == (255, 0, 0)
        put("blue")
        assert self.colour(catalog) == (0, 0, 255)
        with pytest.raises(PhotoError, match="is not the photo that was cleaned"):
            self.colour(cleaned)


class TestFitSquare:
    @pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (30, 30), (1, 50), (50, 1), (1, 1), (500, 3)])
    def test_whole_photo_in_a_square(self, width, height):
        pixels = fit_square(Image.new("RGB", (width, height), (10, 20, 30)), SIZE)
        assert pixels.shape == (SIZE, SIZE, 3)
        assert pixels.dtype == np.uint8
        assert (pixels == (10, 20, 30)).all()  # the filling is the rim's colour

    def test_landscape_is_centred_and_filled_with_the_mean_of_top_and_bottom(self):
        photo = np.full((8, 16, 3), 200, np.uint8)
        photo[0], photo[-1] = 100, 50
        photo[:, [0, -1]] = 0
        square = fit_square(Image.fromarray(photo), 16)
        assert (square[4:12] == photo).all()
        rim = np.concatenate([photo[0], photo[-1]]).mean(axis=0).round()
        assert (square[:4] == rim).all()
        assert (square[12:] == rim).all()

    def test_portrait_is_the_landscape_turned(self):
        photo = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
        turned = fit_square(Image.fromarray(photo.transpose(1, 0, 2).copy()), 16)
        assert (turned == fit_square(Image.fromarray(photo), 16).transpose(1, 0, 2)).all()
