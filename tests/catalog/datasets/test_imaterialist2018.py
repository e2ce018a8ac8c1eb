"""iMaterialist's JSON lists and the table of its labels."""

import json

import publishers
import pytest

ATTRIBUTES = ["attr:color", "attr:category", "attr:gender", "attr:neckline"]


def test_labels_are_sorted_by_type(root, ingested):
    publishers.imaterialist2018(root)
    account, rows = ingested("imaterialist2018")
    assert {image: tuple(row[name] for name in ["split", *ATTRIBUTES]) for image, row in rows.items()} == {
        "train/1.jpg": ("train", "Black", "", "Female", "Round Neck"),
        "train/2.jpg": ("train", "Black|Gray", "Dresses", "", ""),
        "train/3.jpg": ("train", "", "", "", ""),
        "validation/1.jpg": ("validation", "", "T-Shirts", "Male", ""),
        "test/1.jpg": ("test", "", "", "", ""),
        "test/2.jpg": ("test", "", "", "", ""),
    }
    assert (account.missing, account.unlisted) == (0, 0)


def test_photos_that_could_not_be_downloaded_are_counted(root, ingested):
    publishers.imaterialist2018(root)
    (root / "train/2.jpg").rename(root / "train/2.png")  # any ending will do
    (root / "train/3.jpg").rename(root / "train/4.jpg")
    account, rows = ingested("imaterialist2018")
    assert "train/2.png" in rows
    assert (account.rows, account.missing, account.unlisted) == (5, 1, 1)


def test_one_split_is_enough_and_numbers_may_be_numbers(root, ingested):
    publishers.imaterialist2018(root)
    for name in ("validation.json", "test.json"):
        (root / name).unlink()
    content = json.loads((root / "train.json").read_text())
    content["annotations"] = [{"imageId": 2, "labelId": [17, 62, 17]}]
    (root / "train.json").write_text(json.dumps(content))
    account, rows = ingested("imaterialist2018")
    assert (rows["train/2.jpg"]["attr:color"], rows["train/2.jpg"]["attr:category"]) == ("Black", "Dresses")
    assert (account.rows, account.unlisted) == (3, 3)


def test_the_spelling_of_the_publishers_repository(root, ingested):
    publishers.imaterialist2018(root)
    for name in ("train", "validation", "test"):
        text = (root / f"{name}.json").read_text().replace("imageId", "image_id").replace("labelId", "label_id")
        (root / f"{name}.json").write_text(text)
    (root / "validation.json").rename(root / "val.json")
    (root / "validation").rename(root / "val")
    account, rows = ingested("imaterialist2018")
    assert (rows["val/1.jpg"]["split"], rows["val/1.jpg"]["attr:category"]) == ("validation", "T-Shirts")
    assert rows["train/2.jpg"]["attr:color"] == "Black|Gray"
    assert (account.rows, account.missing, account.unlisted) == (6, 0, 0)


def test_without_the_table_of_labels_nobody_can_tell_a_colour_from_a_pattern(root, refused):
    publishers.imaterialist2018(root)
    (root / publishers.LABEL_MAP).unlink()
    refused("imaterialist2018", f"no {publishers.LABEL_MAP} there", "github.com/visipedia/imat_fashion_comp")


def test_no_list_at_all(root, refused):
    publishers.imaterialist2018(root)
    for split in ("train", "validation", "test"):
        (root / f"{split}.json").unlink()
    refused("imaterialist2018", "none of train.json, validation.json, val.json, test.json there")


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        ("train.json", '"153"', '"999"', ("train.json: annotations: entry 1: label '999' is not in",)),
        ("train.json", '"labelId": ["66"', '"labels": ["66"', ("annotations: entry 1 lacks 'labelId'",)),
        ("train.json", '["17", "78", "62"]', '"17"', ("annotations: entry 2: labelId is not a list",)),
        (
            "train.json",
            '"license": {}, "annotations": [{"imageId": "1"',
            '"annotations": [{"imageId": "7"',
            ("entry 1: no image '7'",),
        ),
        ("train.json", '"images": [', '"images": [3, ', ("images: entry 1 is not an object",)),
        ("train.json", '"images": [', '"pictures": [', ("train.json: has no 'images'",)),
        ("train.json", "{", "", ("train.json: is not JSON (", "line 1")),
        (publishers.LABEL_MAP, "taskName", "task", (publishers.LABEL_MAP, "no column 'taskName'")),
    ],
)
def test_what_is_wrong_is_named(root, refused, replace, file, old, new, parts):
    publishers.imaterialist2018(root)
    replace(file, old, new)
    refused("imaterialist2018", *parts)
