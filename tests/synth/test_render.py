import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy
import pandas
import PIL
import pytest
from PIL import Image

from vitrine.errors import InputError
from vitrine.synth import render_catalog
from vitrine.synth.listings import COLUMNS, product_of
from vitrine.synth.marks import VIEWS

LISTINGS = 48


def fingerprints(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "catalog"
    render_catalog(out, LISTINGS)
    return out


@pytest.fixture(scope="module")
def table(catalog: Path) -> pandas.DataFrame:
    return pandas.read_parquet(catalog / "catalog.parquet")


@pytest.fixture(scope="module")
def attributes(table: pandas.DataFrame) -> pandas.DataFrame:
    return table[[column for column in table if column.startswith("attr:")]]


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    render_catalog(tmp_path / "a", 8, seed=3)
    render_catalog(tmp_path / "b", 8, seed=3)
    assert fingerprints(tmp_path / "a") == fingerprints(tmp_path / "b")


@pytest.mark.skipif(not PIL.__version__.startswith("13."), reason="recorded with Pillow 13")
def test_bytes_are_those_of_every_other_machine(tmp_path: Path) -> None:
    """Decoded pixels and table of a small catalog. A new Pillow may change them; a new processor may not."""
    render_catalog(tmp_path / "a", 4, seed=0)
    digest = hashlib.sha256()
    for path in sorted((tmp_path / "a/images").iterdir()):
        digest.update(Image.open(path).tobytes())
    digest.update(pandas.read_parquet(tmp_path / "a/catalog.parquet").to_csv(index=False).encode())
    assert digest.hexdigest() == "fee601bdf03351d97040604943a3a248dc3d7e5ad109423cd2cad87382378040"


def test_other_seed_other_marketplace(tmp_path: Path) -> None:
    render_catalog(tmp_path / "a", 4, seed=0)
    render_catalog(tmp_path / "b", 4, seed=1)
    a, b = fingerprints(tmp_path / "a"), fingerprints(tmp_path / "b")
    assert not set(a.values()) & set(b.values())


@pytest.mark.slow
def test_a_listing_is_the_same_in_a_catalog_of_any_size(catalog: Path, tmp_path: Path) -> None:
    render_catalog(tmp_path / "small", 6)
    whole = fingerprints(catalog)
    small = {name: digest for name, digest in fingerprints(tmp_path / "small").items() if name.startswith("images")}
    assert small
    assert small.items() <= whole.items()


def test_columns_are_the_contract_and_hold_text(table: pandas.DataFrame) -> None:
    assert tuple(table.columns) == COLUMNS
    assert table.map(lambda value: isinstance(value, str)).all(axis=None)
    assert (table["split"] == "").all()
    assert set(table["domain"]) == {"shop", "user", ""}
    assert set(table["verdict"]) == {"authentic", "counterfeit", ""}


def test_every_row_has_its_photo_and_no_photo_is_left_over(catalog: Path, table: pandas.DataFrame) -> None:
    assert table["image"].is_unique
    assert set(table["image"]) == {f"images/{path.name}" for path in (catalog / "images").iterdir()}
    for image in table["image"]:
        photo = Image.open(catalog / image)
        assert (photo.format, photo.mode) == ("JPEG", "RGB")
        assert 96 <= min(photo.size) <= max(photo.size) <= 128


def test_photos_per_listing(table: pandas.DataFrame) -> None:
    assert table["listing"].nunique() == LISTINGS
    assert 4 <= len(table) / LISTINGS <= 5.2


def test_category_tree(table: pandas.DataFrame) -> None:
    leaves = table.loc[table["category"].str.count("/") == 2, "category"]
    assert 12 <= leaves.nunique() <= 16
    assert leaves.str.split("/").str[0].nunique() == 3
    whole_items = table[table["domain"] != ""]
    assert 0.02 < (whole_items["category"].str.count("/") < 2).mean() < 0.16


def test_attributes_are_sparse_multi_valued_and_partly_missing(
    table: pandas.DataFrame, attributes: pandas.DataFrame
) -> None:
    assert len(attributes.columns) >= 4
    whole_items = attributes[table["domain"] != ""]
    assert 0.1 < (whole_items == "").all(axis=1).mean() < 0.32
    assert attributes["attr:colour"].str.contains("|", regex=False).any()
    tops = table["category"].str.startswith(("Apparel/Topwear", "Apparel/Dresses")) | (
        table["category"].str.count("/") < 2
    )
    assert (table.loc[~tops, "attr:sleeve"] == "").all()
    sleeves = table.loc[table["category"] == "Apparel/Topwear/T-Shirts", "attr:sleeve"]
    assert (sleeves != "").any()
    assert (sleeves == "").any()


def test_nearly_every_product_has_shop_and_user_photos(table: pandas.DataFrame) -> None:
    domains = table[table["domain"] != ""].groupby("product")["domain"].nunique()
    assert (domains == 2).mean() > 0.9
    assert table["product"].nunique() < LISTINGS  # some product is sold twice


def test_boxes_lie_inside_their_photos_on_the_item(catalog: Path, table: pandas.DataFrame) -> None:
    assert (table.loc[table["domain"] == "user", "bbox"] != "").all()
    shop = table.loc[table["domain"] == "shop", "bbox"]
    assert 0.2 < (shop != "").mean() < 0.8
    for image, box in table.loc[table["bbox"] != "", ["image", "bbox"]].itertuples(index=False):
        x, y, width, height = map(int, box.split(","))
        photo = Image.open(catalog / image)
        assert x >= 0 <= y
        assert min(width, height) >= 10
        assert x + width <= photo.width
        assert y + height <= photo.height
    for image, box in table.loc[(table["domain"] == "shop") & (table["bbox"] != ""), ["image", "bbox"]].itertuples(
        index=False
    ):
        x, y, width, height = map(int, box.split(","))
        grey = numpy.asarray(Image.open(catalog / image).convert("L"), dtype=int)
        inside = grey[y : y + height, x : x + width]
        assert inside.std() > grey[: max(1, y)].std()


def test_multi_view_listings(table: pandas.DataFrame) -> None:
    shown = table.groupby("listing")["view"].agg(set)
    multi_view = shown[shown.map(lambda views: "tag" in views)]
    assert len(multi_view) == LISTINGS // 4
    assert all(set(VIEWS) <= views <= {*VIEWS, "extra"} for views in multi_view)
    judged = table.groupby("listing")["verdict"].agg(["first", "nunique"])
    assert (judged["nunique"] == 1).all()
    verdicts = judged.loc[multi_view.index, "first"].value_counts(normalize=True)
    assert 0.2 <= verdicts[""] <= 0.35
    assert abs(verdicts["authentic"] - verdicts["counterfeit"]) < 0.15
    assert (judged.drop(multi_view.index)["first"] == "").all()
    assert (table.loc[table["verdict"] != "", "expert"] != "").all()


def test_two_products_of_one_leaf_and_colour_differ() -> None:
    products = [product_of(0, number) for number in range(600)]
    looks: dict[tuple[str, tuple[str, ...]], int] = {}
    for product in products:
        looks[product.category, product.colours] = looks.get((product.category, product.colours), 0) + 1
    assert max(looks.values()) > 2
    assert len({product.key for product in products}) == len({product.name for product in products})


def test_texts_never_repeat_across_one_sellers_listings(table: pandas.DataFrame) -> None:
    assert table["user"].nunique() >= 20
    assert table.groupby(["user", "description"])["listing"].nunique().max() == 1


def test_refuses_no_listings_and_an_existing_folder(tmp_path: Path) -> None:
    refused: list[tuple[Callable[[], None], str]] = [
        (lambda: render_catalog(tmp_path / "none", 0), "at least one listing"),
        (lambda: render_catalog(tmp_path, 4), "exists already"),
    ]
    for render, reason in refused:
        with pytest.raises(InputError, match=reason) as error:
            render()
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
