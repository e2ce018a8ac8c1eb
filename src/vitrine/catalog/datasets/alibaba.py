"""Alibaba Large-scale Image Search Challenge, 2015 (tianchi.aliyun.com, race 231510): Taobao's product photos.

Wang et al. (2016) take its pairs of user and shop photos, Chen et al. (2019) its training photos.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from vitrine import files
from vitrine.catalog.datasets.reading import label, part, read_table, require
from vitrine.catalog.mapping import TableFile, attribute_column, nearest
from vitrine.errors import InputError

LABELS, PAIRS = "train_label.txt", "pairs.txt"
CATEGORY_NAMES, PROPERTY_NAMES = "category_names.csv", "property_names.csv"
HOW = "unpack train_label.zip there, or write the pairs of query and shop photos"


def read(root: str, photos: Sequence[str]) -> pd.DataFrame:
    """One row per labelled photo, and one per photo of a pair.

    Photos that show the same item, directly or over other pairs, are of one product. It is named like the first of its
    query photos.

    Args:
        root: The folder or `s3://` prefix that holds `train_label.txt` or `pairs.txt` or both, and the photos.
        photos: The photos under it.

    Raises:
        InputError: if neither list is there or a line of one unusable: one line that names both.
    """
    present = [name for name in (LABELS, PAIRS) if files.exists(files.join(root, name))]
    require(root, [] if present else [LABELS], HOW)
    frames = [_labelled(root) if name == LABELS else _paired(root) for name in present]
    return pd.concat(frames, ignore_index=True).fillna("")


def _labelled(root: str) -> pd.DataFrame:
    """The training photos: two levels of category, and properties that a photo may lack."""
    names, properties = _category_names(root), _property_names(root)
    images: list[str] = []
    paths: list[str] = []
    cells: dict[str, dict[int, list[str]]] = {}  # column -> row -> labels
    for row, (number, line) in enumerate(_lines(root, LABELS)):
        where = f"{files.join(root, LABELS)}: line {number}"
        fields = [field.strip() for field in re.split(r"[\t,]", line, maxsplit=3)]
        if len(fields) < 3 or not all(fields[:2]):
            raise InputError(f"{where}: does not read imgid,cid,subcid,pid:vid;pid:vid")
        image, *category = fields[:3]
        images.append(f"train_image/{image}.*")
        paths.append("/".join(names.get(word, part(word)) for word in category if word))
        for pair in filter(None, (text.strip() for text in "".join(fields[3:]).split(";"))):
            pid, colon, vid = (text.strip() for text in pair.partition(":"))
            if not (colon and pid and vid):
                raise InputError(f"{where}: {pair!r} does not read pid:vid")
            column, word = properties.get((pid, vid), (attribute_column(f"property {pid}"), label(vid)))
            cells.setdefault(column, {}).setdefault(row, []).append(word)
    table = pd.DataFrame({"image": images, "domain": "shop", "category": paths})
    for column, of_row in cells.items():
        table[column] = ["|".join(dict.fromkeys(of_row.get(row, ()))) for row in range(len(images))]
    return table


def _paired(root: str) -> pd.DataFrame:
    """The photos of the pairs: the user's query and the shop's answer."""
    pairs: list[tuple[str, str]] = []
    for number, line in _lines(root, PAIRS):
        words = re.split(r"[\t, ]+", line.strip())
        if len(words) != 2 or not all(words):
            raise InputError(f"{files.join(root, PAIRS)}: line {number}: does not read query imgid,shop imgid")
        pairs.append((f"query_image/{words[0]}.*", f"eval_image/{words[1]}.*"))
    # Every photo once, queries first: the first photo of a component is a query.
    images = list(dict.fromkeys([query for query, _ in pairs] + [shop for _, shop in pairs]))
    position = {image: i for i, image in enumerate(images)}
    ends = np.array([(position[query], position[shop]) for query, shop in pairs]).T
    links = coo_matrix((np.ones(len(pairs), dtype=np.int8), (ends[0], ends[1])), shape=(len(images), len(images)))
    _, component = connected_components(links, directed=False)
    first = np.unique(component, return_index=True)[1][component]
    return pd.DataFrame(
        {
            "image": images,
            "product": [images[i].removeprefix("query_image/").removesuffix(".*") for i in first],
            "domain": ["user" if image.startswith("query_image/") else "shop" for image in images],
        }
    )


def _lines(root: str, name: str) -> list[tuple[int, str]]:
    """The lines of a file that are not blank, with their numbers."""
    uri = files.join(root, name)
    try:
        text = files.read_bytes(uri).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{uri}: is not UTF-8 (byte {error.start})") from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise InputError(f"{uri}: has no rows")
    return lines


def _category_names(root: str) -> dict[str, str]:
    """The name of each category number, if the table is there."""
    table = _optional(root, CATEGORY_NAMES, ("id", "name"))
    return {} if table is None else dict(zip(table["id"], map(part, table["name"]), strict=True))


def _property_names(root: str) -> dict[tuple[str, str], tuple[str, str]]:
    """The catalog column and label of each (pid, vid), if the table is there."""
    table = _optional(root, PROPERTY_NAMES, ("pid", "vid", "property", "value"))
    if table is None:
        return {}
    columns = [attribute_column(name) for name in table["property"]]
    keys = zip(table["pid"], table["vid"], strict=True)
    return dict(zip(keys, zip(columns, map(label, table["value"]), strict=True), strict=True))


def _optional(root: str, name: str, columns: Sequence[str]) -> pd.DataFrame | None:
    if not files.exists(files.join(root, name)):
        return None
    table = read_table(root, TableFile(file=name))
    for column in columns:
        if column not in table:
            raise InputError(f"{files.join(root, name)}: no column {column!r}{nearest(column, table.columns)}")
    return table
