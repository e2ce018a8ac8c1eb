import pandas as pd
import pytest

from vitrine.catalog import Catalog, gallery_rows, holds_gallery, learnable, with_gallery


def catalog(**columns):
    """User photos of train, test and of no product; shop photos of the same, one of them of a published split."""
    table = {
        "image": ["u0", "u1", "u2", "s0", "s1", "s2", "s3", "s4"],
        "domain": ["user", "user", "user", "shop", "shop", "shop", "shop", "shop"],
        "product": ["a", "b", "", "a", "b", "", "c", "c"],
        "split": ["train", "test", "train", "", "", "", "", "test"],
    }
    return Catalog("/photos", pd.DataFrame(table | columns))


def test_the_gallery_is_shop_photos_of_no_split():
    assert gallery_rows(catalog().table).tolist() == [False, False, False, True, True, True, True, False]
    assert not gallery_rows(catalog().table.assign(split="")).any()  # not dealt yet
    assert not gallery_rows(catalog().table.drop(columns="domain")).any()
    assert with_gallery(catalog(), "test").table["image"].tolist() == ["u1", "s0", "s1", "s2", "s3", "s4"]


def test_what_is_asked_about_is_not_learnt_from_the_gallery():
    found = learnable(catalog()).table
    assert found["split"].tolist() == ["train", "test", "train", "train", "", "", "", "test"]
    copies = ["g0", "g1", "g2", "g1", "g4", "g5", "g6", "g7"]  # the shop photo of a is a copy of the test photo
    assert learnable(catalog(duplicate_group=copies)).table["split"].tolist()[3] == ""
    items = catalog().table.rename(columns={"product": "item"})
    assert learnable(Catalog("/photos", items)).table["split"].tolist() == items["split"].tolist()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, True),
        ({"product": ["a", "b", "", "c", "d", "", "e", ""]}, False),
        ({"domain": ["shop"] * 8}, False),
        ({"product": [""] * 8, "item": ["x"] * 8}, True),
    ],
)
def test_a_catalog_holds_a_gallery_where_both_domains_show_the_same(columns, expected):
    table = catalog(**columns).table
    assert holds_gallery(table[:6]) is expected  # as many user photos as shop photos
    assert not holds_gallery(table)  # more shop photos: they are what there is to learn from
