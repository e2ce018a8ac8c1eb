"""What sellers write about their listings: excluded words, and listings that were uploaded again."""

import re
from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.catalog.table import TEXT
from vitrine.quality.labels import label_counts
from vitrine.quality.settings import Settings


def units(table: pd.DataFrame) -> NDArray[np.int64]:
    """A number per row for what it belongs to: its listing, else what one user wrote of one product, else itself.

    Photos of one product are not one listing: others show it too, and did not write the text.
    """
    numbers = np.arange(len(table), dtype=np.int64)
    offset = len(table)
    for names in (["product", "user", "description"], ["listing"]):
        if set(names) <= set(table.columns):
            codes = table.groupby(names, sort=False, dropna=False).ngroup().to_numpy()
            filled = (table[names] != "").all(axis=1).to_numpy(dtype=bool)
            numbers = np.where(filled, offset + codes, numbers)
            offset += len(table)
    return numbers


def unit_name(table: pd.DataFrame, row: int) -> str:
    """The listing of a row, else its product, else its photo."""
    names = (str(table[name].iat[row]) for name in ("listing", "product") if name in table)
    return next(filter(None, names), str(table["image"].iat[row]))


def keyword_hits(table: pd.DataFrame, settings: Settings) -> pd.Series:
    """The excluded word in each row's description, or ""; a word that many listings use excludes none."""
    if "description" not in table:
        return pd.Series("", index=table.index, dtype=TEXT)
    codes, texts = pd.factorize(table["description"])
    described = (table["description"] != "").to_numpy(dtype=bool)
    judged, unit = np.zeros(len(table), dtype=bool), units(table)
    if "verdict" in table:
        judged = np.isin(unit, unit[(table["verdict"] != "").to_numpy(dtype=bool)])
    hits = np.full(len(table), -1)
    words = (*settings.keywords, *settings.judged_keywords)
    for number, word in enumerate(words):
        where = described if number < len(settings.keywords) else described & judged
        whole_word = rf"(?:^|\W){re.escape(word)}(?:\W|$)"
        holds = pd.Series(texts, dtype=TEXT).str.contains(whole_word, case=False, regex=True).to_numpy(dtype=bool)
        matched = where & holds[codes]
        using, described_units = (len(np.unique(unit[rows])) for rows in (matched, where))
        if using <= max(1, settings.keyword_max_share * described_units):
            hits[matched & (hits < 0)] = number
    return pd.Series([*words, ""], dtype=TEXT).take(hits).set_axis(table.index)


def repeated_text(table: pd.DataFrame, no_label: Collection[str]) -> NDArray[np.int64]:
    """Rows of listings that repeat the user and description of another.

    The listing with the most labels stays, then the one with the most photos, then the first.

    Returns:
        For each row the first row of the listing that stays, -1 for rows that stay.
    """
    kept = np.full(len(table), -1, dtype=np.int64)
    if "user" not in table or "description" not in table:
        return kept
    text, texts = _folded(table["description"])
    user, users = _folded(table["user"])
    none = {word.casefold() for word in no_label} | {""}
    has_text = ~np.isin(text, np.flatnonzero([value in none for value in texts]))
    has_text &= ~np.isin(user, np.flatnonzero([value == "" for value in users]))
    unit = units(table)
    frame = pd.DataFrame({"unit": unit, "user": user, "text": text, "labels": label_counts(table)})
    frame = frame.assign(row=np.arange(len(table)))[has_text]
    listings = frame.groupby(["user", "text", "unit"], sort=False, as_index=False).agg(
        labels=("labels", "sum"), photos=("labels", "size"), first=("row", "min")
    )
    told_by = listings.groupby(["user", "text"], sort=False)
    listings = listings[told_by["photos"].transform("size") > 1]
    listings = listings.sort_values(["labels", "photos"], ascending=False, kind="stable")
    stays = listings.groupby(["user", "text"], sort=False)["first"].transform("first")
    again = stays[stays != listings["first"]]
    row_of = pd.Series(again.to_numpy(), index=listings["unit"][again.index])
    gone = np.flatnonzero(np.isin(unit, row_of.index))
    kept[gone] = row_of[~row_of.index.duplicated()].loc[unit[gone]]
    return kept


def _folded(column: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    """Texts compared without case and stray spaces: a number per row, and the different texts."""
    codes, values = pd.factorize(column)
    numbers, texts = pd.factorize(np.array([" ".join(value.split()).casefold() for value in values], dtype=object))
    return numbers[codes], list(texts)
