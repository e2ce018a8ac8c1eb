"""The data sets that a mapping file alone describes."""

import publishers
import pytest


def test_sop(root, ingested):
    publishers.sop(root)
    account, rows = ingested("sop")
    assert {image: (row["category"], row["product"], row["split"]) for image, row in rows.items()} == {
        "bicycle_final/111_0.JPG": ("bicycle", "1", "train"),
        "bicycle_final/111_1.JPG": ("bicycle", "1", "train"),
        "mug_final/222_0.JPG": ("mug", "5", "train"),
        "coffee_maker_final/333_0.JPG": ("coffee_maker", "9", "test"),
        "coffee_maker_final/333_1.JPG": ("coffee_maker", "9", "test"),
    }
    assert (account.missing, account.unlisted) == (0, 0)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("3 5 3 mug_final/222_0.JPG", "3 5 3", ("Ebay_train.txt", "line 4 has 3 columns, not 4")),
        ("2 1 2 ", "\n2 1 2 ", ("Ebay_train.txt", "line 3 has 0 columns, not 4")),
        ("path", "file", ("Ebay_train.txt: no column 'path', which image needs",)),
    ],
)
def test_a_malformed_line_of_sop_is_named(root, refused, replace, old, new, parts):
    publishers.sop(root)
    replace("Ebay_train.txt", old, new)
    refused("sop", *parts)


def test_darn(root, ingested):
    publishers.darn(root)
    _, rows = ingested("darn")
    assert rows["images/1002.jpg"] == {
        "product": "7",
        "domain": "user",
        "category": "T-shirt",
        "attr:clothes_button": "pullover",
        "attr:clothes_color": "white",
        "attr:clothes_length": "regular",
        "attr:clothes_pattern": "dot",
        "attr:clothes_shape": "",
        "attr:collar_shape": "",
        "attr:sleeve_length": "short",
        "attr:sleeve_shape": "",
    }
    assert [(row["domain"], row["product"], row["attr:clothes_color"]) for row in rows.values()] == [
        ("shop", "7", "white"),
        ("user", "7", "white"),
        ("shop", "8", "red|blue"),
    ]
