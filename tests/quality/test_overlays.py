"""Marks that many photos carry at the same place; what photos of one layout have in common is none."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from vitrine.catalog import Catalog, read_catalog
from vitrine.catalog.ingest import ingest
from vitrine.catalog.photos import open_photo
from vitrine.catalog.table import TEXT
from vitrine.quality.overlays import common_mark, edges_of, watermarks
from vitrine.quality.scan import scan_photos

from .test_defects import grained


def stamped(photo, text="SHOP 24", share=0.7, opacity=150, place=(0.5, 0.5)):
    """A photo with half transparent white letters, dark rimmed, about a place in shares of its sides."""
    size = (photo.width * 4, photo.height * 4)
    layer = Image.new("RGBA", size)
    where = (size[0] * place[0], size[1] * place[1])
    ImageDraw.Draw(layer).text(
        where,
        text,
        anchor="mm",
        font_size=share * size[0] / (0.6 * len(text)),
        fill=(255, 255, 255, opacity),
        stroke_width=4,
        stroke_fill=(0, 0, 0, opacity),
    )
    whole = photo.convert("RGBA")
    whole.alpha_composite(layer.resize(photo.size, Image.Resampling.LANCZOS))
    return whole.convert("RGB")


def edges(photos):
    return np.stack([edges_of(np.asarray(photo.convert("L"))) for photo in photos])


def test_a_mark_is_found_on_the_photos_that_carry_it():
    photos = [grained(seed, (96, 96 + seed % 3 * 16)) for seed in range(90)]
    assert not common_mark(edges(photos))[0].any()
    carries, mark = common_mark(edges([stamped(photo) if i < 20 else photo for i, photo in enumerate(photos)]))
    assert mark is not None
    assert carries[:20].sum() >= 18
    assert not carries[20:].any()
    assert common_mark(edges(map(stamped, photos)))[0].sum() >= 85  # all of them


def test_a_mark_that_is_elsewhere_in_each_photo_is_none():
    rng = np.random.default_rng(0)
    photos = [stamped(grained(seed), place=rng.uniform(0.3, 0.7, 2)) for seed in range(60)]
    assert not common_mark(edges(photos))[0].any()


def test_what_photos_of_one_pose_have_in_common_is_no_mark():
    """A dark thing on white whose outline moves by a pixel or two, under a collar that does as well."""
    rng = np.random.default_rng(1)
    photos = []
    for seed in range(80):
        photo = Image.new("RGB", (96, 128), "white")
        pen, (dx, dy, grow) = ImageDraw.Draw(photo), rng.normal(0, 1.5, 3)
        thing = Image.new("L", photo.size)
        ImageDraw.Draw(thing).ellipse((20 + dx - grow, 24 + dy, 76 + dx + grow, 112 + dy + grow), fill=255)
        photo.paste(grained(seed).point(lambda level: level * 0.6), mask=thing)
        pen.arc((36 + dx, 16 + dy, 60 + dx, 36 + dy), 0, 180, fill=(60, 60, 60), width=3)
        photos.append(photo)
    assert not common_mark(edges(photos))[0].any()


def test_copies_of_one_photo_share_no_mark(tmp_path):
    for number in range(65):
        grained(number if number < 45 else 3).save(tmp_path / f"{number}.png", compress_level=number % 9)
    catalog = Catalog(str(tmp_path), pd.DataFrame({"image": pd.Series([f"{n}.png" for n in range(65)], dtype=TEXT)}))
    photos = scan_photos(catalog, workers=1)
    groups = np.array([3 if number == 3 or number >= 45 else -1 for number in range(65)])
    assert not watermarks(catalog, photos, groups, 100, workers=1).any()
    for number in range(65):
        stamped(grained(number)).save(tmp_path / f"{number}.png")
    found = watermarks(catalog, scan_photos(catalog, workers=1), groups, 100, workers=1)
    assert found[:45].sum() >= 42
    assert found[45:].sum() >= 18  # copies are looked at once a mark is known
    (tmp_path / "0.png").unlink()
    assert not watermarks(catalog, photos, groups, 100, workers=1)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clothing", "fashion", "grocery"])
def test_marks_on_real_photos(datasets, tmp_path, name):
    ingest(datasets / name, tmp_path / "whole", name)
    catalog = read_catalog(tmp_path / "whole")
    images = catalog.table["image"].unique()
    chosen = np.random.default_rng(4).choice(len(images), 300, replace=False)
    photos = [open_photo(catalog.uri(images[place])) for place in chosen]
    assert common_mark(edges(photos))[0].sum() <= 1
    carries, _ = common_mark(edges([stamped(photo) if i < 20 else photo for i, photo in enumerate(photos[:100])]))
    assert carries[:20].sum() >= 16
    assert carries[20:].sum() <= 1
