"""Listings judged by experts, laid out as YSneaker is described (Yang et al. 2020, Section 2).

No public copy of the data set was found: a table of listings and a folder of photos per listing is what its description
amounts to.
"""

import re
from collections.abc import Sequence

import pandas as pd

from vitrine import files
from vitrine.catalog.datasets.reading import part, read_table, require
from vitrine.catalog.mapping import TableFile, nearest
from vitrine.errors import InputError

TABLE = "listings.csv"
COLUMNS = ("listing", "expert", "user", "description", "brand", "verdict")
VERDICTS = {"authentic": "authentic", "counterfeit": "counterfeit", "uncertain": "", "": ""}


def read(root: str, photos: Sequence[str]) -> pd.DataFrame:
    """One row per photo of a listing.

    A photo lies in a folder named like its listing, and is named like the view it shows: `appearance`, `tag`,
    `midsole`, `insole`, `box_logo`, `stamp`, `extra` or another word. A number after it (`extra_2`) is left out.

    Args:
        root: The folder or `s3://` prefix that holds `listings.csv` and the listings' folders.
        photos: The photos under it.

    Raises:
        InputError: if the table is missing, lacks a column, names a listing twice or has another verdict.
    """
    require(root, [TABLE], f"a table with the columns {', '.join(COLUMNS)}")
    uri = files.join(root, TABLE)
    table = read_table(root, TableFile(file=TABLE))
    for name in COLUMNS:
        if name not in table:
            raise InputError(f"{uri}: no column {name!r}{nearest(name, table.columns)}")
    for row, (listing, verdict) in enumerate(zip(table["listing"], table["verdict"], strict=True), 1):
        if not listing:
            raise InputError(f"{uri}: row {row} names no listing")
        if verdict not in VERDICTS:
            allowed = ", ".join(filter(None, VERDICTS))
            raise InputError(f"{uri}: row {row} (listing {listing!r}): verdict {verdict!r} is not one of {allowed}")
    if (twice := table["listing"].duplicated()).any():
        raise InputError(f"{uri}: listing {table['listing'][twice.idxmax()]!r} stands twice")
    shown: dict[str, list[str]] = {}
    for photo in photos:
        shown.setdefault(photo.rpartition("/")[0].rpartition("/")[2], []).append(photo)
    images = [shown.get(listing, [f"{listing}/"]) for listing in table["listing"]]  # a listing without photos: no match
    rows = table.loc[table.index.repeat([len(photos_of_row) for photos_of_row in images]), list(COLUMNS)].reset_index(
        drop=True
    )
    rows["image"] = [image for photos_of_row in images for image in photos_of_row]
    stems = [image.rpartition("/")[2].rpartition(".")[0] for image in rows["image"]]
    views = {stem: _view(stem) for stem in set(stems)}
    rows["view"] = [views[stem] for stem in stems]
    rows["category"] = [part(brand) for brand in rows["brand"]]
    rows["verdict"] = rows["verdict"].map(VERDICTS)
    return rows.drop(columns="brand")


def _view(stem: str) -> str:
    """`Box Logo-2` shows the view `box_logo`."""
    return "_".join(re.findall(r"[^\W\d_]+", stem.lower()))
