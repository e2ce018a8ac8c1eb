"""iMaterialist-Fashion-2018 (FGVC5; Guo et al., "The iMaterialist Fashion Attribute Dataset", 2019).

The labels are numbers, and which are colours and which patterns stands in a table of its own. Without it a photo of a
red striped shirt has three labels of no type, which nothing here could learn from: the data set is refused.
"""

from collections.abc import Sequence

import pandas as pd

from vitrine import files
from vitrine.catalog.datasets.reading import label, read_json, read_table, records, require
from vitrine.catalog.mapping import TableFile, attribute_column
from vitrine.errors import InputError

LABEL_MAP = "iMat_fashion_2018_label_map_228.csv"
SPLITS = ("train", "validation", "test")


def read(root: str, photos: Sequence[str]) -> pd.DataFrame:
    """One row per photo that `train.json`, `validation.json` and `test.json` list (those of them that are there).

    Args:
        root: The folder or `s3://` prefix that holds them, the table of labels, and photos as `<split>/<imageId>.jpg`.
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


def _read_split(root: str, split: str, labels: dict[str, tuple[str, str]]) -> pd.DataFrame:
    name = f"{split}.json"
    uri = files.join(root, name)
    content = read_json(root, name)
    if not isinstance(content, dict) or "images" not in content:
        raise InputError(f"{uri}: has no 'images'")
    ids = [str(image["imageId"]) for image in records(content["images"], f"{uri}: images", ["imageId"])]
    row_of = {image: row for row, image in enumerate(ids)}
    columns: dict[str, list[str]] = {column: [""] * len(ids) for column in dict.fromkeys(c for c, _ in labels.values())}
    annotations = records(content.get("annotations", []), f"{uri}: annotations", ["imageId", "labelId"])
    for i, annotation in enumerate(annotations):
        row = row_of.get(str(annotation["imageId"]))
        if row is None:
            raise InputError(f"{uri}: annotations: entry {i + 1}: no image {annotation['imageId']!r}")
        if not isinstance(annotation["labelId"], list):
            raise InputError(f"{uri}: annotations: entry {i + 1}: labelId is not a list")
        for number in dict.fromkeys(map(str, annotation["labelId"])):
            if number not in labels:
                raise InputError(f"{uri}: annotations: entry {i + 1}: label {number!r} is not in {LABEL_MAP}")
            column, word = labels[number]
            cell = columns[column][row]
            columns[column][row] = f"{cell}|{word}" if cell else word
    return pd.DataFrame({"image": [f"{split}/{image}.*" for image in ids], "split": split, **columns})
