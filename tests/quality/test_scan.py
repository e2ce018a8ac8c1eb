import errno
import hashlib
import os
import sqlite3

import numpy as np
import pandas as pd
import pytest
from PIL import ExifTags, Image

from vitrine.catalog import Catalog
from vitrine.catalog.photos import PhotoError, open_photo
from vitrine.catalog.table import TEXT
from vitrine.errors import InputError, PassingError
from vitrine.files import DamagedError
from vitrine.quality import scan as scanning
from vitrine.quality import signature
from vitrine.quality.scan import (
    cache_path,
    parse_shard,
    read_photo_table,
    scan_photo,
    scan_photos,
    signatures,
    write_photo_table,
)

from .conftest import draw


def scan(folder, names, **options):
    return scan_photos(Catalog(str(folder), pd.DataFrame({"image": pd.Series(names, dtype=TEXT)})), **options)


def test_every_fault_is_a_reason_and_never_an_exception(tmp_path):
    draw(1).save(tmp_path / "good.jpg")
    data = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.jpg").write_bytes(b"404")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    names = ["good.jpg", "cut.jpg", "text.jpg", "empty.jpg", "folder.jpg", "gone.jpg", "../x.jpg", "/etc/passwd", ""]
    photos = scan(tmp_path, names)
    assert photos["readable"].tolist() == [True] + [False] * 8
    assert photos["problem"].tolist() == ["", *["unreadable"] * 4, "missing", "unsafe", "unsafe", "unsafe"]
    assert all("\n" not in error and error for error in photos["error"][1:])
    assert photos.index.equals(pd.RangeIndex(9))


def refused_by_s3(code):
    from botocore.exceptions import ClientError

    error = InputError(f"s3://b/a.jpg: {code}")
    error.__cause__ = ClientError({"Error": {"Code": code}}, "GetObject")
    return error


@pytest.mark.parametrize(
    "error",
    [
        PassingError("s3://b/a.jpg: S3 answered SlowDown"),
        refused_by_s3("ExpiredToken"),
        OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        MemoryError(),
    ],
    ids=repr,
)
def test_what_keeps_photos_from_being_read_ends_the_scan(tmp_path, monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(scanning, "read_photo", fail)
    with pytest.raises(InputError, match=r"a\.jpg: "):
        scan(tmp_path, ["a.jpg"])


@pytest.mark.parametrize(
    "error",
    [
        DamagedError("s3://b/a.jpg: damaged"),
        refused_by_s3("AccessDenied"),
        OSError(errno.EIO, os.strerror(errno.EIO)),
        PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
    ],
    ids=repr,
)
def test_what_is_wrong_with_one_file_is_a_finding(tmp_path, monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(scanning, "read_photo", fail)
    assert scan(tmp_path, ["a.jpg"])["problem"].tolist() == ["unreadable"]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_damaged_photo_is_unreadable_to_the_scan_where_it_is_to_whoever_opens_it(tmp_path, kind):
    """Asked for its orientation Pillow loads a PNG, and the next time gives what it had of the pixels as if whole."""
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (48, 48, 3), np.uint8)).save(tmp_path / "sound", kind)
    sound = (tmp_path / "sound").read_bytes()
    for number in range(20):
        data = bytearray(sound)
        data[int(random.integers(60, len(data) - 20))] ^= 0x55
        (tmp_path / f"{number}.img").write_bytes(data)
    seen = scan(tmp_path, [f"{number}.img" for number in range(20)])["readable"].tolist()
    assert seen == [opens(tmp_path / f"{number}.img") for number in range(20)]
    assert kind != "PNG" or not any(seen)


def opens(path):
    try:
        open_photo(str(path))
    except PhotoError:
        return False
    return True


@pytest.mark.parametrize("decoder", ["stored_pixels", "decode_opened", "open_header"])
def test_memory_that_runs_out_is_not_remembered_of_a_photo(tmp_path, monkeypatch, decoder):
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    draw(1).save(tmp_path / "a.jpg")
    draw(2).save(tmp_path / "b.png")

    def fail(*_):
        raise MemoryError

    with monkeypatch.context() as short:
        short.setattr(scanning, decoder, fail)
        with pytest.raises(PassingError, match="memory ran out while it was decoded"):
            scan(tmp_path, ["a.jpg", "b.png"])
    assert scan(tmp_path, ["a.jpg", "b.png"])["readable"].all()


def test_measures_of_known_pictures(tmp_path):
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "red.png")
    Image.fromarray(np.indices((64, 64)).sum(0).astype(np.uint8) % 2 * 255).save(tmp_path / "checks.png")
    draw(2).convert("CMYK").save(tmp_path / "print.jpg")
    draw(2).save(tmp_path / "wrong.jpg", format="PNG")
    frames = [draw(3), draw(4)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    photos = scan(tmp_path, ["red.png", "checks.png", "print.jpg", "wrong.jpg", "moving.gif"])
    red, checks, printed, wrong, moving = (photos.loc[row] for row in range(5))
    assert (red["width"], red["height"]) == (40, 20)
    assert red["spread"] == pytest.approx(0, abs=1e-3)
    assert red["brightness"] == pytest.approx(0.299 * 255, abs=0.5)  # of grey levels that are whole numbers
    assert (red["entropy"], checks["entropy"]) == (0, pytest.approx(1))
    assert checks["sharpness"] == pytest.approx((4 * 255) ** 2, rel=0.01)
    assert checks["colourfulness"] == pytest.approx(0, abs=1e-3)
    assert printed["mode"] == "CMYK"
    assert (wrong["format"], wrong["extension_matches"], red["extension_matches"]) == ("PNG", False, True)
    assert moving["frames"] == 2
    assert red["sha256"] == hashlib.sha256((tmp_path / "red.png").read_bytes()).hexdigest()


def test_upright_size_and_pixels_of_a_turned_photo(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw(5, (64, 32)).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    draw(5, (64, 32)).save(tmp_path / "plain.png")
    photos = scan(tmp_path, ["turned.png", "plain.png"])
    assert (photos["width"] == 64).all()
    assert photos["orientation"].tolist() == [6, 1]
    assert photos["pixels"].nunique() == 1
    assert photos["sha256"].nunique() == 2


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp", "avif"])
def test_the_size_of_a_photo_is_as_the_eye_sees_it(tmp_path, ending):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    draw(1, (90, 60)).save(tmp_path / f"a.{ending}", exif=exif)
    scanned = scan_photo(str(tmp_path / f"a.{ending}"))
    assert (scanned.width, scanned.height) == open_photo(str(tmp_path / f"a.{ending}")).size == (60, 90)


def test_processes_give_the_rows_of_one_process_in_order(tmp_path):
    for seed in range(150):
        draw(seed, (32, 32)).save(tmp_path / f"{seed}.png")
    names = [f"{seed}.png" for seed in reversed(range(150))] + ["7.png"]
    seen = []
    one = scan(tmp_path, names, workers=1)
    two = scan(tmp_path, names, workers=2, progress=lambda done, total: seen.append((done, total)))
    pd.testing.assert_frame_equal(one, two)
    assert seen[-1] == (150, 150)
    assert one["sha256"].iat[-1] == one["sha256"].iat[142]


def test_hash_of_a_turned_signature_is_the_hash_of_the_turned_photo(tmp_path):
    looks = np.stack([signature.signature(np.asarray(draw(seed, (128, 128)))) for seed in range(20)])
    turns = {
        1: Image.Transpose.FLIP_LEFT_RIGHT,
        2: Image.Transpose.FLIP_TOP_BOTTOM,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.TRANSPOSE,
    }
    for turn, operation in turns.items():
        photos = np.stack(
            [signature.signature(np.asarray(draw(seed, (128, 128)).transpose(operation))) for seed in range(20)]
        )
        gap = np.bitwise_count(signature.hashes(signature.turned(looks, turn)) ^ signature.hashes(photos))
        assert gap.max() <= 4


def test_signatures_come_back_as_they_were_stored(tmp_path):
    draw(9).save(tmp_path / "a.png")
    photos = scan(tmp_path, ["a.png", "gone.png"])
    looks = signatures(photos)
    assert looks.shape == (2, signature.LENGTH)
    assert (looks[0] == signature.signature(np.asarray(draw(9)))).all()
    assert not looks[1].any()


def test_borders_are_what_a_plain_rim_takes(tmp_path):
    framed = Image.new("RGB", (80, 80), "white")
    framed.paste(draw(0, (40, 60)), (20, 10))
    framed.save(tmp_path / "framed.png")
    Image.new("RGB", (80, 80), "white").save(tmp_path / "blank.png")
    photos = scan(tmp_path, ["framed.png", "blank.png"])
    assert photos["borders"].tolist() == pytest.approx([1 - 40 * 60 / 6400, 1])


def test_content_seen_before_is_not_looked_at_again_under_any_name(tmp_path):
    draw(77).save(tmp_path / "a.png")
    first = scan(tmp_path, ["a.png"])
    with sqlite3.connect(cache_path()) as cache:
        changed = cache.execute("UPDATE scans SET brightness = 7 WHERE sha256 = ?", (first["sha256"][0],))
        assert changed.rowcount == 1
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.png").read_bytes())
    again = scan(tmp_path, ["b.jpg", "a.png"])
    assert again["brightness"].tolist() == [7, 7]
    assert again["extension_matches"].tolist() == [False, True]  # follows from the name
    same = again.drop(columns=["brightness", "extension_matches"])
    pd.testing.assert_frame_equal(same.iloc[[1]].reset_index(drop=True), first[same.columns])


def test_a_damaged_cache_is_as_good_as_none(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    cache_path().parent.mkdir()
    cache_path().write_bytes(b"no database" * 1000)
    draw(0).save(tmp_path / "a.png")
    assert scan(tmp_path, ["a.png"])["readable"].all()


def test_shards_together_are_the_whole_table(tmp_path):
    for seed in range(7):
        draw(seed, (32, 32)).save(tmp_path / f"{seed}.png")
    names = ["3.png", "0.png", "gone.png", "3.png", "../up.png", *(f"{seed}.png" for seed in (6, 5, 4, 2, 1))]
    catalog = Catalog(str(tmp_path), pd.DataFrame({"image": pd.Series(names, dtype=TEXT)}))
    counts = [write_photo_table(catalog, tmp_path / f"shard-{n}", (n, 3), workers=1) for n in (1, 2, 3)]
    assert sum(counts) == 9
    whole = read_photo_table(catalog, [tmp_path / f"shard-{n}" for n in (3, 1, 2)])
    pd.testing.assert_frame_equal(whole, scan_photos(catalog, workers=1))
    with pytest.raises(InputError, match=r"lacks '.*'; scan"):
        read_photo_table(catalog, [tmp_path / "shard-1"])
    with pytest.raises(InputError, match=r"photos\.parquet: cannot be read"):
        read_photo_table(catalog, [tmp_path])


def test_a_photo_in_two_shards_counts_once(tmp_path):
    for seed in range(4):
        draw(seed, (32, 32)).save(tmp_path / f"{seed}.png")
    names = pd.Series(["0.png", "1.png", "2.png", "gone.png"], dtype=TEXT)
    catalog = Catalog(str(tmp_path), pd.DataFrame({"image": names}))
    for part in ((1, 1), (1, 2), (2, 2)):
        write_photo_table(catalog, tmp_path / f"{part[0]}of{part[1]}", part, workers=1)
    whole = scan_photos(catalog, workers=1)
    for shards in (["1of1", "1of1"], ["1of2", "1of1"], ["2of2", "1of2", "2of2"]):
        pd.testing.assert_frame_equal(read_photo_table(catalog, [tmp_path / shard for shard in shards]), whole)
    (tmp_path / "3.png").replace(tmp_path / "1.png")
    write_photo_table(catalog, tmp_path / "later", workers=1)
    with pytest.raises(InputError, match=r"'1\.png' was scanned twice and changed in between; scan this catalog"):
        read_photo_table(catalog, [tmp_path / "1of1", tmp_path / "later"])


@pytest.mark.parametrize("text", ["4/3", "0/3", "1", "a/b", "1/2/3", ""])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="shard"):
        parse_shard(text)
    assert parse_shard("2/8") == (2, 8)
