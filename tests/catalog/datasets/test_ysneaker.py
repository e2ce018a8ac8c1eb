"""Listings with a folder of photos each."""

import publishers
import pytest


def test_a_row_per_photo_of_a_listing(root, ingested):
    publishers.ysneaker(root)
    account, rows = ingested("ysneaker")
    assert rows["images/L1/box_logo.jpg"] == {
        "listing": "L1",
        "view": "box_logo",
        "category": "Nike",
        "verdict": "authentic",
        "expert": "E1",
        "user": "u7",
        "description": 'worn twice, "as new"',
    }
    assert [row["view"] for row in rows.values()] == [
        *("appearance", "box_logo", "extra", "extra", "insole", "midsole", "stamp", "tag"),
        *("appearance", "insole", "midsole", "tag"),
        *("box_logo", "appearance"),
    ]
    assert {row["listing"]: (row["verdict"], row["category"]) for row in rows.values()} == {
        "L1": ("authentic", "Nike"),
        "L2": ("counterfeit", "Li Ning"),
        "L3": ("", "New Balance"),  # uncertain counts as unlabelled
    }
    assert rows["images/L2/tag.jpg"]["description"] == "没有鞋盒"
    assert (account.missing, account.unlisted) == (1, 1)  # L4 has no photo, and L9 is no listing


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (
            "counterfeit",
            "fake",
            ("listings.csv: row 2 (listing 'L2'): verdict 'fake' is not one of authentic, counterfeit, uncertain",),
        ),
        ("L2,", "L1,", ("listings.csv: listing 'L1' stands twice",)),
        ("L2,", ",", ("listings.csv: row 2 names no listing",)),
        ("verdict", "judgement", ("listings.csv: no column 'verdict'",)),
        ("Puma,", "Puma,x,", ("listings.csv", "line 5")),
    ],
)
def test_what_is_wrong_is_named(root, refused, replace, old, new, parts):
    publishers.ysneaker(root)
    replace("listings.csv", old, new)
    refused("ysneaker", *parts)


def test_no_table(root, refused):
    publishers.draw(root / "L1/tag.jpg")
    refused("ysneaker", "no listings.csv there", "listing, expert, user, description, brand, verdict")
