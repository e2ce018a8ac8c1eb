"""A photo's numbers become sRGB, whatever its file says they mean."""

import io
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, TiffImagePlugin

from vitrine.catalog import Catalog
from vitrine.catalog.photos import decode_photo, open_photo
from vitrine.catalog.table import TEXT
from vitrine.data.photo_store import PhotoStore
from vitrine.quality.links import copy_links
from vitrine.quality.scan import scan_photo, scan_photos

# Photos: clothing-dataset (CC0); P3 profile: sharp (Apache-2.0); rgb_trns: Pillow.
CASES = Path(__file__).parent / "colour_cases"
# Primaries in XYZ under D50, as profiles give them (Adobe RGB (1998), ROMM RGB), one per column.
ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
PROPHOTO = np.array([[0.79767, 0.13519, 0.03134], [0.28804, 0.71188, 0.00008], [0.0, 0.0, 0.82491]])
XYZ_TO_SRGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)
D50 = np.array([0.9642, 1.0, 0.8249])


def _fixed(*values):
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def profile(space, tags, connection=b"XYZ "):
    """An ICC profile of version 2 from its tags (ICC.1:2001-04, Sections 6.1 and 6.2)."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + _fixed(*D50), **tags}
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s12x4s", offset + len(body), b"lcms", 0x02100000, b"scnr", space, connection, b"acsp")
    return head.ljust(68, b"\0") + _fixed(*D50).ljust(60, b"\0") + table + body


def rgb_profile(primaries, gamma):
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    columns = {
        name: b"XYZ \0\0\0\0" + _fixed(*column)
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries.T, strict=True)
    }
    return profile(b"RGB ", columns | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def cmyk_profile(lab):
    """Of a press whose colours lie between 16 corners: `lab` of each (c, m, y, k)."""
    ramp = bytes(range(256))
    nodes = b""
    for corner in np.ndindex(2, 2, 2, 2):
        light, a, b = lab(*corner)
        nodes += bytes([round(light * 2.55), a + 128, b + 128])
    head = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return profile(b"CMYK", {b"A2B0": head + 4 * ramp + nodes + 3 * ramp}, b"Lab ")


def from_xyz(xyz):
    linear = np.clip(xyz @ XYZ_TO_SRGB.T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def from_lab(light, a, b):
    y = (light + 16) / 116
    f = np.array([y + a / 500, y, y - b / 200])
    return from_xyz(np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2) * D50)


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def muted(shape=(24, 32, 3)):
    """Colours that sRGB has, whichever space their numbers are of."""
    return np.random.default_rng(0).integers(100, 160, shape).astype(np.uint8)


@pytest.mark.parametrize(("primaries", "gamma"), [(ADOBE, 563 / 256), (PROPHOTO, 1.8)], ids=["Adobe RGB", "ProPhoto"])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_colours_of_other_spaces_become_srgb(primaries, gamma, format):
    pixels = np.full((24, 32, 3), (120, 150, 110), np.uint8)
    options = {"quality": 100} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    data = encoded(Image.fromarray(pixels), format, icc_profile=rgb_profile(primaries, gamma), **options)
    gamma = round(gamma * 256) / 256
    expected = from_xyz((pixels[0, 0] / 255.0) ** gamma @ primaries.T)
    assert np.abs(expected - pixels[0, 0]).max() > 10  # else there is nothing to see
    assert np.abs(np.asarray(decode_photo(data)) - expected).max() <= (3 if format == "JPEG" else 1.5)


def test_the_display_p3_copy_of_a_photo_is_that_photo():
    given, wanted = (CASES / f"garment_{name}.png" for name in ("displayp3", "srgb"))
    assert np.abs(np.asarray(open_photo(str(given)), float) - np.asarray(open_photo(str(wanted)), float)).mean() < 1
    catalog = Catalog(str(CASES), pd.DataFrame({"image": [given.name, wanted.name]}, dtype=TEXT))
    assert len(copy_links(catalog, scan_photos(catalog, 1), 20, 1).near[0]) == 1
    first, second = PhotoStore([str(given), str(wanted)], 64).read(np.arange(2)).float()
    assert (first - second).abs().mean() < 1


def test_print_colours_are_those_of_their_profile():
    def press(c, m, y, k):
        return (
            (100 - 90 * k, 0, 0) if not c + m + y else (50, -37 * c + 70 * m, 40 * y - 40 * c) if not k else (5, 0, 0)
        )

    for ink, corner in (((255, 0, 0, 0), (1, 0, 0, 0)), ((0, 255, 255, 0), (0, 1, 1, 0)), ((0, 0, 0, 0), (0, 0, 0, 0))):
        for format in ("TIFF", "JPEG"):
            image = Image.new("CMYK", (32, 24), ink)
            data = encoded(
                image, format, icc_profile=cmyk_profile(press), **({"quality": 100} if format == "JPEG" else {})
            )
            found = np.asarray(decode_photo(data), float)[12, 16]
            assert np.abs(found - from_lab(*press(*corner))).max() <= 12  # black point compensation darkens a little


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_grey_of_another_gamma_becomes_srgb(format):
    tags = {b"kTRC": b"curv\0\0\0\0" + struct.pack(">IH", 1, round(1.0 * 256))}  # linear light
    data = encoded(Image.new("L", (32, 24), 55), format, icc_profile=profile(b"GRAY", tags))
    assert abs(decode_photo(data).getpixel((5, 5))[0] - from_xyz(55 / 255 * D50)[0]) <= 1


def test_transparent_photos_are_converted_before_they_are_laid_on_white():
    pixels = np.dstack([np.full((24, 32, 3), (120, 150, 110), np.uint8), np.full((24, 32), 255, np.uint8)])
    pixels[0, 0, 3] = 0
    found = np.asarray(decode_photo(encoded(Image.fromarray(pixels), icc_profile=rgb_profile(ADOBE, 2.2))))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert np.abs(found[1, 1] - from_xyz((pixels[1, 1, :3] / 255.0) ** (563 / 256) @ ADOBE.T)).max() <= 2


def test_an_srgb_profile_of_any_name_changes_nothing():
    from PIL import ImageCms

    tagged = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode_photo(encoded(Image.fromarray(muted()), icc_profile=tagged)), muted())


@pytest.mark.parametrize(
    "odd", [b"no profile", rgb_profile(ADOBE, 2.2)[:200], profile(b"GRAY", {}), profile(b"CMYK", {})], ids=str
)
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_profile_that_makes_no_sense_is_ignored(odd, format):
    plain = encoded(Image.fromarray(muted()), format)
    assert np.array_equal(decode_photo(encoded(Image.fromarray(muted()), format, icc_profile=odd)), decode_photo(plain))


def test_a_lab_scan_is_read():
    from PIL import ImageCms

    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    data = encoded(ImageCms.applyTransform(Image.fromarray(muted()), to_lab), "TIFF")
    assert np.abs(np.asarray(decode_photo(data), int) - muted()).max() <= 3


def test_a_transparent_colour_lies_on_white():
    assert open_photo(str(CASES / "cutout_rgb_trns.png")).getpixel((0, 0)) == (255, 255, 255)
    assert scan_photo(str(CASES / "cutout_rgb_trns.png")).brightness > 128
    stored = np.asarray(Image.open(CASES / "rgb_trns_pillow.png"))
    clear = (stored == (0, 255, 52)).all(axis=2)
    seen = np.asarray(open_photo(str(CASES / "rgb_trns_pillow.png")))
    assert clear.any()
    assert (seen[clear] == 255).all()
    assert (seen[~clear] == stored[~clear]).all()
    grey = encoded(Image.fromarray(np.array([[7, 8]], np.uint8)), transparency=7)
    assert [decode_photo(grey).getpixel((x, 0)) for x in (0, 1)] == [(255,) * 3, (8,) * 3]


def test_a_transparent_colour_of_16_bits_lies_on_white():
    deep = np.array([[0x0707, 0x0708]], np.uint16)
    found = decode_photo(encoded(Image.fromarray(deep), transparency=0x0707))
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255,) * 3, (7,) * 3]


@pytest.mark.parametrize(("name", "brightest"), [("max4000", 15), ("one_pixel_5000", 19)])
def test_16_bit_grey_keeps_its_darkness(name, brightest):
    assert open_photo(str(CASES / f"{name}.png")).getextrema() == ((0, brightest),) * 3


@pytest.mark.parametrize(("values", "expected"), [([0, 0.5, 1], [0, 128, 255]), ([0, 51, 255], [0, 51, 255])])
def test_fractions_keep_their_range(values, expected):
    data = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")
    assert [decode_photo(data).getpixel((x, 0))[0] for x in range(3)] == expected


@pytest.mark.parametrize(("pixels", "stored"), [(np.uint8, 10), (np.uint16, 10 * 257)])
def test_in_a_scanners_tiff_0_may_be_white(tmp_path, pixels, stored):
    photometric = TiffImagePlugin.PHOTOMETRIC_INTERPRETATION
    Image.fromarray(np.full((16, 16), stored, pixels)).save(tmp_path / "a.tif", tiffinfo={photometric: 1})
    data = (tmp_path / "a.tif").read_bytes()
    entry = struct.pack("<HHI", photometric, 3, 1)
    (tmp_path / "b.tif").write_bytes(data.replace(entry + b"\1", entry + b"\0"))
    seen = [open_photo(str(tmp_path / name)).getpixel((0, 0)) for name in ("a.tif", "b.tif")]
    assert seen == [(10, 10, 10), (245, 245, 245)]
