"""Reading the files of a data set: what is wrong with them is said with the file and the line."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from vitrine import files
from vitrine.catalog.mapping import TableFile
from vitrine.catalog.table import decode_parquet, parse_csv
from vitrine.errors import InputError
from vitrine.untrusted import parse_json


def require(root: str, names: Iterable[str], how: str) -> None:
    """Raises InputError, which says how to get them, if one of the files `names` is not under `root`."""
    for name in names:
        if not files.exists(files.join(root, name)):
            raise InputError(f"{root}: no {name} there; {how}")


def read_table(root: str, described: TableFile) -> pd.DataFrame:
    """A table of stripped str.

    Raises:
        InputError: if it cannot be read or parsed, or has no rows.
    """
    name = described.file
    uri = name if files.is_s3(name) or name.startswith("/") else files.join(root, name)
    data = _read_bytes(uri)
    try:
        if name.endswith(".parquet"):
            table = _parse_parquet(data, described.names)
        elif described.aligned:
            table = parse_aligned(data.decode(described.encoding), described)
        else:
            table = parse_csv(
                data,
                delimiter=described.delimiter or ("\t" if name.endswith(".tsv") else ","),
                encoding=described.encoding,
                header=described.header,
                names=described.names,
                quoted=described.quoted,
            )
    except (pa.ArrowException, ValueError, LookupError, OSError) as error:
        raise InputError(f"{uri}: cannot be read as a table ({' '.join(str(error).split())})") from error
    if table.empty:
        raise InputError(f"{uri}: the table has no rows")
    return pd.DataFrame({name: [cell.strip() for cell in table[name].tolist()] for name in table.columns})


def parse_aligned(text: str, described: TableFile) -> pd.DataFrame:
    """A table whose columns are separated by runs of blanks; the first column may hold blanks itself.

    Raises:
        ValueError: if a line lacks a column, a column stands twice, or the number of rows is not the announced one.
    """
    lines = text.rstrip().split("\n") if text.strip() else []
    announced = lines.pop(0).strip() if described.counted and lines else ""
    columns = lines.pop(0).split() if described.header and lines else []
    if described.names or not described.header:
        columns = described.names or [f"column {i + 1}" for i in range(len(lines[0].split()) if lines else 0)]
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise ValueError(f"column {twice[0]!r} appears twice")
    rows = [line.rsplit(None, len(columns) - 1) for line in lines]
    for row, cells in enumerate(rows):
        if len(cells) != len(columns):
            raise ValueError(f"line {line_of(described, row)} has {len(cells)} columns, not {len(columns)}")
    if described.counted and not (announced.isdecimal() and int(announced) == len(rows)):
        raise ValueError(f"has {len(rows)} rows, and its first line says {announced!r}")
    return pd.DataFrame(dict(zip(columns, zip(*rows, strict=True), strict=True)) if rows else {})


def line_of(described: TableFile, row: int) -> int:
    """The line of an aligned table that holds a row (counted from 0)."""
    return row + 1 + described.header + described.counted


def recoded(table: pd.DataFrame, column: str, words: Mapping[str, str], described: TableFile) -> list[str]:
    """The cells of an aligned table's column in our words.

    Raises:
        InputError: if a cell is none of `words`: one line that names the file and the line.
    """
    cells = table[column].tolist()
    try:
        return [words[cell] for cell in cells]
    except KeyError:
        row = next(i for i, cell in enumerate(cells) if cell not in words)
        known = ", ".join(words) if len(words) <= 8 else f"the {len(words)} known"
        raise InputError(
            f"{described.file}: line {line_of(described, row)}: {column} {cells[row]!r} is not one of {known}"
        ) from None


def read_json(root: str, name: str) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: if it cannot be read or is no JSON.
    """
    uri = files.join(root, name)
    try:
        return parse_json(_read_bytes(uri))
    except ValueError as error:
        raise InputError(f"{uri}: is not JSON ({error})") from error


def records(content: Any, name: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    """A list of JSON objects that all have `keys`.

    Raises:
        InputError: if it is none: one line that names the file and the entry.
    """
    if not isinstance(content, list):
        raise InputError(f"{name}: is not a list of objects")
    for i, entry in enumerate(content):
        if not isinstance(entry, dict):
            raise InputError(f"{name}: entry {i + 1} is not an object")
        for key in keys:
            if key not in entry:
                raise InputError(f"{name}: entry {i + 1} lacks {key!r}")
    return content


def label(text: str) -> str:
    """A publisher's name as a label: single blanks, and `-` for `|`, which separates labels in a cell."""
    return " ".join(text.replace("|", "-").split())


def part(text: str) -> str:
    """A publisher's name as one part of a category path: `-` for `/`."""
    return label(text.replace("/", "-"))


def box(left: float, top: float, width: float, height: float) -> str:
    """`x,y,w,h` of a marked box, "" for one without area. What lies left of or above the photo is cut off."""
    x, y = max(left, 0), max(top, 0)
    width, height = left + width - x, top + height - y
    return ",".join(f"{value:.10g}" for value in (x, y, width, height)) if width > 0 and height > 0 else ""


def _read_bytes(uri: str) -> bytes:
    try:
        return files.read_bytes(uri)
    except OSError as error:
        raise InputError(f"{uri}: cannot be read ({error.strerror or 'no such file'})") from error


def _parse_parquet(data: bytes, names: Sequence[str]) -> pd.DataFrame:
    table = decode_parquet(data)
    if names:
        table = table.rename_columns(list(names))
    return pd.DataFrame(
        {name: table.column(name).cast(pa.string()).fill_null("").to_pylist() for name in table.column_names}
    )
