from pathlib import Path

import numpy
import pandas
import pytest
from PIL import Image, ImageOps

from vitrine.synth import render_catalog
from vitrine.synth.marks import VIEWS

KINDS = {
    "exact_copy", "reencoded_copy", "resized_copy", "cropped_copy", "truncated", "wrong_extension", "not_an_image",
    "one_pixel", "bomb", "black", "greyscale", "cmyk", "sixteen_bit", "animated", "exif_rotated", "missing_file",
    "path_traversal", "html_label", "keyword", "repeated_text", "contradicting_labels", "missing_view", "repeated_view",
    "empty_file", "page_as_photo", "white", "grey_colours", "sixteen_bit_colour", "odd_exif", "trailing_bytes",
    "control_characters", "formula", "script_address", "stray_label", "stray_word", "unknown_word", "broken_category",
    "broken_box", "box_outside", "one_photo_class", "long_text", "rotated_copy", "leaked_copy", "mirrored_leak",
    "contradicting_verdict", "other_colour",
}  # fmt: skip
LISTINGS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, slow_to_make: None) -> Path:
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


def test_other_files(folder: Path, faults: pandas.DataFrame) -> None:
    for image in [*images(faults, "empty_file"), *images(faults, "page_as_photo")]:
        with pytest.raises(OSError, match="cannot identify"):
            Image.open(folder / image)
    for image in images(faults, "white"):
        assert Image.open(folder / image).getextrema() == ((255, 255),) * 3
    for image in images(faults, "grey_colours"):
        pixels = numpy.asarray(Image.open(folder / image), dtype=int)
        assert pixels.ndim == 3
        assert numpy.ptp(pixels, axis=2).max() == 0
    for image in images(faults, "sixteen_bit_colour"):
        data = (folder / image).read_bytes()
        assert (data[24], data[25]) == (16, 2)  # bits a sample, colour
        Image.open(folder / image).load()
    for image in images(faults, "odd_exif"):
        photo = Image.open(folder / image)
        assert photo.getexif()[0x0112] == "6"
        photo.load()
    for image in images(faults, "trailing_bytes"):
        assert not (folder / image).read_bytes().endswith(b"\xff\xd9")
        Image.open(folder / image).load()


def test_cells_are_named_and_whole_otherwise(table: pandas.DataFrame, faults: pandas.DataFrame, folder: Path) -> None:
    cells = faults[faults["detail"].str.match(r"^(?:attr:\w+|bbox|category|description|domain|split|user|verdict): ")]
    assert len(cells) == 33
    for _, fault in cells.iterrows():
        column, _, shown = fault["detail"].partition(": ")
        assert repr(table.loc[fault["image"], column][:60]) == shown
        Image.open(folder / fault["image"]).load()
    assert (
        table.loc[images(faults, "long_text")][["description", "user"]].apply(lambda cell: cell.str.len()).max(axis=1)
        >= 5_000
    ).all()


def test_pairs_show_one_photo(folder: Path, table: pandas.DataFrame, faults: pandas.DataFrame) -> None:
    def small(image: str) -> numpy.ndarray:
        photo = ImageOps.exif_transpose(Image.open(folder / image)).convert("L")
        return numpy.asarray(photo.resize((16, 16)), dtype=int)

    for kind in ("rotated_copy", "leaked_copy", "mirrored_leak", "contradicting_verdict"):
        for _, fault in faults[faults["defect"] == kind].iterrows():
            other = fault["detail"].partition(",")[0].partition(" of ")[0]
            one, two = table.loc[fault["image"]], table.loc[other]
            assert one["listing"] != two["listing"]
            assert one["category"] == two["category"]
            again = small(fault["image"])
            again = again[:, ::-1] if kind == "mirrored_leak" else again
            assert numpy.abs(again - small(other)).mean() < 4
            if kind.endswith(("leak", "leaked_copy")):
                assert two["split"] == "train"
                assert one["split"] in ("validation", "test")
            if kind == "contradicting_verdict":
                assert {one["verdict"], two["verdict"]} == {"authentic", "counterfeit"}
    assert {Image.open(folder / image).getexif()[0x0112] for image in images(faults, "rotated_copy")} == {3, 5, 8}
    for _, fault in faults[faults["defect"] == "other_colour"].iterrows():
        other = fault["detail"].partition(" in ")[0]
        assert table.loc[fault["image"], "attr:colour"] != table.loc[other, "attr:colour"]


def test_the_same_seed_plants_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    render_catalog(tmp_path / "again", LISTINGS, defects=True)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(
        path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()
    )
    for name in files:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
