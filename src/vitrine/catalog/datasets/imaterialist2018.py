"""iMaterialist-Fashion-2018 (FGVC5; Guo et al., "The iMaterialist Fashion Attribute Dataset", 2019).

The labels are numbers, and which are colours and which patterns stands in a table of its own. Without it a photo of a
red striped shirt has three labels of no type, which nothing here could learn from: the data set is refused.

The files of the Kaggle competition say `imageId` and `labelId`, the publishers' repository says `image_id`, `label_id`
and `val.json`: both are read.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from vitrine import files
from vitrine.catalog.datasets.reading import label, read_json, read_table, records, require
from vitrine.catalog.mapping import TableFile, attribute_column
from vitrine.errors import InputError

LABEL_MAP = "iMat_fashion_2018_label_map_228.csv"
SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def read(root: str, photos: Sequence[str]) -> pd.DataFrame:
    """One row per photo that `train.json`, `validation.json` and `test.json` list (those of them that are there).

    Args:
        root: The folder or `s3://` prefix that holds them, the table of labels, and photos as `train/<imageId>.jpg` ...
        photos: The photos under it.

    Raises:
        InputError: if a file is missing or an entry of one unusable: one line that names both.
    """
    require(
        root, [LABEL_MAP], "it says which type each label is of; take it from github.com/visipedia/imat_fashion_comp"
    )
    kinds = read_table(root, TableFile(file=LABEL_MAP))
    for name in ("labelId", "labelName", "taskName"):
        if name not in kinds:
            raise InputError(f"{files.join(root, LABEL_MAP)}: no column {name!r}")
    types = [attribute_column(name) for name in kinds["taskName"]]
    labels = dict(zip(kinds["labelId"], zip(types, map(label, kinds["labelName"]), strict=True), strict=True))
    present = [split for split in SPLITS if files.exists(files.join(root, f"{split}.json"))]
    if not present:
        raise InputError(f"{root}: none of {', '.join(f'{split}.json' for split in SPLITS)} there")
    return pd.concat([_read_split(root, split, labels) for split in present], ignore_index=True)


def _read_split(root: str, name: str, labels: dict[str, tuple[str, str]]) -> pd.DataFrame:
    uri = files.join(root, f"{name}.json")
    content = read_json(root, f"{name}.json")
    if not isinstance(content, dict) or "images" not in content:
        raise InputError(f"{uri}: has no 'images'")
    key, images = _spelt(content["images"], f"{uri}: images", "imageId")
    ids = [str(image[key]) for image in images]
    row_of = {image: row for row, image in enumerate(ids)}
    columns: dict[str, list[str]] = {column: [""] * len(ids) for column in dict.fromkeys(c for c, _ in labels.values())}
    key, annotations = _spelt(content.get("annotations", []), f"{uri}: annotations", "imageId")
    many, _ = _spelt(annotations, f"{uri}: annotations", "labelId")
    for i, annotation in enumerate(annotations):
        row = row_of.get(str(annotation[key]))
        if row is None:
            raise InputError(f"{uri}: annotations: entry {i + 1}: no image {annotation[key]!r}")
        if not isinstance(annotation[many], list):
            raise InputError(f"{uri}: annotations: entry {i + 1}: {many} is not a list")
        for number in dict.fromkeys(map(str, annotation[many])):
            if number not in labels:
                raise InputError(f"{uri}: annotations: entry {i + 1}: label {number!r} is not in {LABEL_MAP}")
            column, word = labels[number]
            cell = columns[column][row]
            columns[column][row] = f"{cell}|{word}" if cell else word
    return pd.DataFrame({"image": [f"{name}/{image}.*" for image in ids], "split": SPLITS[name], **columns})


def _spelt(entries: Any, where: str, key: str) -> tuple[str, list[dict[str, Any]]]:
    """How the entries spell `key`, imageId or image_id, and the entries, which all have it."""
    other = key.replace("Id", "_id")
    first = entries[0] if isinstance(entries, list) and entries else None
    key = other if isinstance(first, dict) and key not in first and other in first else key
    return key, records(entries, where, [key])
