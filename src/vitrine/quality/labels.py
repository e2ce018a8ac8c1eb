"""Labels as sellers write them, brought to one spelling, and when two of them contradict."""

import re
from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np
import pandas as pd

from vitrine.catalog import ATTRIBUTE_PREFIX, labels_of
from vitrine.catalog.table import TEXT

LABEL_COLUMNS = ("category", "verdict", "product")


def label_columns(table: pd.DataFrame) -> list[str]:
    """The columns of a table that hold labels, present ones only: category, verdict, product and attributes."""
    return [name for name in table.columns if name in LABEL_COLUMNS or name.startswith(ATTRIBUTE_PREFIX)]


def label_counts(table: pd.DataFrame) -> pd.Series:
    """How many label columns each row fills."""
    filled = [table[name] != "" for name in label_columns(table)]
    return sum(filled, pd.Series(0, index=table.index)).astype(int)


def normalised(table: pd.DataFrame, no_label: Collection[str]) -> pd.DataFrame:
    """Labels without stray spaces, in their commonest spelling, and empty where a word means "no label".

    Category words are compared under one parent, attribute labels within one type; a category is cut where a word of
    `no_label` stands.
    """
    result = table.copy(deep=False)
    words = {word.casefold() for word in no_label}
    for name in result.columns:
        if name == "category":
            result[name] = _categories(result[name], words)
        elif name.startswith(ATTRIBUTE_PREFIX):
            result[name] = _attributes(result[name], words)
        elif name in ("verdict", "domain", "split"):
            result[name] = _replace(result[name], lambda value: _word(value.lower(), words))
    return result


def agreed(column: str, values: Sequence[str]) -> tuple[str, bool]:
    """What the copies of one photo say together.

    Returns:
        The label all copies support ("" where they contradict; of category paths the common part), and whether they
        contradict. A finer path refines a coarser one, and more labels complete fewer.
    """
    known = [value for value in values if value]
    if not known or all(value == known[0] for value in known):
        return (known[0] if known else ""), False
    if column == "category":
        paths = sorted((value.split("/") for value in known), key=len)
        longest = paths[-1]
        if all(longest[: len(path)] == path for path in paths):
            return "/".join(longest), False
        common = 0
        while all(len(path) > common and path[common] == longest[common] for path in paths):
            common += 1
        return "/".join(longest[:common]), True
    if column.startswith(ATTRIBUTE_PREFIX):
        sets = sorted((labels_of(value) for value in known), key=len)
        if all(set(labels) <= set(sets[-1]) for labels in sets):
            return "|".join(sets[-1]), False
    return "", True


def _word(text: str, no_label: Collection[str]) -> str:
    clean = re.sub(r"\s+", " ", text).strip()
    return "" if clean.casefold() in no_label else clean


def _replace(column: pd.Series, change: Callable[[str], str]) -> pd.Series:
    return column.map({value: change(value) for value in column.unique()}).astype(TEXT)


def _looked_up(changes: dict[str, str], value: str) -> str:
    return changes.get(value, value)


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
    return _replace(column, lambda cell: "|".join(dict.fromkeys(spelling[label] for label in cells[cell])))


def _categories(column: pd.Series, no_label: Collection[str]) -> pd.Series:
    def cut(path: str) -> str:
        parts: list[str] = []
        for part in path.split("/"):
            word = _word(part, no_label)
            if not word:
                # An empty part in the middle is a broken path, left for the format rule to report.
                if not part.strip() and path:
                    return path
                break
            parts.append(word)
        return "/".join(parts)

    paths = _replace(column, cut)
    for level in range(1, int(paths.str.count("/").max() if len(paths) else 0) + 2):
        nodes = paths.str.split("/", n=level).str[:level].str.join("/")
        deep = (paths != "") & (paths.str.count("/") >= level - 1)
        spelling = _commonest(nodes[deep].value_counts())
        changed = {old: new for old, new in spelling.items() if old != new}
        if changed:
            tails = {
                path: changed["/".join(path.split("/")[:level])] + path[len("/".join(path.split("/")[:level])) :]
                for path in paths[deep].unique()
                if "/".join(path.split("/")[:level]) in changed
            }
            paths = _replace(paths, partial(_looked_up, tails))
    return paths
