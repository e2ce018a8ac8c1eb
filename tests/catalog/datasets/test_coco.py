"""COCO: a row per marked item, whatever folder its photo lies in."""

import json

import publishers
import pytest


def test_a_row_per_annotation(root, table):
    publishers.coco(root)
    publishers.draw(root / "val2017/2.jpg")
    rows = table("coco")
    assert rows[["image", "bbox", "category", "split"]].to_numpy().tolist() == [
        ["train2017/1.jpg", "4,5.5,30,40", "upperbody/shirt, blouse", "train"],
        ["train2017/1.jpg", "0,0,10,9", "shoe-boot", "train"],
        ["train2017/2.jpg", "", "", "train"],  # nothing is marked on it
        ["val2017/1.jpg", "1,2,3,4", "shoe-boot", "validation"],
    ]


def test_annotations_beside_their_photos(root, ingested):
    publishers.coco(root)
    for old, new in (("train", "train"), ("val", "valid")):
        (root / f"{old}2017").rename(root / new)
        (root / f"annotations/instances_{old}2017.json").rename(root / new / "_annotations.coco.json")
        (root / f"annotations/captions_{old}2017.json").unlink()
    account, rows = ingested("coco")
    assert {image: row["split"] for image, row in rows.items()} == {
        "train/1.jpg": "train",
        "train/2.jpg": "train",
        "valid/1.jpg": "validation",
    }
    assert (account.missing, account.unlisted) == (0, 0)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('"file_name"', '"filename"', ["images: entry 1 lacks 'file_name'"]),
        ('"id": 10', '"id": [10]', ["images: entry 1: id [10] is no number"]),
        ('"id": 3', '"id": {}', ["categories: entry 2: id {} is no number"]),
        ('"images"', '"imags"', ["no JSON file with images, categories, annotations there"]),
    ],
)
def test_what_is_wrong_is_named(root, refused, replace, old, new, parts):
    publishers.coco(root)
    (root / "annotations/instances_train2017.json").unlink()
    replace("annotations/instances_val2017.json", old, new)
    refused("coco", *parts)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"image_id": 10', '"image_id": 99', "no image_id 99 in the file"),
        ('"category_id": 3', '"category_id": 9', "no category_id 9 in the file"),
        ('"image_id": 10', '"image_id": {}', "no image_id {} in the file"),
        ('"category_id": 3', '"category_id": [1]', "no category_id [1] in the file"),
        ("[1, 2, 3, 4]", "[1, 2, 3]", "bbox [1, 2, 3] is not x, y, width, height"),
        ("[1, 2, 3, 4]", f"[1, 2, 3, {10**400}]", f"bbox [1, 2, 3, {10**400}] is not x, y, width, height"),
    ],
)
def test_an_annotation_that_cannot_be_used_costs_no_other(root, ingested, replace, old, new, reason):
    publishers.coco(root)
    replace("annotations/instances_val2017.json", old, new)
    account, rows = ingested("coco")
    assert {"train2017/1.jpg", "train2017/2.jpg"} <= rows.keys()
    assert (account.unusable, account.missing) == (1, 0)
    assert account.left_out[0].reason == f"annotations/instances_val2017.json: annotations: entry 1: {reason}"


def test_a_photo_that_two_files_may_mean_is_not_guessed(root, ingested):
    publishers.coco(root)
    for name in ("train2017", "val2017"):
        (root / name).rename(root / name[::-1])
    account, rows = ingested("coco")
    assert list(rows) == ["7102niart/2.jpg"]
    assert (account.rows, account.missing) == (1, 3)


def test_other_json_files_are_left_alone(root, ingested):
    publishers.coco(root)
    publishers.write(root, "notes.json", json.dumps(["no COCO"]))
    for name in ("train2017", "val2017"):
        (root / f"annotations/instances_{name}.json").rename(root / f"{name}.json")
    assert ingested("coco")[0].rows == 4
