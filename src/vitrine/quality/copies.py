"""Which of several rows that show one photo is spare."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from vitrine.catalog import ATTRIBUTE_PREFIX
from vitrine.quality.boxes import same_place
from vitrine.quality.duplicates import Groups, Links, Rows
from vitrine.quality.labels import agreed

NO_LINKS: Links = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
TRIED = 64  # rows of one photo that stay, which another is compared with
Row = Mapping[str, Any]


class Pairs:
    """Pairs of rows, asked for by either of them."""

    def __init__(self, links: Links) -> None:
        first, second = np.concatenate(links), np.concatenate(links[::-1])
        order = np.argsort(first, kind="stable")
        self._first, self._second = first[order], second[order]

    def of(self, row: int) -> list[int]:
        """The rows paired with a row."""
        low, high = np.searchsorted(self._first, [row, row + 1])
        return cast(list[int], self._second[low:high].tolist())


def first_copies(exact: Groups) -> Rows:
    """For each row the first of its exact copies, itself where there are none."""
    return np.where(exact < 0, np.arange(len(exact)), exact)


def spare_rows(
    groups: Iterable[Rows],
    shown: Mapping[int, Row],
    spare: Callable[[Row, Row, bool], bool],
    first: Rows,
    near: Links = NO_LINKS,
    pictures: Links = NO_LINKS,
) -> dict[int, int]:
    """Which rows go, and for which row that stays.

    A group holds whatever is linked through others, so its ends need not resemble each other. A row goes only for one
    that it is itself an exact or a confirmed copy of.

    Args:
        groups: Rows of each group, the best first.
        shown: What the rows say; see `records`.
        spare: Whether the first of two copies may go for the second; also told whether they are the same picture.
        first: See `first_copies`.
        near: Confirmed near copies among these.
        pictures: Those of them that are the same picture.
    """
    confirmed, same = Pairs(near), Pairs(pictures)
    gone: dict[int, int] = {}
    for rows in groups:
        kept: dict[int, list[tuple[int, int]]] = {}  # by their first copies: place in the group and row
        for place, row in enumerate(rows.tolist()):
            first_row = int(first[row])
            photos = {first_row, *confirmed.of(first_row)}
            copies = sorted(stays for photo in photos for stays in kept.get(photo, ()))[:TRIED]
            alike = {first_row, *same.of(first_row)}
            original = next((one for _, one in copies if spare(shown[row], shown[one], int(first[one]) in alike)), None)
            if original is None:
                kept.setdefault(first_row, []).append((place, row))
            else:
                gone[row] = original
    return gone


def same_box(one: Row, other: Row) -> bool:
    """Whether two rows of one photo show one item: marked boxes that differ are different items."""
    if not (one.get("bbox") and other.get("bbox")):
        return True
    return same_place(one["bbox"], other["bbox"], one["size"], other["size"])


def may_be_copy(one: Row, other: Row, same_picture: bool = False) -> bool:
    """Whether a near copy is a spare one.

    Photos of one listing, or of shop and user, are meant to look alike; and where labels contradict, two photos that
    look alike more likely show another shade of a product, unless they are the same picture. All of these stay (and
    never part in a split); so do rows that an earlier cleaning left side by side, whose labels it may have cut since.
    """
    if one.get("duplicate_group") and one["duplicate_group"] == other["duplicate_group"]:
        return False
    same_listing = bool(one.get("listing")) and one["listing"] == other["listing"]
    across = {one.get("domain"), other.get("domain")} == {"shop", "user"}
    if same_listing or across or not same_box(one, other):
        return False
    columns = [name for name in one if name in ("category", "verdict") or name.startswith(ATTRIBUTE_PREFIX)]
    return same_picture or not any(agreed(name, (one[name], other[name]))[1] for name in columns)


def records(table: pd.DataFrame, photos: pd.DataFrame, rows: Rows) -> dict[int, Row]:
    """What decides whether rows are spare, by row.

    Args:
        table: Catalog rows.
        photos: Their photo table.
        rows: Of both.
    """
    wanted = ("listing", "domain", "bbox", "category", "verdict", "duplicate_group")
    columns = [name for name in table if name in wanted or name.startswith(ATTRIBUTE_PREFIX)]
    sizes = list(zip(*(photos[name].to_numpy()[rows].tolist() for name in ("width", "height")), strict=True))
    cells = [*(table[name].iloc[rows].tolist() for name in columns), sizes]
    values = zip(*cells, strict=True)
    return {
        row: dict(zip([*columns, "size"], fields, strict=True))
        for row, fields in zip(rows.tolist(), values, strict=True)
    }
