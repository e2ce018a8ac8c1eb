"""Exact Street2Shop (Kiapour et al., "Where to Buy It: Matching Street Clothing Photos in Online Shops", ICCV 2015).

A street photo often shows several items, each with its own box and product: it has a row per item.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from vitrine import files
from vitrine.catalog.datasets.reading import box, read_json, records
from vitrine.errors import InputError

FOLDER = "meta/json"
PAIRS = re.compile(r"(train|test)_pairs_(\w+)\.json")
RETRIEVAL = re.compile(r"retrieval_(\w+)\.json")
COLUMNS = ["image", "product", "domain", "category", "bbox", "split"]


def read(root: str, photos: Sequence[str]) -> pd.DataFrame:
    """One row per item of a street photo, and one per shop photo.

    A shop photo is in the split of the street photos of its product; most products have none, and no split.

    Args:
        root: The folder or `s3://` prefix that holds `meta/json/*.json`, and photos named by their number anywhere.
        photos: The photos under it.

    Raises:
        InputError: if no pairs are there, an entry is unusable, or two photos have the same number.
    """
    names = files.list_folder(files.join(root, FOLDER))
    photo_of = _by_number(root, photos)
    rows: list[tuple[str, ...]] = []
    splits: dict[str, set[str]] = {}
    for name in names:
        if matched := PAIRS.fullmatch(name):
            split, category = matched.groups()
            for photo, product, marked in _entries(root, name, ["bbox"]):
                rows.append((_image(photo, photo_of), product, "user", category, marked, split))
                splits.setdefault(product, set()).add(split)
    if not rows:
        raise InputError(f"{root}: no {FOLDER}/train_pairs_<category>.json there; unpack photos.tar and meta.zip")
    for name in names:
        if matched := RETRIEVAL.fullmatch(name):
            for photo, product, _ in _entries(root, name, []):
                mine = splits.get(product, set())
                split = next(iter(mine)) if len(mine) == 1 else ""
                rows.append((_image(photo, photo_of), product, "shop", matched[1], "", split))
    return pd.DataFrame(rows, columns=COLUMNS).drop_duplicates(ignore_index=True)


def _entries(root: str, name: str, keys: Sequence[str]) -> list[tuple[int, str, str]]:
    """Number of the photo, product and box of each entry of a file."""
    where = files.join(root, f"{FOLDER}/{name}")
    entries = []
    for i, entry in enumerate(records(read_json(root, f"{FOLDER}/{name}"), where, ["photo", "product", *keys])):
        photo, product = entry["photo"], entry["product"]
        if not isinstance(photo, int) or not isinstance(product, int):
            raise InputError(f"{where}: entry {i + 1}: photo {photo!r} and product {product!r} should be numbers")
        entries.append((photo, str(product), _box(entry.get("bbox"))))
    return entries


def _box(marked: Any) -> str:
    """`x,y,w,h`, "" for a box that lacks a side: one of the published ones does (photo 8288)."""
    if not isinstance(marked, dict):
        return ""
    sides = [side for name in ("left", "top", "width", "height") if isinstance(side := marked.get(name), int | float)]
    return box(*sides) if len(sides) == 4 else ""


def _by_number(root: str, photos: Sequence[str]) -> dict[int, str]:
    name_of: dict[int, str] = {}
    for photo in photos:
        if (stem := PurePosixPath(photo).stem).isdecimal():
            number = int(stem)
            if number in name_of:
                raise InputError(f"{root}: {name_of[number]!r} and {photo!r} are both photo {number}; keep one of them")
            name_of[number] = photo
    return name_of


def _image(number: int, photo_of: dict[int, str]) -> str:
    return photo_of.get(number, f"{number:09d}.jpg")
