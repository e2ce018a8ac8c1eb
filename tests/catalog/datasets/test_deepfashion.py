"""DeepFashion's lists, coarse and fine, and its matrix of attributes."""

import publishers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.catalog.datasets import deepfashion
from vitrine.catalog.datasets.deepfashion import read_flags
from vitrine.errors import InputError

COARSE = {
    "img/Sheer_Pleated-Front_Blouse/img_00000001.jpg": {
        "bbox": "72,79,160,194",
        "category": "upper-body/Button-Down Tee",
        "split": "train",
        "attr:shape": "",
        "attr:texture": "abstract chevron print|floral",
        "attr:fabric": "",
        "attr:part": "long sleeve",
        "attr:style": "",
    },
    "img/Sheer_Pleated-Front_Blouse/img_00000002.jpg": {
        "bbox": "10,12,50,78",
        "category": "upper-body/Button-Down Tee",
        "split": "validation",
        "attr:shape": "",
        "attr:texture": "",
        "attr:fabric": "crochet",
        "attr:part": "",
        "attr:style": "",
    },
    "img/Pencil_Skirt/img_00000003.jpg": {
        "bbox": "1,2,30,40",
        "category": "lower-body/Skirt",
        "split": "test",
        "attr:shape": "a-line",
        "attr:texture": "striped-dotted",
        "attr:fabric": "",
        "attr:part": "",
        "attr:style": "boho",
    },
    "img/Maxi_Dress/img_00000004.jpg": {
        "bbox": "0,0,70,90",
        "category": "full-body/Dress",
        "split": "train",
        **dict.fromkeys(["attr:shape", "attr:texture", "attr:fabric", "attr:part", "attr:style"], ""),
    },
}


@pytest.mark.parametrize(("folder", "inside"), [("Anno_coarse", ""), ("Anno", "Img"), ("Anno_coarse", "Img/unzipped")])
def test_the_coarse_annotation(root, ingested, folder, inside):
    publishers.deepfashion(root, folder, inside)
    account, rows = ingested("deepfashion")
    assert rows == {(f"{inside}/{name}" if inside else name): row for name, row in COARSE.items()}
    assert (account.rows, account.missing, account.unlisted) == (4, 0, 0)


def test_photos_without_a_row_and_rows_without_a_photo(root, ingested):
    publishers.deepfashion(root)
    (root / "img/Maxi_Dress/img_00000004.jpg").unlink()
    publishers.draw(root / "img_highres/Maxi_Dress/img_00000004.jpg")
    account, _ = ingested("deepfashion")
    assert (account.rows, account.missing, account.unlisted) == (3, 1, 1)


def test_lists_in_another_order_are_matched_by_name(root, ingested):
    publishers.deepfashion(root)
    for name in ("Anno_coarse/list_attr_img.txt", "Anno_coarse/list_bbox.txt", "Eval/list_eval_partition.txt"):
        count, header, *lines = (root / name).read_text().splitlines()
        publishers.write(root, name, count, header, *reversed(lines))
    assert ingested("deepfashion")[1] == COARSE


def test_a_photo_that_another_list_lacks_has_nothing_of_it(root, ingested, replace):
    publishers.deepfashion(root)
    path = root / "Anno_coarse/list_bbox.txt"
    path.write_text("3" + path.read_text().removeprefix("4").replace(path.read_text().splitlines()[3] + "\n", ""))
    replace("Anno_coarse/list_attr_img.txt", "img/Pencil_Skirt/", "img/Pencil_skirts/")
    rows = ingested("deepfashion")[1]
    assert rows["img/Sheer_Pleated-Front_Blouse/img_00000002.jpg"]["bbox"] == ""
    assert rows["img/Maxi_Dress/img_00000004.jpg"]["bbox"] == "0,0,70,90"
    assert rows["img/Pencil_Skirt/img_00000003.jpg"]["attr:shape"] == ""


def test_the_fine_annotation(root, ingested):
    publishers.deepfashion_fine(root)
    account, rows = ingested("deepfashion-fine")
    assert rows["img/Sheer_Blouse/img_00000001.jpg"] == {
        "bbox": "72,79,160,194",
        "category": "upper-body/Blouse",
        "split": "train",
        "attr:texture": "floral",
        "attr:sleeve": "",
        "attr:neckline": "crew_neckline",
        "attr:fit": "",
    }
    assert [(row["split"], row["attr:texture"], row["attr:sleeve"], row["attr:fit"]) for row in rows.values()] == [
        ("train", "floral", "", ""),
        ("validation", "solid", "", ""),
        ("test", "", "long_sleeve", "loose"),
        ("test", "floral", "", "loose"),
    ]
    assert (account.missing, account.unlisted) == (0, 0)


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        ("Anno_coarse/list_attr_img.txt", " 0 ", " 2 ", ("list_attr_img.txt: line 3: '2' is not one of 1, 0, -1",)),
        ("Anno_coarse/list_attr_img.txt", " 0 ", "", ("list_attr_img.txt: line 3 has 6 flags, not 7",)),
        (
            "Anno_coarse/list_attr_img.txt",
            "4\n",
            "5\n",
            ("list_attr_img.txt: has 4 rows, and its first line says '5'",),
        ),
        ("Anno_coarse/list_bbox.txt", "232 273", "232", ("list_bbox.txt", "line 3 has 4 columns, not 5")),
        ("Anno_coarse/list_bbox.txt", "010 012", "010 x12", ("list_bbox.txt: line 4: '010 x12 060 090' is no box",)),
        (
            "Anno_coarse/list_category_img.txt",
            " 3\n",
            " 9\n",
            ("list_category_img.txt: line 5: category '9'", "1, 2, 3, 4"),
        ),
        ("Anno_coarse/list_category_img.txt", "4\n", "40\n", ("list_category_img.txt", "has 4 rows", "'40'")),
        ("Anno_coarse/list_category_cloth.txt", "2\n", "7\n", ("list_category_cloth.txt: line 5: type '7'",)),
        ("Anno_coarse/list_attr_cloth.txt", "2\n", "6\n", ("list_attr_cloth.txt: line 5: type '6'",)),
        ("Eval/list_eval_partition.txt", " val", " valid", ("list_eval_partition.txt: line 4: split 'valid'",)),
    ],
)
def test_a_malformed_line_is_named(root, refused, replace, file, old, new, parts):
    publishers.deepfashion(root)
    replace(file, old, new)
    refused("deepfashion", *parts)


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        ("test_attr.txt", "0 0 1 0 1", "0 0 1 0", ("Anno_fine/test_attr.txt: line 1 has 4 flags, not 5",)),
        ("test_attr.txt", "1 0 0 0 1 \n", "", ("Anno_fine/test_attr.txt has 1 lines, and Anno_fine/test.txt 2",)),
        ("test_bbox.txt", "001 002 031 052\n", "", ("Anno_fine/test_bbox.txt has 1 lines",)),
        ("test_cate.txt", "4\n4\n", "4\nx\n", ("Anno_fine/test_cate.txt: line 2: category 'x'",)),
    ],
)
def test_a_malformed_line_of_the_fine_lists_is_named(root, refused, replace, file, old, new, parts):
    publishers.deepfashion_fine(root)
    replace(f"Anno_fine/{file}", old, new)
    refused("deepfashion-fine", *parts)


def test_a_missing_list_is_named_with_where_it_comes_from(root, refused):
    publishers.deepfashion(root)
    (root / "Eval/list_eval_partition.txt").unlink()
    refused("deepfashion", "no Eval/list_eval_partition.txt there", "mmlab.ie.cuhk.edu.hk")


def test_only_the_fine_annotation(root, refused):
    publishers.deepfashion_fine(root)
    refused("deepfashion", "--format deepfashion-fine")


def slow_flags(text, width, named):
    """Line by line, as the README of the data set describes it."""
    names, ones = [], []
    for row, line in enumerate(text.rstrip().split("\n")):
        words = line.split()
        flags = [int(word) for word in words[len(words) - width :]]
        names += [" ".join(words[: len(words) - width])] if named else []
        ones += [(row, column) for column, flag in enumerate(flags) if flag == 1]
    return names, ones


@pytest.mark.slow
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["img/a.jpg", "b", "two words.jpg", "é 1", "1", "-1 0"]),
            st.lists(st.integers(-1, 1), min_size=3, max_size=3),
        ),
        min_size=1,
        max_size=12,
    ),
    blanks=st.sampled_from([" ", "  ", "\t", "    "]),
    feed=st.sampled_from(["\n", "\r\n", " \n"]),
    end=st.sampled_from(["", "\n", "\n\n\n", "\n \n"]),
    named=st.booleans(),
    piece=st.integers(1, 40),
    portion=st.integers(1, 60),
)
def test_flags_read_in_portions_are_those_read_line_by_line(rows, blanks, feed, end, named, piece, portion):
    lines = [blanks.join([name] * named + [str(flag) for flag in flags]) for name, flags in rows]
    text = feed.join(lines) + end
    data = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deepfashion, "PORTION", portion)
        pieces = (data[at : at + piece] for at in range(0, len(data), piece))
        flags = read_flags(pieces, 3, "f.txt", named=named)
        counted = read_flags([f"{len(rows)}\nname flags\n".encode(), data], 3, "f.txt", named=named, counted=True)
    names, ones = slow_flags(text, 3, named)
    assert flags.rows == counted.rows == len(rows)
    assert [" ".join(name.split()) for name in flags.names] == names
    assert counted.names == flags.names
    assert list(map(tuple, flags.at.T.tolist())) == list(map(tuple, counted.at.T.tolist())) == ones


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2\nhead\na 1 0\n\na 1 0\n", "line 4 has 0 flags, not 2"),
        ("2\nhead\na 1 0\nb 1 +1\n", r"line 4: '\+1' is not one of"),
        ("2\nhead\na 1 0\nb 1 -\n", "line 4: '-' is not one of"),
        ("2\nhead\na 1 0\n 1 0\n", "line 4 has 1 flags, not 2"),
        ("1\nhead\na 1 0\nb 1 0\n", "has 2 rows, and its first line says '1'"),
        ("many\nhead\na 1 0\n", "has 1 rows, and its first line says 'many'"),
        ("1\n", "has 0 rows, and its first line says '1'"),
        ("", "has 0 rows, and its first line says ''"),
    ],
)
def test_unusable_flags(text, message):
    with pytest.raises(InputError, match=rf"f\.txt: {message}"):
        read_flags([text.encode()], 2, "f.txt", named=True, counted=True)
