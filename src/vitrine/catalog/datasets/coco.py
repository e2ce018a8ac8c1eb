"""COCO's form of object detection (cocodataset.org/#format-data): what most tools that mark photos write.

One JSON file, or several, with `images` (`id`, `file_name`), `categories` (`id`, `name`, perhaps `supercategory`) and
`annotations` (`image_id`, `category_id`, `bbox` as x, y, width, height in pixels).
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from vitrine import files
from vitrine.catalog.datasets.reading import PROBLEM, box, part, read_json, records
from vitrine.errors import InputError

KEYS = {"images": ("id", "file_name"), "categories": ("id", "name"), "annotations": ("image_id", "category_id")}
SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
LARGEST = 1e9  # pixels of a box
BOXES_ONLY = "instances_"  # how COCO names the files of boxes, beside those of captions and key points


def read(root: str, photos: Sequence[str]) -> pd.DataFrame:
    """One row per annotation, with its box and category, and one per photo that has none.

    An annotation of a photo or a category that its file does not have, or with no box, says so under `PROBLEM`.

    Args:
        root: The folder or `s3://` prefix that holds the JSON files and the photos, at any depth.
        photos: The photos under it.

    Raises:
        InputError: if there is no such file, or an entry of one lacks what it must have: one line that names both.
    """
    names = [name for name in files.list_folder(root) if name.endswith(".json")]
    names = [name for name in names if PurePosixPath(name).name.startswith(BOXES_ONLY)] or names
    contents = {name: read_json(root, name) for name in names}
    marked = {
        name: parsed for name, parsed in contents.items() if isinstance(parsed, dict) and KEYS.keys() <= parsed.keys()
    }
    if not marked:
        raise InputError(f"{root}: no JSON file with {', '.join(KEYS)} there")
    by_name: dict[str, list[str]] = {}
    for photo in photos:
        by_name.setdefault(photo.rpartition("/")[2].lower(), []).append(photo)
    return pd.DataFrame([row for name, content in marked.items() for row in _rows(name, content, by_name)])


def _rows(name: str, content: Mapping[str, Any], photos: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    images, categories, annotations = (records(content[key], f"{name}: {key}", KEYS[key]) for key in KEYS)
    for key, entries in (("images", images), ("categories", categories)):
        for i, entry in enumerate(entries):
            if not isinstance(entry["id"], Hashable):
                raise InputError(f"{name}: {key}: entry {i + 1}: id {entry['id']!r} is no number")
    paths = {}
    for category in categories:
        parts = (part(str(category.get("supercategory") or "")), part(str(category["name"])))
        paths[category["id"]] = "/".join(dict.fromkeys(filter(None, parts)))
    photo_of = {image["id"]: _photo(name, str(image["file_name"]), photos) for image in images}
    split = _split(name)
    rows = []
    known: dict[str, Mapping[Any, str]] = {"image_id": photo_of, "category_id": paths}
    for i, marked in enumerate(annotations):
        lacking = [f"no {key} {marked[key]!r} in the file" for key, of in known.items() if not _is_in(marked[key], of)]
        if not _is_box(marked.get("bbox")):
            lacking.append(f"bbox {marked['bbox']!r} is not x, y, width, height")
        image = photo_of[marked["image_id"]] if _is_in(marked["image_id"], photo_of) else ""
        row = {"image": image, "split": split, "bbox": "", "category": "", PROBLEM: ""}
        if lacking:
            row[PROBLEM] = f"{name}: annotations: entry {i + 1}: {lacking[0]}"
        else:
            row |= {
                "bbox": box(*marked["bbox"]) if marked.get("bbox") else "",
                "category": paths[marked["category_id"]],
            }
        rows.append(row)
    bare = photo_of.keys() - {marked["image_id"] for marked in annotations if _is_in(marked["image_id"], photo_of)}
    rows += [
        {"image": photo_of[image], "bbox": "", "category": "", "split": split, PROBLEM: ""}
        for image in photo_of
        if image in bare
    ]
    return rows


def _is_in(value: object, known: Mapping[Any, str]) -> bool:
    """Whether an annotation's number is one of the file's; a list or an object is none."""
    return isinstance(value, Hashable) and value in known


def _is_box(value: object) -> bool:
    """Whether an annotation's box can be used; it may have none."""
    if not value:
        return True
    if not isinstance(value, list) or len(value) != 4:
        return False
    return all(isinstance(number, int | float) and abs(number) < LARGEST for number in value)


def _photo(name: str, file: str, photos: Mapping[str, Sequence[str]]) -> str:
    """The photo that a file of annotations names, which may leave out the folder; `file` itself where unclear.

    Of several photos of that name it is the one beside the file of annotations, or in the folder its name speaks of:
    `train2017/1.jpg` for `instances_train2017.json`.
    """
    tail = "/" + file.replace("\\", "/").removeprefix("./").lstrip("/").lower()
    candidates = [photo for photo in photos.get(tail.rpartition("/")[2], ()) if f"/{photo.lower()}".endswith(tail)]
    if len(candidates) > 1:
        folder, stem = name.rpartition("/")[0], PurePosixPath(name).stem
        beside = [photo for photo in candidates if photo.rpartition("/")[0] == folder]
        meant = [photo for photo in candidates if (parent := PurePosixPath(photo).parent.name) and parent in stem]
        candidates = beside or meant
    return candidates[0] if len(candidates) == 1 else file


def _split(name: str) -> str:
    """The split that the name of a file of annotations, or of its folder, speaks of."""
    for text in (PurePosixPath(name).name, PurePosixPath(name).parent.name):
        for word in re.findall("[a-z]+", text.lower()):
            if word in SPLITS:
                return SPLITS[word]
    return ""
