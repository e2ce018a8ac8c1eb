"""Shop photos that user photos are searched in: the gallery, which belongs to no split and serves all of them."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.catalog.table import Catalog, texts

IDENTITIES = ("product", "item")  # columns that say what is the same; item: of a kind, where exact ones are unknown
TIES = ("product", "listing", "sha256", "duplicate_group")  # what of a tested row may not be learnt from


def holds_gallery(table: pd.DataFrame) -> bool:
    """Whether shop photos are there to be found by user photos: some of both show the same product or item.

    Where shop photos are the majority they are what there is to learn from, and a few customers' photos change nothing.
    """
    if "domain" not in table:
        return False
    shop, user = ((table["domain"] == name).to_numpy(dtype=bool) for name in ("shop", "user"))
    if shop.sum() > user.sum():
        return False
    for column in IDENTITIES:
        if column in table:
            names = texts(table[column]).to_numpy(dtype=object)
            if set(names[shop]) & set(names[user]) - {""}:
                return True
    return False


def gallery_rows(table: pd.DataFrame) -> NDArray[np.bool_]:
    """(rows,) the shop photos of no split, in a table whose user photos have one."""
    if (
        not {"domain", "split"} <= set(table.columns)
        or not ((table["domain"] == "user") & (table["split"] != "")).any()
    ):
        return np.zeros(len(table), dtype=bool)
    return ((table["domain"] == "shop") & (table["split"] == "")).to_numpy(dtype=bool)


def with_gallery(catalog: Catalog, split: str) -> Catalog:
    """The rows of a split, and those of the gallery."""
    if "split" not in catalog.table:
        return catalog.of_split(split)
    in_split = (catalog.table["split"] == split).to_numpy(dtype=bool)
    return catalog.with_table(catalog.table[in_split | gallery_rows(catalog.table)])


def learnable(catalog: Catalog) -> Catalog:
    """The catalog for a training: photos of the gallery are of split `train` where no photo of what they show is asked.

    That is known of photos with a `product` which, like their listing and the copies that cleaning found, stands in
    neither validation nor test. What an `item` shows is of a kind only, so such photos stay in no split.
    """
    table = catalog.table
    usable = gallery_rows(table)
    if not usable.any() or "product" not in table:
        return catalog
    asked = table["split"].isin(["validation", "test"]).to_numpy(dtype=bool)
    usable &= (table["product"] != "").to_numpy(dtype=bool)
    for column in TIES:
        if column in table:
            names = texts(table[column])
            usable &= ~(names.isin(set(names[asked]) - {""})).to_numpy(dtype=bool)
    split = table["split"].where(~usable, "train")
    return catalog.with_table(table.assign(split=split))
