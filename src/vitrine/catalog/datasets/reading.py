"""Reading the files of a data set: what is wrong with them is said with the file and the line."""

import io
import logging
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vitrine import files
from vitrine.catalog.mapping import TableFile
from vitrine.catalog.table import (
    BadLinesError,
    as_text,
    decode_parquet,
    json_text,
    likely_delimiter,
    parse_csv,
    swallowed_lines,
)
from vitrine.errors import InputError
from vitrine.untrusted import parse_json

JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
SHEET_ENDINGS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
MAX_SHEET = 1 << 30  # bytes of a workbook once unpacked
PROBLEM = "\0problem"  # a reader's column: why a row cannot be used, "" where it can

_log = logging.getLogger(__name__)


def require(root: str, names: Iterable[str], how: str) -> None:
    """Raises InputError, which says how to get them, if one of the files `names` is not under `root`."""
    for name in names:
        if not files.exists(files.join(root, name)):
            raise InputError(f"{root}: no {name} there; {how}")


def read_table(
    root: str, described: TableFile, used: Collection[str] = (), skipped: list[int] | None = None
) -> pd.DataFrame:
    """A table of stripped str.

    Args:
        root: The folder or `s3://` prefix that its name is relative to.
        described: The table.
        used: Columns that are needed even if they hold lists or structs (as JSON), which are left out otherwise.
        skipped: Where given, lines that cannot be read are left out and their numbers added here.

    Raises:
        InputError: if it cannot be read or parsed, or has no rows.
    """
    name = described.file
    uri = name if files.is_s3(name) or name.startswith("/") else files.join(root, name)
    data = _read_bytes(uri)
    try:
        if name.endswith(".parquet"):
            table = _parse_parquet(data, described.names, used)
        elif name.endswith(JSON_ENDINGS):
            table = _parse_json_table(data, name, skipped)
        elif name.lower().endswith(SHEET_ENDINGS):
            table = _parse_sheet(data, described)
        elif described.aligned:
            table = parse_aligned(data.decode(described.encoding), described, skipped)
        else:
            table = parse_csv(
                data,
                delimiter=described.delimiter or ("\t" if name.endswith(".tsv") else ","),
                encoding=described.encoding,
                header=described.header,
                names=described.names,
                quoted=described.quoted,
                skipped=skipped,
            )
            for line in swallowed_lines(table, described.delimiter or ("\t" if name.endswith(".tsv") else ",")):
                _log.warning(
                    "%s: the cell that begins in line %d has lines that look like rows, which are lost then; if "
                    "nothing closes its quote, say quoted: false in the mapping",
                    uri,
                    line,
                )
        if hint := _likely_delimiter(data, described, table):
            raise ValueError(hint)
    except BadLinesError as error:
        if hint := _likely_delimiter(data, described, None):
            raise InputError(f"{uri}: cannot be read as a table ({error}); {hint}") from error
        those = "this line" if len(error.lines) == 1 else f"these {len(error.lines)} lines"
        raise InputError(f"{uri}: cannot be read as a table ({error}); --skip-bad-lines leaves {those} out") from error
    except (pa.ArrowException, ValueError, LookupError, OSError) as error:
        raise InputError(f"{uri}: cannot be read as a table ({' '.join(str(error).split())})") from error
    if table.empty:
        raise InputError(f"{uri}: the table has no rows")
    return pd.DataFrame({name: [cell.strip() for cell in table[name].tolist()] for name in table.columns})


def _parse_sheet(data: bytes, described: TableFile) -> pd.DataFrame:
    """A sheet of a workbook as text, the first where none is named; empty rows are left out.

    A cell that is merged over several rows stands in each of them.

    Raises:
        ValueError: if there is no such sheet, a column stands twice, or it unpacks to more than `MAX_SHEET`.
    """
    from python_calamine import CalamineError, load_workbook

    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            if sum(part.file_size for part in parts.infolist()) > MAX_SHEET:
                raise ValueError(f"unpacks to more than {MAX_SHEET >> 30} GB")
    try:
        book = load_workbook(io.BytesIO(data))
        names = book.sheet_names
        if described.sheet and described.sheet not in names:
            raise ValueError(f"no sheet {described.sheet!r} (sheets: {', '.join(names)})")
        sheet = book.get_sheet_by_name(described.sheet or names[0]) if names else None
        cells = sheet.to_python() if sheet is not None else []
        merged = (sheet.merged_cell_ranges or []) if sheet is not None else []
        others = [other for other in names[1:] if not described.sheet and book.get_sheet_by_name(other).height > 1]
    except CalamineError as error:
        raise ValueError(str(error) or type(error).__name__) from error
    if others:
        _log.warning(
            "%s: only the sheet %r is read, not %s; to read those name them, each as a table of its own with sheet:",
            described.file,
            names[0],
            ", ".join(map(repr, others)),
        )
    texts = [[_sheet_cell(cell) for cell in row] for row in cells]
    first_row, first_column = (sheet.start or (0, 0)) if sheet is not None else (0, 0)
    for (top, left), (bottom, _) in merged:
        place, column = top - first_row, left - first_column
        for row in texts[place + 1 : bottom - first_row + 1] if place >= described.header and column >= 0 else ():
            if any(row):  # a row of its own
                row[column] = texts[place][column]
    rows = [row for row in texts if any(row)]
    header = rows.pop(0) if rows and described.header else []
    columns = described.names or [name.strip() or f"column {i + 1}" for i, name in enumerate(header)]
    columns = columns or [f"column {i + 1}" for i in range(len(rows[0]) if rows else 0)]
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise ValueError(f"column {twice[0]!r} appears twice")
    if rows and len(columns) != len(rows[0]):
        raise ValueError(f"has {len(rows[0])} columns, not the {len(columns)} named")
    return pd.DataFrame(rows, columns=columns, dtype=object)


def _sheet_cell(value: object) -> str:
    """A cell as text; whole numbers, which a workbook keeps as floats, without a fraction."""
    if isinstance(value, float):
        return np.format_float_positional(value, trim="-")
    return str(value).strip()


def parse_aligned(text: str, described: TableFile, skipped: list[int] | None = None) -> pd.DataFrame:
    """A table whose columns are separated by runs of blanks; the first column may hold blanks itself.

    Raises:
        BadLinesError: if lines lack a column and are not to be `skipped`.
        ValueError: if a column stands twice, or the number of rows is not the announced one.
    """
    lines = text.rstrip().split("\n") if text.strip() else []
    announced = lines.pop(0).strip() if described.counted and lines else ""
    columns = lines.pop(0).split() if described.header and lines else []
    if described.names or not described.header:
        columns = described.names or [f"column {i + 1}" for i in range(len(lines[0].split()) if lines else 0)]
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise ValueError(f"column {twice[0]!r} appears twice")
    rows = [line.rsplit(None, len(columns) - 1) for line in lines]
    if described.counted and not (announced.isdecimal() and int(announced) == len(rows)):
        raise ValueError(f"has {len(rows)} rows, and its first line says {announced!r}")
    if bad := {line_of(described, row): len(cells) for row, cells in enumerate(rows) if len(cells) != len(columns)}:
        if skipped is None:
            broken = "; ".join(f"line {line} has {cells} columns, not {len(columns)}" for line, cells in bad.items())
            raise BadLinesError(list(bad), broken)
        skipped += bad
        rows = [cells for cells in rows if len(cells) == len(columns)]
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
        allowed = ", ".join(words) if len(words) <= 8 else f"the {len(words)} known"
        raise InputError(
            f"{described.file}: line {line_of(described, row)}: {column} {cells[row]!r} is not one of {allowed}"
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


def _likely_delimiter(data: bytes, described: TableFile, table: pd.DataFrame | None) -> str:
    """What to say where a text was taken for one column, or for lines of different lengths, by a wrong delimiter."""
    name = described.file.lower()
    if described.aligned or name.endswith((".parquet", *JSON_ENDINGS, *SHEET_ENDINGS)):
        return ""
    if table is not None and (table.shape[1] != 1 or (described.delimiter and described.names)):
        return ""  # as it was described
    used = described.delimiter or ("\t" if name.endswith(".tsv") else ",")
    likely = likely_delimiter(data.decode(described.encoding, errors="replace"), used)
    return f"its lines look parted by {likely!r}: delimiter: {likely!r} in the mapping" if likely else ""


def _read_bytes(uri: str) -> bytes:
    try:
        return files.read_bytes(uri)
    except OSError as error:
        raise InputError(f"{uri}: cannot be read ({error.strerror or 'no such file'})") from error


def _parse_parquet(data: bytes, names: Sequence[str], used: Collection[str]) -> pd.DataFrame:
    table = decode_parquet(data, check=False)
    if names:
        table = table.rename_columns(list(names))
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_nested(column.type) and name not in used:
            continue
        try:
            column.validate(full=True)  # text that is not UTF-8
        except pa.ArrowInvalid as error:
            if name in used:
                raise ValueError(f"column {name!r}: {error}") from error
            continue
        try:
            columns[name] = as_text(column).fill_null("").to_pylist()
        except pa.ArrowException as error:
            if name in used:
                raise ValueError(f"column {name!r} holds {column.type}, not text") from error
    return pd.DataFrame(columns)


def _parse_json_table(data: bytes, name: str, skipped: list[int] | None) -> pd.DataFrame:
    """JSON Lines, or a JSON list of objects: one row per object, "" for what it lacks."""
    rows: list[dict[str, Any]]
    if name.endswith(".json"):
        content = parse_json(data)
        if isinstance(content, list) and (bad := [i for i, row in enumerate(content, 1) if not isinstance(row, dict)]):
            if skipped is None:
                raise BadLinesError(bad, f"no JSON object in entry {', '.join(map(str, bad))}")
            skipped += bad
            content = [row for row in content if isinstance(row, dict)]
        rows = records(content, name, ())
    else:
        rows, bad = [], []
        for number, line in enumerate(data.split(b"\n"), 1):
            if line.strip():
                row = _object_of(line)
                rows += [] if row is None else [row]
                bad += [number] if row is None else []
        if bad and skipped is None:
            raise BadLinesError(bad, f"no JSON object in line {', '.join(map(str, bad))}")
        if skipped is not None:
            skipped += bad
    columns = dict.fromkeys(key for row in rows for key in row)
    return pd.DataFrame({column: [_json_cell(row.get(column)) for row in rows] for column in columns})


def _object_of(line: bytes) -> dict[str, Any] | None:
    try:
        value = parse_json(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _json_cell(value: object) -> str:
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float):
        return np.format_float_positional(value, trim="-")
    return value if isinstance(value, str) else json_text(value)
