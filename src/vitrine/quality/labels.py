"""Labels as sellers write them, brought to one spelling, and when two of them contradict."""

import re
from collections.abc import Callable, Collection, Sequence

import numpy as np
import pandas as pd

from vitrine.catalog import ATTRIBUTE_PREFIX, labels_of
from vitrine.catalog.schema import composed
from vitrine.catalog.table import TEXT

LABEL_COLUMNS = ("category", "verdict", "product")
NAMES = ("listing", "product", "item", "expert", "user", "view")
"""The columns that name things: rows of one name belong together."""


def label_columns(table: pd.DataFrame) -> list[str]:
    """The columns of a table that hold labels, present ones only: category, verdict, product and attributes."""
    return [name for name in table.columns if name in LABEL_COLUMNS or name.startswith(ATTRIBUTE_PREFIX)]


def label_counts(table: pd.DataFrame) -> pd.Series:
    """How many label columns each row fills."""
    filled = [table[name] != "" for name in label_columns(table)]
    return sum(filled, pd.Series(0, index=table.index)).astype(int)


def normalised(table: pd.DataFrame, no_label: Collection[str]) -> pd.DataFrame:
    """Labels without stray spaces, in their commonest spelling, and empty where a word means "no label".

    Accents are in one Unicode form (see `composed`). Category words are compared under one parent, attribute labels
    within one type; a category is cut where a word of `no_label` stands. Names (see `named`) keep their spelling.
    """
    result = named(table, no_label)
    words = _folded(no_label)
    for name in result.columns:
        if name == "category":
            result[name] = _categories(result[name], words)
        elif name.startswith(ATTRIBUTE_PREFIX):
            result[name] = _attributes(result[name], words)
        elif name == "bbox":
            result[name] = replaced(result[name], lambda text: text if _word(text, words) else "")
        elif name in ("verdict", "domain", "split"):
            result[name] = replaced(result[name], lambda value: _word(value.lower(), words))
    return result


def named(table: pd.DataFrame, no_label: Collection[str]) -> pd.DataFrame:
    """The table with `NAMES` empty where a word means "no label": ten rows of product "N/A" are not one product.

    Blanks around a name and the Unicode form of its accents are no part of it.
    """
    words = _folded(no_label)
    result = table.copy(deep=False)
    for name in result.columns.intersection(NAMES):
        if pd.api.types.is_string_dtype(result[name]):  # an `item` may be a number
            result[name] = replaced(
                result[name], lambda text: composed(str(text)).strip() if _word(str(text), words) else ""
            )
    return result


def agreed(column: str, values: Sequence[str]) -> tuple[str, bool]:
    """What the copies of one photo say together.

    Returns:
        The label all copies support ("" where they contradict; of category paths the common part), and whether they
        contradict. A finer path refines a coarser one, and more labels complete fewer.
    """
    filled = [value for value in values if value]
    if not filled or all(value == filled[0] for value in filled):
        return (filled[0] if filled else ""), False
    if column == "category":
        paths = sorted((value.split("/") for value in filled), key=len)
        longest = paths[-1]
        if all(longest[: len(path)] == path for path in paths):
            return "/".join(longest), False
        common = 0
        while all(len(path) > common and path[common] == longest[common] for path in paths):
            common += 1
        return "/".join(longest[:common]), True
    if column.startswith(ATTRIBUTE_PREFIX):
        sets = sorted((labels_of(value) for value in filled), key=len)
        if all(set(labels) <= set(sets[-1]) for labels in sets):
            return "|".join(sets[-1]), False
    return "", True


def _folded(words: Collection[str]) -> set[str]:
    return {composed(word).casefold() for word in words}


def _word(text: str, no_label: Collection[str]) -> str:
    clean = re.sub(r"\s+", " ", composed(text)).strip()
    return "" if clean.casefold() in no_label else clean


def replaced(column: pd.Series, change: Callable[[str], str]) -> pd.Series:
    """A column of texts with each of its different values changed, called once per value."""
    codes, values = pd.factorize(column)
    new = pd.Series([change(value) for value in values], dtype=TEXT)
    return new.take(codes).set_axis(column.index)


def _commonest(counts: pd.Series) -> dict[str, str]:
    """For each spelling the commonest of its case-insensitive equals (then the first in the alphabet)."""
    order = (
        counts.rename_axis("label").reset_index(name="count").sort_values(["count", "label"], ascending=[False, True])
    )
    best: dict[str, str] = {}
    for label in order["label"]:
        best.setdefault(label.casefold(), label)
    return {label: best[label.casefold()] for label in order["label"]}


def _attributes(column: pd.Series, no_label: Collection[str]) -> pd.Series:
    cells = {cell: [w for w in (_word(label, no_label) for label in cell.split("|")) if w] for cell in column.unique()}
    sizes = column.value_counts()
    counts: dict[str, int] = {}
    for cell, labels in cells.items():
        for label in labels:
            counts[label] = counts.get(label, 0) + int(sizes[cell])
    spelling = _commonest(pd.Series(counts, dtype=np.int64))
    return replaced(column, lambda cell: "|".join(dict.fromkeys(spelling[label] for label in cells[cell])))


def _categories(column: pd.Series, no_label: Collection[str]) -> pd.Series:
    # A slash of a word (`n/a`) parts a path, and `vitrine ingest` writes it as `-`.
    no_label = {*no_label, *(word.replace("/", "-") for word in no_label)}

    def cut(path: str) -> list[str]:
        if path.strip() and not _word(path, no_label):
            return []
        parts = path.split("/")
        words = [_word(part, no_label) for part in parts]
        if path and not all(part.strip() for part in parts):
            # An empty part is a broken path: left for the format rule to report.
            return [composed(part).strip() for part in parts]
        return words[: words.index("")] if "" in words else words

    sizes = column.value_counts()
    paths = {str(value): cut(str(value)) for value in sizes.index}
    for level in range(1, max(map(len, paths.values()), default=0) + 1):
        nodes: dict[str, int] = {}
        for value, parts in paths.items():
            if len(parts) >= level:
                node = "/".join(parts[:level])
                nodes[node] = nodes.get(node, 0) + int(sizes[value])
        spelling = _commonest(pd.Series(nodes, dtype=np.int64))
        for parts in paths.values():
            if len(parts) >= level:
                parts[:level] = spelling["/".join(parts[:level])].split("/")
    return replaced(column, lambda value: "/".join(paths[value]))
