"""Photos unlike the catalog's others: each damage is named for what it is, and untouched photos are left alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from vitrine.catalog import Catalog
from vitrine.catalog.table import TEXT
from vitrine.quality import signature
from vitrine.quality.defects import MASKS, defects, information
from vitrine.quality.scan import scan_photo, scan_photos
from vitrine.quality.settings import load_settings
from vitrine.quality.validate import validate_catalog


def grained(seed: int, size: tuple[int, int] = (96, 128)) -> Image.Image:
    """Structure of all sizes, as photos have: noise, coarse to fine."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize(
                size, Image.Resampling.BICUBIC
            ),
            dtype=float,
        )
        for side in (3, 6, 12, 24, 48, 96)
    ]
    mixed = np.average(layers, axis=0, weights=(6, 5, 4, 3, 2, 1))
    light = (mixed - mixed.mean()) * 2.2 + rng.integers(105, 135)
    return Image.fromarray(light.clip(0, 255).astype(np.uint8))


def enlarged(photo: Image.Image) -> Image.Image:
    return photo.resize((1000, 1333), Image.Resampling.LANCZOS)


def ramp(photo: Image.Image) -> Image.Image:
    levels = np.linspace(60, 190, photo.width)[None, :, None] + np.zeros((photo.height, 1, 3))
    return Image.fromarray(levels.astype(np.uint8))


def faint_noise(photo: Image.Image) -> Image.Image:
    rng = np.random.default_rng(photo.getpixel((0, 0)))
    return Image.fromarray(rng.normal(128, 4, (photo.height, photo.width, 3)).clip(0, 255).astype(np.uint8))


def tiny(photo: Image.Image) -> Image.Image:
    ground = Image.new("RGB", photo.size, (200, 205, 210))
    ground.paste(photo.resize((14, 16)), (40, 60))
    return ground


DAMAGE: dict[str, tuple[Callable[[Image.Image], Image.Image], ...]] = {
    "dark_photos": (
        lambda photo: ImageEnhance.Brightness(photo).enhance(0.15),
        lambda photo: ImageEnhance.Brightness(photo).enhance(0.3),
    ),
    "bright_photos": (
        lambda photo: ImageEnhance.Brightness(photo).enhance(3),
        lambda photo: Image.blend(photo, Image.new("RGB", photo.size, "white"), 0.7),
    ),
    "blurred_photos": (
        lambda photo: photo.filter(ImageFilter.GaussianBlur(3)),
        lambda photo: enlarged(photo).filter(ImageFilter.GaussianBlur(8)),
    ),
    "odd_aspect": (
        lambda photo: photo.resize((photo.width, photo.width // 4)),
        lambda photo: photo.resize((photo.height // 4, photo.height)),
    ),
    "low_information": (ramp, faint_noise),
    "mostly_background": (tiny, tiny),
}


def damaged(folder: Path, photos: list[Image.Image], spared: int) -> tuple[Catalog, dict[str, set[int]]]:
    """Photos as PNG; after the first `spared`, each damaged in one way, in turn."""
    ways = [(name, change) for name, changes in DAMAGE.items() for change in changes]
    wanted: dict[str, set[int]] = {name: set() for name in MASKS}
    for number, photo in enumerate(photos):
        if number >= spared:
            name, change = ways[number % len(ways)]
            photo = change(photo)
            wanted[name].add(number)
        photo.save(folder / f"{number}.png", compress_level=1)
    names = pd.Series([f"{number}.png" for number in range(len(photos))], dtype=TEXT)
    return Catalog(str(folder), pd.DataFrame({"image": names})), wanted


@pytest.mark.slow
def test_each_damage_is_named_for_what_it_is(tmp_path):
    catalog, wanted = damaged(tmp_path, [grained(seed) for seed in range(108)], spared=60)
    found = defects(scan_photos(catalog, 1), load_settings())
    assert {name: set(np.flatnonzero(found[name]).tolist()) & wanted[name] for name in MASKS} == wanted
    assert not any(mask[:60].any() for mask in found.values())
    results = {rule.name: rule for rule in validate_catalog(catalog, tmp_path / "report", workers=1).results}
    for name in MASKS:
        assert (results[name].severity, results[name].passed) == ("warning", False)
        assert results[name].count == found[name].sum()
        assert results[name].title in (tmp_path / "report/report.html").read_text()


def test_nothing_is_usual_among_a_few_photos(tmp_path):
    catalog, _ = damaged(tmp_path, [grained(seed) for seed in range(19)], spared=7)
    assert not any(mask.any() for mask in defects(scan_photos(catalog, 1), load_settings()).values())


def test_what_all_photos_share_is_usual(tmp_path):
    """A catalog of soft, dark photos has no dark and no blurred ones."""
    photos = [
        ImageEnhance.Brightness(grained(seed).filter(ImageFilter.GaussianBlur(3))).enhance(0.3) for seed in range(30)
    ]
    catalog, _ = damaged(tmp_path, photos, spared=30)
    assert not any(mask.any() for mask in defects(scan_photos(catalog, 1), load_settings()).values())


def test_focus_falls_with_the_width_of_a_blur_and_not_with_contrast(tmp_path):
    def focus(photo: Image.Image) -> float:
        photo.save(tmp_path / "photo.png")
        return scan_photo(str(tmp_path / "photo.png")).focus

    sharp = grained(0)
    faint = Image.blend(sharp, Image.new("RGB", sharp.size, (128, 128, 128)), 0.5)
    assert focus(faint) == pytest.approx(focus(sharp), rel=0.1)
    soft = [focus(sharp.filter(ImageFilter.GaussianBlur(radius))) for radius in (1, 2)]
    assert focus(sharp) > 2 * soft[0] > 4 * soft[1]


def test_highlights_and_clipping_are_those_of_the_grey_levels(tmp_path):
    levels = np.zeros((100, 100), np.uint8)
    levels[:, :30] = 254
    levels[:, 99] = 255
    Image.fromarray(levels).save(tmp_path / "photo.png")
    seen = scan_photo(str(tmp_path / "photo.png"))
    assert (seen.shadows, seen.highlights, seen.clipped) == (0, 254, pytest.approx(0.31, abs=0.001))


def test_information_counts_the_waves_of_the_cells():
    """Against the DCT-II written out."""
    looks = np.random.default_rng(0).integers(0, 256, (3, signature.LENGTH), dtype=np.uint8)
    looks[1, :256] = 77
    side = signature.LUMA
    x = np.arange(side)
    counts = []
    for look in looks:
        luma, count = look[: side * side].reshape(side, side).astype(float), 0
        for down in range(side):
            for across in range(side):
                wave = np.outer(np.cos(np.pi * down * (x + 0.5) / side), np.cos(np.pi * across * (x + 0.5) / side))
                size = 2 / side * (luma * wave).sum() / 2 ** (((down == 0) + (across == 0)) / 2)
                count += abs(size) > 8
        counts.append(count)
    assert information(looks).tolist() == counts
    assert counts[1] == 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bright"), [("clothing", 7), ("grocery", 9), ("fashion", 1)])
def test_damaged_real_photos(datasets, tmp_path, name, bright):
    """Fashion's pack shots are as bright as photos get: there, most of what is too bright looks like another."""
    paths = sorted(path for path in (datasets / name).rglob("*.jpg") if "iconic" not in path.name.lower())
    rng = np.random.default_rng(7)
    photos = [Image.open(paths[i]).convert("RGB") for i in rng.choice(len(paths), 420, replace=False)]
    catalog, wanted = damaged(tmp_path, photos, spared=300)
    found = defects(scan_photos(catalog, 1), load_settings())
    caught = {rule: len(set(np.flatnonzero(found[rule]).tolist()) & wanted[rule]) for rule in MASKS}
    least = {
        "dark_photos": 18,
        "blurred_photos": 16,
        "odd_aspect": 18,
        "low_information": 19,
        "bright_photos": 2 * bright,
    }
    assert all(len(rows) == 20 for rows in wanted.values())
    assert all(caught[rule] >= count for rule, count in least.items()), caught
    false = {rule: int(mask[:300].sum()) for rule, mask in found.items() if mask[:300].any()}
    assert sum(false.values()) <= 1, false
