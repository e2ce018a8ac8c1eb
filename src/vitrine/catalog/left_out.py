"""Rows that could not be used: named one by one in a table for a person, and refused where they are many."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from vitrine.errors import InputError
from vitrine.files import atomic_write
from vitrine.words import counted

LEFT_OUT = "left_out.csv"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would work out


class LeftOut(NamedTuple):
    """One row: its number from 1 ("" for a photo that no row names), its `image` value, and why it is left out."""

    row: int | str
    image: str
    reason: str


def write_left_out(path: Path, rows: Iterable[LeftOut]) -> None:
    """Writes the rows as CSV, with an apostrophe before what a spreadsheet would take for a formula (OWASP)."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(LeftOut._fields)
        writer.writerows([row.row, harmless(row.image), harmless(row.reason)] for row in rows)


def harmless(cell: str) -> str:
    """A cell that a spreadsheet shows and does not work out."""
    cell = cell.encode(errors="replace").decode()  # half a character cannot be written
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def refuse_many(rows: Sequence[LeftOut], total: int, limit: float, where: str, out: Path) -> None:
    """Stops where too many rows are left out; they are then named in a file beside `out`, which does not appear.

    Args:
        rows: Those left out.
        total: Of how many rows.
        limit: The share that may be left out, 0..1.
        where: What is being read, for the message.
        out: The folder that is not written.

    Raises:
        InputError: if it is more, or `limit` is no share.
    """
    if not 0 <= limit <= 1:
        raise InputError(f"max_left_out {limit:g}: a share between 0 and 1")
    if len(rows) <= limit * total:
        return
    beside = out.parent / f"{out.name}.{LEFT_OUT}"
    write_left_out(beside, rows)
    first = rows[0]
    raise InputError(
        f"{where}: {len(rows):,} of {counted(total, 'row')} cannot be used, more than {100 * limit:g} %: "
        f"row {first.row} ({first.image}): {first.reason}; all of them stand in {beside} (--max-left-out allows more)"
    )
