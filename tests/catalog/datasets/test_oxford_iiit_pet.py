"""Oxford-IIIT Pet's lists."""

import publishers
import pytest


def test_species_and_breeds(root, ingested):
    publishers.oxford_iiit_pet(root)
    publishers.draw(root / "images/beagle_1.jpg")
    account, rows = ingested("oxford-iiit-pet")
    assert {image: (row["category"], row["split"]) for image, row in rows.items()} == {
        "images/Abyssinian_100.jpg": ("cat/Abyssinian", "train"),
        "images/american_bulldog_10.jpg": ("dog/american_bulldog", "train"),
        "images/Abyssinian_201.jpg": ("cat/Abyssinian", "test"),
        "images/english_cocker_spaniel_7.jpg": ("dog/english_cocker_spaniel", "test"),
    }
    assert (account.missing, account.unlisted) == (0, 1)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (" 2 2 1", " 2 3 1", ("annotations/trainval.txt: line 2: species '3' is not one of 1, 2",)),
        (" 1 1 1", " 1 1", ("trainval.txt", "line 1 has 3 columns, not 4")),
    ],
)
def test_a_malformed_line_is_named(root, refused, replace, old, new, parts):
    publishers.oxford_iiit_pet(root)
    replace("annotations/trainval.txt", old, new)
    refused("oxford-iiit-pet", *parts)


def test_a_missing_list(root, refused):
    publishers.oxford_iiit_pet(root)
    (root / "annotations/test.txt").unlink()
    refused("oxford-iiit-pet", "no annotations/test.txt there", "annotations.tar.gz")
