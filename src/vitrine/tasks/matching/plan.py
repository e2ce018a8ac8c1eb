"""Who forms pairs in a training of matching, what carries its softmax loss, and what it is measured on."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vitrine.catalog import Catalog, read_catalog
from vitrine.errors import InputError
from vitrine.tasks.matching.pairs import (
    Background,
    Pairable,
    domain_rows,
    identity_column,
    other_background,
    own_background,
)
from vitrine.tasks.matching.settings import MatchingSettings

OWN = "robust-softmax-own"


@dataclass(frozen=True)
class Plan:
    """What a training of matching is made of.

    Attributes:
        column: The one that names the product.
        pairable: The training photos that form pairs.
        background: The photos that carry the softmax loss.
        further: Their catalogs, where these are others.
        notes: What was decided, a sentence each.
    """

    column: str
    pairable: Pairable
    background: Background
    further: tuple[Catalog, ...]
    notes: tuple[str, ...]


def plan(catalog: Catalog, variant: str, settings: MatchingSettings) -> Plan:
    """Who forms pairs, and what carries the softmax loss.

    Raises:
        InputError: if no pair can be formed, a background catalog cannot be read, or names fewer than two classes.
    """
    table = catalog.table
    column = identity_column(table, settings.identity, catalog.root)
    pairable = Pairable.of(table, column, catalog.root)
    further = () if variant == OWN else tuple(map(read_catalog, settings.background))
    if further:
        background = other_background([other.table for other in further], len(table))
        if len(background.classes) < 2:
            raise InputError(f"background={','.join(settings.background)}: category: fewer than two classes to learn")
    else:
        background = own_background(table, pairable.identity)
    notes = [
        f"{len(pairable.users):,} user photos to pair with {len(pairable.shops):,} shop photos by {column}"
        + (
            f"; {pairable.left_out:,} user photos of products without a shop photo are left out"
            if pairable.left_out
            else ""
        ),
        f"background: {len(background.rows):,} photos of {len(background.classes):,} classes of "
        + ("the product set itself" if background.own else ", ".join(settings.background)),
    ]
    return Plan(column, pairable, background, further, tuple(notes))


def categories_of(table: pd.DataFrame, model_categories: tuple[str, ...] = ()) -> tuple[tuple[str, ...], np.ndarray]:
    """The first-level categories after "", which stands for all, and each row's place among them, 0: not known."""
    paths = table["category"].astype(str) if "category" in table else pd.Series([""] * len(table))
    first = [path.partition("/")[0] for path in paths]
    names = model_categories or ("", *sorted(set(first) - {""}))
    place = {name: i for i, name in enumerate(names)}
    return names, np.array([place.get(name, 0) for name in first], np.int64)


def rows_to_measure(catalog: Catalog, split: str) -> Catalog:
    """The user photos of a split, and every shop photo: what the paper searches, and what `vitrine index` holds.

    Raises:
        InputError: if there is no such user photo, or no shop photo.
    """
    queries, gallery = domain_rows(catalog.table, "user", [split]), domain_rows(catalog.table, "shop")
    for rows, what in ((queries, f"user photo of split {split!r}"), (gallery, "photo of domain 'shop'")):
        if not len(rows):
            raise InputError(f"{catalog.address}: no {what}; matching asks with user photos for shop photos")
    return catalog.with_table(catalog.table.iloc[np.sort(np.concatenate([queries, gallery]))])
