"""Street2Shop's pairs: a row per item of a street photo, and one per shop photo."""

import json

import publishers
import pytest

COLUMNS = ["image", "product", "domain", "bbox", "category", "split"]


def rows_of(table):
    return [tuple(row) for row in table[COLUMNS].to_numpy(dtype=object)]


def test_pairs_and_shop_photos(root, table):
    publishers.street2shop(root)
    asked, others = [], []
    for row in rows_of(table("street2shop")):
        (asked if row[0] < "images/000000020.jpg" else others).append(row)
    assert sorted(asked) == [
        ("images/000000001.jpg", "100", "user", "5,7,30,60", "dresses", "train"),
        ("images/000000001.jpg", "200", "user", "3,80,12,10", "footwear", "train"),  # another item of that photo, once
        ("images/000000002.jpg", "101", "user", "", "dresses", "train"),  # its box lacks two sides
        (
            "images/000000003.jpg",
            "102",
            "user",
            "0,7,26,60",
            "dresses",
            "test",
        ),  # and this one begins left of the photo
        ("images/000000010.jpg", "100", "shop", "", "dresses", "train"),
        ("images/000000011.jpg", "100", "shop", "", "dresses", "train"),
        ("images/000000012.jpg", "102", "shop", "", "dresses", "test"),
        ("images/000000014.jpg", "200", "shop", "", "footwear", "train"),
    ]
    assert others[:3] == [  # nobody asks for these: no split
        ("images/000000020.jpg", "113", "shop", "", "dresses", ""),
        ("images/000000021.jpg", "113", "shop", "", "dresses", ""),
        ("images/000000022.jpg", "114", "shop", "", "dresses", ""),
    ]
    assert len(others) == 20


def test_photos_without_a_row_and_rows_without_a_photo(root, ingested):
    publishers.street2shop(root)
    account, _ = ingested("street2shop")
    assert (account.rows, account.missing, account.unlisted) == (28, 1, 1)  # shop photo 99, photo 15


def test_photos_may_lie_elsewhere_with_other_endings_and_fewer_zeros(root, table):
    publishers.street2shop(root)
    (root / "images/000000010.jpg").rename(root / "photos/10.png")
    assert "photos/10.png" in set(table("street2shop")["image"])


def test_a_product_of_both_splits_gives_its_shop_photos_none(root, table):
    publishers.street2shop(root)
    path = root / "meta/json/test_pairs_footwear.json"
    path.write_text(json.dumps([{"photo": 3, "product": 200, "bbox": {"width": 1, "height": 2, "left": 0, "top": 0}}]))
    rows = rows_of(table("street2shop"))
    assert ("images/000000014.jpg", "200", "shop", "", "footwear", "") in rows
    assert ("images/000000003.jpg", "200", "user", "0,0,1,2", "footwear", "test") in rows


def test_two_photos_of_one_number(root, refused):
    publishers.street2shop(root)
    publishers.draw(root / "crops/000000010.jpg")
    refused("street2shop", "'crops/000000010.jpg' and 'images/000000010.jpg' are both photo 10")


def test_no_pairs(root, refused):
    publishers.street2shop(root)
    for path in (root / "meta/json").glob("*_pairs_*"):
        path.unlink()
    refused("street2shop", "no meta/json/train_pairs_<category>.json there", "meta.zip")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('"product": 101, ', "", ("train_pairs_dresses.json: entry 2 lacks 'product'",)),
        ('"photo": 2', '"photo": "two"', ("train_pairs_dresses.json: entry 2: photo 'two' and product 101",)),
        ("[", "[7, ", ("train_pairs_dresses.json: entry 1 is not an object",)),
        ("[", '{"pairs": [', ("train_pairs_dresses.json: is not JSON",)),
        ('"bbox"', '"box"', ("entry 1 lacks 'bbox'",)),
    ],
)
def test_what_is_wrong_is_named(root, refused, replace, old, new, parts):
    publishers.street2shop(root)
    replace("meta/json/train_pairs_dresses.json", old, new)
    refused("street2shop", *parts)
