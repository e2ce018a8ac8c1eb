"""Which of several rows that show one photo is spare."""

from collections.abc import Mapping

import pandas as pd

from vitrine.catalog import ATTRIBUTE_PREFIX
from vitrine.quality.duplicates import Rows
from vitrine.quality.labels import agreed

TRIED = 64  # rows of one photo that stay, which another is compared with
Row = Mapping[str, str]


def same_box(one: Row, other: Row) -> bool:
    """Whether two rows of one photo show one item: marked boxes that differ are different items."""
    return not (one.get("bbox") and other.get("bbox")) or one["bbox"] == other["bbox"]


def may_be_copy(one: Row, other: Row) -> bool:
    """Whether a near copy is a spare one.

    Photos of one listing, or of shop and user, are meant to look alike; and where labels contradict, two photos that
    look alike more likely show another shade of a product. All of these stay (and never part in a split); so do rows
    that an earlier cleaning left side by side, whose labels it may have cut since.
    """
    if one.get("duplicate_group") and one["duplicate_group"] == other["duplicate_group"]:
        return False
    same_listing = bool(one.get("listing")) and one["listing"] == other["listing"]
    across = {one.get("domain"), other.get("domain")} == {"shop", "user"}
    if same_listing or across or not same_box(one, other):
        return False
    columns = [name for name in one if name in ("category", "verdict") or name.startswith(ATTRIBUTE_PREFIX)]
    return not any(agreed(name, (one[name], other[name]))[1] for name in columns)


def records(table: pd.DataFrame, rows: Rows) -> dict[int, dict[str, str]]:
    """What decides whether rows are spare, by row."""
    wanted = ("listing", "domain", "bbox", "category", "verdict", "duplicate_group")
    columns = [name for name in table if name in wanted or name.startswith(ATTRIBUTE_PREFIX)]
    cells = [table[name].iloc[rows].tolist() for name in columns]
    values = zip(*cells, strict=True) if cells else (() for _ in rows)
    return {row: dict(zip(columns, own, strict=True)) for row, own in zip(rows.tolist(), values, strict=True)}
