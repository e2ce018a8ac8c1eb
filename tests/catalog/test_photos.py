"""A photo is opened upright and in RGB, or refused in one line."""

import contextlib
import io
import os
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vitrine.catalog import photos
from vitrine.catalog.photos import (
    MAX_BYTES,
    MAX_PIXELS,
    PHOTO_ENDINGS,
    PhotoError,
    as_photo,
    decode_photo,
    open_header,
    open_photo,
)
from vitrine.errors import PassingError

SAMPLES = Path(__file__).parent / "endings"


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise(width=40, height=30, mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO", "AVIF", "JPEG2000"])
def test_every_format_opens_in_rgb(format):
    image = decode_photo(encoded(noise(), format))
    assert (image.mode, image.size) == ("RGB", (40, 30))


@pytest.mark.parametrize(
    ("name", "size", "corner", "mean"),
    [
        ("a.jpg", (96, 141), (79, 74, 44), (122, 127, 126)),  # of the clothing data set (CC0)
        ("b.jfif", (96, 141), (79, 74, 44), (122, 127, 126)),
        ("c.jpe", (96, 141), (79, 74, 44), (122, 127, 126)),
        ("d.heic", (64, 64), (255, 255, 255), (67, 67, 67)),  # of pillow_heif's tests (BSD-3-Clause)
        ("e.avif", (128, 128), (17, 19, 57), (90, 80, 96)),  # of Pillow's tests (MIT-CMU)
    ],
)
def test_what_phones_and_browsers_write_is_read(name, size, corner, mean):
    assert name.endswith(PHOTO_ENDINGS)
    image = open_photo(str(SAMPLES / name))
    assert (image.mode, image.size) == ("RGB", size)
    assert np.abs(np.subtract(image.getpixel((0, 0)), corner)).max() <= 8
    assert np.abs(np.asarray(image).mean(axis=(0, 1)) - mean).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_is_upright_too(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = Image.new("RGB", (40, 30), "white")
    plain.paste("red", (0, 0, 20, 15))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(plain, exif=exif))))
    turned = decode_photo(encoded(plain, "AVIF", exif=exif, quality=100))
    assert turned.size == expected.size
    assert np.abs(np.asarray(turned).astype(int) - np.asarray(expected)).mean() < 4  # turned another way it is 40


def test_the_decoder_of_heic_is_loaded_for_heic_only():
    code = (
        "import sys; from vitrine.catalog.photos import open_photo\n"
        f"open_photo({str(SAMPLES / 'a.jpg')!r}); assert 'pi_heif' not in sys.modules\n"
        f"open_photo({str(SAMPLES / 'd.heic')!r}); assert 'pi_heif' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("data", [b"", b"no photo", b"<svg/>", b"\xff\xd8", b"%PDF-1.4", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_photo_is_refused(data):
    with pytest.raises(PhotoError):
        decode_photo(data)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_by_exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(noise(), exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(decode_photo(data), expected)


def test_an_odd_exif_field_does_not_cost_the_photo():
    # Orientation 6, and a horizontal resolution given as text: Pillow's exif_transpose raises TypeError.
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHI4s", 0x011A, 2, 4, b"ab")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    assert decode_photo(encoded(noise(), "JPEG", exif=exif)).size == (30, 40)


def test_transparency_lies_on_white():
    assert decode_photo(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 0)))).getpixel((0, 0)) == (255, 255, 255)


def test_a_16_bit_scan_is_not_clipped():
    pixels = np.array([[0, 32768, 65535]], dtype=np.uint16)
    red = [decode_photo(encoded(Image.fromarray(pixels))).getpixel((x, 0))[0] for x in range(3)]
    assert red[0] == 0
    assert 120 <= red[1] <= 135
    assert red[2] == 255


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA"])
def test_every_mode_becomes_rgb(mode):
    assert decode_photo(encoded(noise(mode=mode), "TIFF" if mode == "CMYK" else "PNG")).mode == "RGB"


def test_near_keeps_enough_pixels():
    data = encoded(noise(800, 600), "JPEG")
    assert decode_photo(data, near=100).size == (200, 150)
    assert decode_photo(data, near=600).size == (800, 600)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_a_truncated_photo_is_refused(format):
    data = encoded(noise(), format)
    with pytest.raises(PhotoError):
        decode_photo(data[: len(data) // 2])


def test_a_bomb_is_refused_before_it_is_decoded():
    header = struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, 12000, 12000, 1, 24, 0, 0, 0, 0, 0, 0
    )
    with pytest.raises(PhotoError, match=f"12000 x 12000 pixels, more than {MAX_PIXELS:,}"):
        open_header(header)
    huge = header.replace(struct.pack("<ii", 9000, 9000), struct.pack("<ii", 90000, 90000))
    with pytest.raises(PhotoError, match="more than"):
        open_header(huge)


def test_a_jpeg_of_many_passes_is_refused_before_it_is_decoded():
    whole = encoded(noise(), "JPEG", progressive=True)
    last = whole[whole.rfind(b"\xff\xda") : -2]
    started = time.monotonic()
    with pytest.raises(PhotoError, match="has more than 64 scans"):
        decode_photo(whole[:-2] + last * 20_000 + whole[-2:])
    assert time.monotonic() - started < 1
    decode_photo(whole + last * 100)  # what follows its end is not read


HTML = b"<!doctype html><script>alert(1)</script>"


@pytest.mark.parametrize("added", [HTML, b"PK\x05\x06" + bytes(18)], ids=["page", "zip"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_photo_that_is_something_else_too_is_pixels_only(format, added):
    whole = encoded(noise(), format)
    shown = io.BytesIO()
    decode_photo(whole + added).save(shown, "PNG")  # as thumbnails are made: nothing but pixels goes on
    assert added not in shown.getvalue()
    assert decode_photo(whole + added).tobytes() == decode_photo(whole).tobytes()


@pytest.mark.parametrize(
    "data",
    [
        HTML,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"GIF89a",
        b"\xff\xd8\xff",
        b"%!PS",
    ],
)
def test_what_is_no_photo(data):
    with pytest.raises(PhotoError):
        decode_photo(data)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_texts_in_a_png_that_unfold_without_end(kind):
    whole = encoded(noise(), "PNG")
    data = kind + b"x\0\0" + zlib.compress(bytes(200 << 20))
    part = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    tracemalloc.start()
    with contextlib.suppress(PhotoError):
        decode_photo(whole[:33] + part + whole[33:])
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the damage
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "HEIF"])
def test_no_damage_escapes_as_another_error(format):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    if format == "HEIF":
        good = (SAMPLES / "d.heic").read_bytes()
    else:
        good = encoded(noise(), format, **({} if format in ("GIF", "BMP", "JPEG2000") else {"exif": exif}))
    generator = random.Random(0)
    refused = []
    for _ in range(300):
        data = bytearray(good)
        for _ in range(generator.choice([1, 2, 8])):
            data[generator.randrange(min(len(data), 400))] = generator.randrange(256)
        try:
            decode_photo(bytes(data), near=generator.choice([None, 8]))
        except PhotoError as error:
            refused.append(str(error))
    assert refused
    assert all(len(message.splitlines()) == 1 for message in refused)


def test_the_message_names_the_photo(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"bad")
    with pytest.raises(PhotoError, match=r"bad\.jpg: is not a photo"):
        open_photo(str(tmp_path / "bad.jpg"))
    with pytest.raises(PhotoError, match=r"none\.jpg: no such photo"):
        open_photo(str(tmp_path / "none.jpg"))
    with pytest.raises(PhotoError, match="is not a file"):
        open_photo(str(tmp_path))
    os.mkfifo(tmp_path / "pipe.jpg")  # reading it would never end
    with pytest.raises(PhotoError, match=r"pipe\.jpg: is not a file"):
        open_photo(str(tmp_path / "pipe.jpg"))
    with (tmp_path / "endless.jpg").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(PhotoError, match=r"endless\.jpg: is larger than 512 MB"):
        open_photo(str(tmp_path / "endless.jpg"))


@pytest.mark.parametrize("where", ["_raw_mode", "_to_rgb", "orientation", "_formats"])
def test_memory_that_runs_out_is_no_fault_of_the_photo(tmp_path, monkeypatch, where):
    (tmp_path / "a.png").write_bytes(encoded(noise()))
    image = Image.open(tmp_path / "a.png")

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(photos, where, fail)
    with pytest.raises(MemoryError):
        decode_photo(encoded(noise()))
    with pytest.raises(PassingError, match=r"a\.png: memory ran out while it was decoded") as caught:
        open_photo(str(tmp_path / "a.png"))
    assert not isinstance(caught.value, PhotoError)
    if where != "_formats":
        with pytest.raises(MemoryError):
            as_photo(image)


def test_from_s3(bucket):
    from vitrine import files

    files.write_bytes(f"{bucket}/a.png", encoded(noise()))
    assert open_photo(f"{bucket}/a.png").size == (40, 30)
    with pytest.raises(PhotoError, match="no such photo"):
        open_photo(f"{bucket}/b.png")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_jpeg_that_was_cut_and_closed_is_refused(share):
    data = encoded(noise(200, 150), "JPEG", quality=90)
    spoilt = data[: int(len(data) * share)] + b"\xff\xd9"
    Image.open(io.BytesIO(spoilt)).load()  # Pillow is content
    with pytest.raises(PhotoError, match="cut short or damaged"):
        decode_photo(spoilt)
    assert decode_photo(data + b"appended").size == (200, 150)


def camera_photo(**options):
    """A JPEG whose EXIF holds a thumbnail, which is a JPEG too."""
    thumbnail = encoded(noise(16, 12), "JPEG")
    exif = b"Exif\0\0II*\0" + struct.pack("<IHI", 8, 0, 14) + struct.pack("<HI", 0, 0) + thumbnail
    return encoded(noise(200, 150), "JPEG", exif=exif, **options)


@pytest.mark.parametrize("near", [None, 40])
@pytest.mark.parametrize("make", [camera_photo, lambda: encoded(noise(200, 150), "JPEG")], ids=["camera", "plain"])
def test_a_jpeg_that_lacks_its_end_marker_only_is_whole(make, near):
    data = make()
    assert data.endswith(b"\xff\xd9")
    for missing in (1, 2):
        assert np.array_equal(decode_photo(data[:-missing], near), decode_photo(data, near))
    for missing in (40, 400, len(data) // 2):
        with pytest.raises(PhotoError, match="cut short or damaged"):
            decode_photo(data[:-missing], near)


def test_of_several_passes_the_last_may_be_what_is_missing():
    whole = camera_photo(progressive=True)
    last = whole.rfind(b"\xff\xda")
    first = whole.find(b"\xff\xda", whole.find(b"\xff\xc2"))
    for end in (-2, last, whole.find(b"\xff\xc4", first)):  # without the marker, the last pass, all but one pass
        with pytest.raises(PhotoError, match="cut short or damaged"):
            decode_photo(whole[:end])


@pytest.mark.parametrize("near", [None, 40, 96])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}, {"keep_rgb": True}])
def test_jpeg_pixels_are_those_of_pillow(near, options):
    data = encoded(noise(403, 301), "JPEG", **options)
    expected = Image.open(io.BytesIO(data))
    if near:
        expected.draft("RGB", (near, near))
    assert np.array_equal(decode_photo(data, near), expected.convert("RGB"))
