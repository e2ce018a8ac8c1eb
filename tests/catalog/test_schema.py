"""What the columns may hold, and what a node of the tree is."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.catalog import schema
from vitrine.catalog.table import TEXT


@pytest.mark.parametrize(
    "image", ["a.jpg", "images/a b.jpg", "images/..a.jpg", "é/ü.png", "s3://bucket/a.jpg", "./a.jpg", "a/b:c.jpg"]
)
def test_safe_paths(image):
    assert schema.is_safe_path(image)


@pytest.mark.parametrize(
    "image",
    [
        "",
        "/etc/passwd",
        "../a.jpg",
        "a/../../b.jpg",
        "a/..",
        "~/a.jpg",
        "a\\b.jpg",
        "C:/a.jpg",
        "http://host/a.jpg",
        "file:///a",
        "a\0.jpg",
        "s3://",
    ],
)
def test_unsafe_paths(image):
    assert not schema.is_safe_path(image)


def errors(**columns):
    rows = len(next(iter(columns.values())))
    return schema.row_errors(pd.DataFrame({"image": ["a.jpg"] * rows, **columns})).tolist()


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        ("image", ["a.jpg", "s3://b/a.jpg"], ["../a", ""]),
        ("domain", ["", "shop", "user"], ["Shop", "web"]),
        ("verdict", ["", "authentic", "counterfeit"], ["fake"]),
        ("split", ["", "train", "validation", "test"], ["val"]),
        (
            "bbox",
            ["", "0,0,10,10", "1.5,2,3,4", "-1,-2.5,3,4", "1, 2, 3, 4"],
            ["1,2,3", "1,2,3,-4", "1,2,-3,4", "a,b,c,d"],
        ),
        ("category", ["", "A", "A/B/C"], ["/A", "A/", "A//B"]),
    ],
)
def test_row_errors(column, good, bad):
    assert errors(**{column: good}) == [""] * len(good)
    for value, error in zip(bad, errors(**{column: bad}), strict=True):
        assert error.startswith(f"{column} {value!r}")


def test_the_first_fault_of_a_row_is_named():
    assert errors(domain=["web"], split=["val"])[0].startswith("domain")


def test_errors_keep_the_index():
    table = pd.DataFrame({"image": ["a", "../b"]}, index=[7, 9])
    assert schema.row_errors(table).index.tolist() == [7, 9]


def test_attribute_types_are_those_with_labels():
    table = pd.DataFrame({"image": ["a"], "attr:neck": ["round"], "attr:colour": ["red"], "attr:fit": [""]})
    assert schema.attribute_types(table) == ["colour", "neck"]


@pytest.mark.parametrize(
    ("cell", "labels"), [("", []), ("red", ["red"]), ("red|blue", ["red", "blue"]), (" red | |blue|", ["red", "blue"])]
)
def test_labels_of(cell, labels):
    assert schema.labels_of(cell) == labels


def test_a_node_is_its_full_path():
    paths = pd.Series(["Accessories/Socks/Ankle", "Apparel/Socks", "Apparel", ""])
    assert schema.category_level(paths, 1).tolist() == ["Accessories", "Apparel", "Apparel", ""]
    assert schema.category_level(paths, 2).tolist() == ["Accessories/Socks", "Apparel/Socks", "", ""]
    assert schema.category_level(paths, 4).tolist() == [""] * 4


@pytest.mark.parametrize(("paths", "depth"), [(["A/B", "A/B/C", ""], 3), (["A"], 1), ([""], 0), ([], 0)])
def test_depth(paths, depth):
    assert schema.category_depth(pd.DataFrame({"category": pd.Series(paths, dtype=str)})) == depth


def test_no_categories_have_no_depth():
    assert schema.category_depth(pd.DataFrame({"image": ["a"]})) == 0


@given(
    st.lists(st.text("a./~\\:\0s3\n é", max_size=8) | st.sampled_from(["s3://", "s3://b/\0", "a/..", "..b", "C:/x"]))
)
def test_a_column_of_paths_is_judged_like_single_ones(images):
    column = pd.Series(images, dtype=TEXT)
    assert schema.unsafe_paths(column).tolist() == [not schema.is_safe_path(image) for image in images]
