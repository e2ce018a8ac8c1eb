from pathlib import Path

import numpy
import pandas
import pytest
from PIL import Image

from vitrine.synth import render_catalog
from vitrine.synth.marks import VIEWS

KINDS = {
    "exact_copy", "reencoded_copy", "resized_copy", "cropped_copy", "truncated", "wrong_extension", "not_an_image",
    "one_pixel", "bomb", "black", "greyscale", "cmyk", "sixteen_bit", "animated", "exif_rotated", "missing_file",
    "path_traversal", "html_label", "keyword", "repeated_text", "contradicting_labels", "missing_view", "repeated_view",
}  # fmt: skip
LISTINGS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("defects")
    render_catalog(root / "clean", LISTINGS)
    render_catalog(root / "faulty", LISTINGS, defects=True)
    return root / "faulty"


@pytest.fixture(scope="module")
def table(folder: Path) -> pandas.DataFrame:
    return pandas.read_parquet(folder / "catalog.parquet").set_index("image", drop=False)


@pytest.fixture(scope="module")
def faults(folder: Path) -> pandas.DataFrame:
    return pandas.read_csv(folder / "defects.csv")


def images(faults: pandas.DataFrame, kind: str) -> list[str]:
    return list(faults.loc[faults["defect"] == kind, "image"])


def test_all_kinds_are_planted_and_named(faults: pandas.DataFrame, table: pandas.DataFrame) -> None:
    assert list(faults.columns) == ["image", "defect", "detail"]
    counts = faults["defect"].value_counts()
    assert set(counts.index) == KINDS
    assert counts.between(2, 3).all()
    assert faults["image"].is_unique
    assert set(faults["image"]) <= set(table["image"])


def test_clean_rows_and_photos_stay_as_they_are(
    folder: Path, table: pandas.DataFrame, faults: pandas.DataFrame
) -> None:
    clean = pandas.read_parquet(folder.parent / "clean/catalog.parquet")
    pandas.testing.assert_frame_equal(clean, table.iloc[: len(clean)].reset_index(drop=True))
    for image in clean["image"]:
        assert (folder.parent / "clean" / image).read_bytes() == (folder / image).read_bytes()
    assert not set(clean["image"]) & set(faults["image"])


def test_copies(folder: Path, table: pandas.DataFrame, faults: pandas.DataFrame) -> None:
    for kind in ("exact_copy", "reencoded_copy", "resized_copy", "cropped_copy"):
        for _, fault in faults[faults["defect"] == kind].iterrows():
            source = fault["detail"].removeprefix("copy of ")
            assert table.loc[source, "listing"] != table.loc[fault["image"], "listing"]
            assert table.loc[source, "product"] != table.loc[fault["image"], "product"]
            one, two = (Image.open(folder / image).convert("RGB") for image in (source, fault["image"]))
            same_bytes = (folder / source).read_bytes() == (folder / fault["image"]).read_bytes()
            assert same_bytes == (kind == "exact_copy")
            assert (one.size == two.size) == (kind in ("exact_copy", "reencoded_copy"))
            small = [numpy.asarray(photo.resize((16, 16)), dtype=int) for photo in (one, two)]
            assert numpy.abs(small[0] - small[1]).mean() < 14


def test_files_that_do_not_open(folder: Path, faults: pandas.DataFrame) -> None:
    for image in images(faults, "truncated"):
        with pytest.raises(OSError, match="truncated"):
            Image.open(folder / image).load()
    for image in images(faults, "not_an_image"):
        with pytest.raises(OSError, match="cannot identify"):
            Image.open(folder / image)
    for image in images(faults, "bomb"):
        assert (folder / image).stat().st_size < 1_000_000
        with pytest.raises(Image.DecompressionBombError):
            Image.open(folder / image)
    for image in [*images(faults, "missing_file"), *images(faults, "path_traversal")]:
        assert not (folder / image).exists()
    assert all(image.startswith("../") for image in images(faults, "path_traversal"))


def test_files_of_another_kind(folder: Path, faults: pandas.DataFrame) -> None:
    expected = {
        "wrong_extension": ("PNG", "RGB"),
        "greyscale": ("JPEG", "L"),
        "cmyk": ("JPEG", "CMYK"),
        "sixteen_bit": ("PNG", "I;16"),
        "animated": ("GIF", "P"),
        "black": ("JPEG", "RGB"),
        "one_pixel": ("JPEG", "RGB"),
        "exif_rotated": ("JPEG", "RGB"),
    }
    for kind, (form, mode) in expected.items():
        for image in images(faults, kind):
            photo = Image.open(folder / image)
            photo.load()
            assert (photo.format, photo.mode) == (form, mode), kind
            if kind == "wrong_extension":
                assert image.endswith(".jpg")
            elif kind == "black":
                assert photo.getextrema() == ((0, 0), (0, 0), (0, 0))
            elif kind == "one_pixel":
                assert photo.size == (1, 1)
            elif kind == "animated":
                assert photo.n_frames > 1
            elif kind == "exif_rotated":
                assert photo.getexif()[0x0112] == 6
            elif kind == "sixteen_bit":
                assert numpy.asarray(photo).max() > 255


def test_labels_and_texts(folder: Path, table: pandas.DataFrame, faults: pandas.DataFrame) -> None:
    for image in images(faults, "html_label"):
        row = "\n".join(table.loc[image])
        assert "<script>alert(1)</script>" in row or "<img src=x onerror=alert(1)>" in row
    for _, fault in faults[faults["defect"] == "keyword"].iterrows():
        assert fault["detail"] in table.loc[fault["image"], "description"]
    repeated = table.loc[images(faults, "repeated_text")]
    assert len(repeated[["user", "description"]].drop_duplicates()) == 1
    assert repeated["listing"].nunique() == len(repeated)
    for image in images(faults, "contradicting_labels"):
        twins = [other for other in table["image"] if (folder / other).is_file() and other != image]
        twins = [other for other in twins if (folder / other).read_bytes() == (folder / image).read_bytes()]
        assert len(twins) == 1
        assert table.loc[twins[0], "category"] != table.loc[image, "category"]
        assert table.loc[twins[0], "category"].count("/") == table.loc[image, "category"].count("/") == 2


def test_views(table: pandas.DataFrame, faults: pandas.DataFrame) -> None:
    for image in images(faults, "missing_view"):
        views = set(table.loc[table["listing"] == table.loc[image, "listing"], "view"])
        assert views < {*VIEWS, "extra"}
        assert 3 <= len(views & set(VIEWS)) <= 5
    for image in images(faults, "repeated_view"):
        listing = table[table["listing"] == table.loc[image, "listing"]]
        assert (listing["view"] == table.loc[image, "view"]).sum() == 2
        assert set(VIEWS) <= set(listing["view"])
