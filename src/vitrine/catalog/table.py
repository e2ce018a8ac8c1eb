"""Reading and writing catalog tables: Parquet or CSV, on this machine or on S3."""

import codecs
import contextlib
import csv
import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitrine import files
from vitrine.catalog import schema
from vitrine.errors import InputError

TABLE_NAMES = ("catalog.parquet", "catalog.csv")
ROOT_KEY = b"vitrine.root"
VERSION_KEY = b"vitrine.data_version"
REMOTE_KEY = b"vitrine.remote"
SOURCE_KEY = b"vitrine.source"
PACKS_KEY = b"vitrine.packs"
ROWS_KEY = b"vitrine.rows"
OWN = ("item", "sha256", "duplicate_group")  # columns beyond the format's that are read all the same
TABLE_VERSION = "table-"  # how versions begin that say nothing of photos
KEYS = (ROOT_KEY, VERSION_KEY, REMOTE_KEY, SOURCE_KEY, PACKS_KEY, ROWS_KEY)
MAX_DECODED = 8 << 30  # bytes of a table in memory; a few hundred of Parquet can stand for any number
ROWS_AT_ONCE = 2048  # with cells of a megabyte, what is decoded before its size is known takes 2 GB
LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)
TEXT = pd.StringDtype("pyarrow", na_value=float("nan"))

_log = logging.getLogger(__name__)


class BadLinesError(ValueError):
    """Lines of a text table that cannot be read while the others can."""

    def __init__(self, lines: Sequence[int], message: str) -> None:
        super().__init__(message)
        self.lines = lines


@dataclass(frozen=True)
class Catalog:
    """A catalog table and where its photos are.

    Attributes:
        root: Absolute folder or `s3://` prefix that `image` values are relative to.
        table: One row per photo. Contract columns hold str, "" for unknown; other columns are untouched.
        data_version: Which state of the data this is (a DVC hash, or one of the table), for model cards.
        remote: The DVC remote that the photos below `root` were fetched from, and can be again; else "".
        source: What a person calls the catalog, where its photos are elsewhere by now: the address it was fetched from.
        packs: Folder or `s3://` prefix where its photos are packed, or are to be; see `packs`.
        kinds: Arrow types of other columns as they were read, which pandas has one type for (its text is one).
        place: Folder, `s3://` prefix or file that the table was read from; "" = it was made here.
    """

    root: str
    table: pd.DataFrame
    data_version: str = ""
    remote: str = ""
    source: str = ""
    packs: str = ""
    kinds: Mapping[str, pa.DataType] = field(default_factory=dict, compare=False)
    place: str = field(default="", compare=False)

    @property
    def address(self) -> str:
        """Where the catalog is, for a person."""
        return self.source or self.place or self.root

    def __len__(self) -> int:
        return len(self.table)

    def uri(self, image: str) -> str:
        """The absolute path or S3 URI of one `image` value.

        Raises:
            InputError: if it would leave the catalog.
        """
        if not schema.is_safe_path(image):
            raise InputError(f"{self.root}: image {image!r} {schema.UNSAFE_PATH_REASON}")
        return image if files.is_s3(image) else files.join(self.root, image)

    def with_table(self, table: pd.DataFrame) -> "Catalog":
        """The same photos under another table; rows are numbered anew."""
        return replace(self, table=table.reset_index(drop=True))

    def of_split(self, split: str) -> "Catalog":
        """Only the rows of one split."""
        if "split" not in self.table:
            return self.with_table(self.table.iloc[:0])
        return self.with_table(self.table[self.table["split"] == split])


def read_catalog(source: str | Path, *, check_rows: bool = True) -> Catalog:
    """Reads a catalog.

    Its version is the recorded one while its rows are those that were written with it, else one of the table's bytes,
    beginning with `TABLE_VERSION`: see `version.versioned`.

    Args:
        source: A folder or `s3://` prefix holding `catalog.parquet` or `catalog.csv`, or such a file itself.
        check_rows: Refuse rows with unusable values. Validation and cleaning read without, to report them.

    Raises:
        InputError: if there is no table, it cannot be read, lacks `image`, is empty, or (checked) a row is unusable.
    """
    uri, root = _find(files.absolute(source))
    try:
        data = files.read_bytes(uri)
    except OSError as error:
        raise InputError(f"{uri}: cannot be read ({error.strerror or 'no such file'})") from error
    recorded: dict[bytes, str]
    kinds: dict[str, pa.DataType] = {}
    try:
        if uri.endswith(".csv"):
            table, recorded = parse_csv(data), {}
        else:
            table, recorded, kinds = _parse_parquet(data)
    except (pa.ArrowException, ValueError, TypeError, KeyError, OverflowError, OSError) as error:
        raise InputError(f"{uri}: cannot be read as a table ({_one_line(error)})") from error
    if "image" not in table.columns:
        columns = ", ".join(repr(name) for name in table.columns) or "none"
        likely = likely_delimiter(data.decode(errors="replace"), ",") if uri.endswith(".csv") else ""
        hint = f"; its lines look parted by {likely!r}, a catalog.csv has commas" if likely else ""
        raise InputError(f"{uri}: no column 'image' (columns: {columns}){hint}")
    if table.empty:
        raise InputError(f"{uri}: the table has no rows")
    for name in filter(schema.is_contract_column, table.columns):
        table[name] = table[name].astype(TEXT).fillna("")
    pa.default_memory_pool().release_unused()  # what parsing took: of millions of rows as much as the table
    if check_rows:
        errors = schema.row_errors(table)
        if (wrong := errors[errors != ""]).size:
            more = f" ({wrong.size - 1} more rows are unusable; `vitrine clean` drops them)" if wrong.size > 1 else ""
            raise InputError(f"{uri}: row {wrong.index[0] + 1}: {wrong.iloc[0]}{more}")
    return Catalog(
        recorded.get(ROOT_KEY) or root,
        table,
        _recorded_version(uri, table, recorded) or _version_of(data),
        recorded.get(REMOTE_KEY, ""),
        recorded.get(SOURCE_KEY, ""),
        recorded.get(PACKS_KEY, ""),
        kinds,
        files.absolute(source),
    )


def read_version(folder: str | Path) -> str:
    """The data version that a table made by `write_catalog` records; its rows are not decoded."""
    data = files.read_bytes(files.join(str(folder), TABLE_NAMES[0]))
    metadata = pq.read_schema(pa.BufferReader(data)).metadata
    return (metadata or {}).get(VERSION_KEY, b"").decode()


def write_catalog(catalog: Catalog, folder: str | Path) -> None:
    """Writes `folder`/catalog.parquet, remembering where the photos are and which data version this is."""
    arrow = as_arrow(catalog.table, catalog.kinds)
    recorded = {
        ROOT_KEY: catalog.root,
        VERSION_KEY: catalog.data_version,
        REMOTE_KEY: catalog.remote,
        SOURCE_KEY: catalog.source,
        PACKS_KEY: catalog.packs,
        ROWS_KEY: _rows_as_read(arrow) if catalog.data_version else "",
    }
    metadata = {key: value.encode() for key, value in recorded.items() if value}
    buffer = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **metadata}), buffer)
    files.write_bytes(files.join(str(folder), TABLE_NAMES[0]), buffer.getvalue())


def as_arrow(table: pd.DataFrame, kinds: Mapping[str, pa.DataType]) -> pa.Table:
    """A catalog's table with the columns that are not of the format as they were read; see `Catalog.kinds`."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    for i, name in enumerate(arrow.column_names):
        if name in kinds and arrow.column(i).type != kinds[name]:
            arrow = arrow.set_column(i, name, arrow.column(i).cast(kinds[name]))
    return arrow


def texts(column: pd.Series) -> pd.Series:
    """A column of any type as text, "" where a cell is null."""
    return column.astype(object).where(column.notna(), "").astype(str)


def _find(uri: str) -> tuple[str, str]:
    """The table's URI and the folder it lies in."""
    if uri.endswith((".parquet", ".csv")):
        return uri, uri.rpartition("/")[0]
    for name in TABLE_NAMES:
        if files.exists(files.join(uri, name)):
            return files.join(uri, name), uri
    if not files.is_s3(uri) and not Path(uri).is_dir():
        raise InputError(f"{uri}: no such folder")
    raise InputError(f"{uri}: holds neither catalog.parquet nor catalog.csv")


def parse_csv(
    data: bytes,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8",
    header: bool = True,
    names: Sequence[str] = (),
    quoted: bool = True,
    skipped: list[int] | None = None,
) -> pd.DataFrame:
    """Text with delimiters as a table of str, "" where a cell or the end of a line is missing.

    Args:
        data: The file.
        delimiter: One character.
        encoding: Of the text.
        header: Whether the first line names the columns.
        names: Names for the columns, instead of the header's.
        quoted: Whether a cell in double quotes may hold delimiters.
        skipped: Where given, lines that cannot be read are left out and their numbers added here.

    Raises:
        BadLinesError: if lines have more cells than the first, or in a text of this encoding some hold bytes that are
            none; all of them are named.
        ValueError: if it cannot be parsed: wrong encoding, a column twice, wrong `names`.
    """
    if "utf-16" not in encoding.lower() and b"\0" in data:
        likely = likely_encoding(data)
        raise ValueError(f"holds zero bytes: not text in this encoding{f'; it looks like {likely}' if likely else ''}")

    def parse(on_bad_lines: Literal["error", "skip"]) -> pd.DataFrame:
        return pd.read_csv(
            io.BytesIO(data),
            sep=delimiter,
            encoding=encoding,
            header=None,  # pandas would rename columns that appear twice, and shift those of a longer line
            dtype=TEXT,
            keep_default_na=False,
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            on_bad_lines=on_bad_lines,
        ).fillna("")

    try:
        table = parse("error")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except UnicodeError as error:
        lines = data.split(b"\n")
        bad_bytes, good = _undecodable(lines, encoding)
        if good and not (header and bad_bytes[0] == 1):
            if skipped is None:
                told = ", ".join(map(str, bad_bytes))
                raise BadLinesError(bad_bytes, f"bytes that are not {encoding} in line {told}") from None
            rest = b"\n".join(lines[line - 1] for line in good)
            more: list[int] = []
            table = parse_csv(
                rest,
                delimiter=delimiter,
                encoding=encoding,
                header=header,
                names=names,
                quoted=quoted,
                skipped=more,
            )
            skipped += sorted([*bad_bytes, *(good[line - 1] for line in more)])
            return table
        likely = likely_encoding(data)
        raise ValueError(f"{error}{f'; it looks like {likely}' if likely else ''}") from error
    except pd.errors.ParserError:
        width, bad = _longer_lines(data.decode(encoding), delimiter, quoted)
        if not bad:
            raise
        if skipped is None:
            broken = "; ".join(f"in line {line}, saw {cells}" for line, cells in bad.items())
            raise BadLinesError(list(bad), f"Expected {width} fields {broken}") from None
        skipped += bad
        table = parse("skip")
    if header:
        header_row = [name.strip() or f"column {i + 1}" for i, name in enumerate(table.iloc[0])]
        table = table.iloc[1:].reset_index(drop=True)
    else:
        header_row = [f"column {i + 1}" for i in range(table.shape[1])]
    if names and len(names) != len(header_row):
        raise ValueError(f"has {len(header_row)} columns, not the {len(names)} named")
    table.columns = pd.Index(_without_duplicates(list(names) or header_row), dtype=object)
    return table


def likely_encoding(data: bytes) -> str:
    """The encoding that text is most likely in; "" where nothing speaks for one."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return name
    head = data[:4096]
    if b"\0" in head:  # every other byte of Latin text
        zeros = [head[start::2].count(0) for start in (0, 1)]
        return ("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le") if max(zeros) > len(head) // 4 else ""
    for name in ("utf-8", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            data.decode(name)
            return name
    return "latin-1"


def likely_delimiter(text: str, used: str) -> str:
    """The delimiter that parts the lines of a text, where it is another than the one used; "" where none does.

    One that stands as often in nearly every line as in the first.
    """
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    counts = {}
    for mark in (";", "\t", "|", ","):
        count = lines[0].count(mark) if lines else 0
        alike = sum(line.count(mark) == count for line in lines)
        if mark != used and count and alike >= 0.9 * len(lines):
            counts[mark] = count
    return max(counts, key=counts.__getitem__) if counts else ""


def _undecodable(lines: Sequence[bytes], encoding: str) -> tuple[list[int], list[int]]:
    """The lines (from 1) that are no text of an encoding, and the others; none where nothing shows that they are.

    Text beyond ASCII in another line shows it: who reads that all would be wrong if the encoding were.
    """
    bad, good, shown = [], [], False
    for number, line in enumerate(lines, 1):
        try:
            line.decode(encoding)
            good.append(number)
            shown = shown or not line.isascii()
        except UnicodeError:
            bad.append(number)
    return (bad, good) if shown else (bad, [])


def swallowed_lines(table: pd.DataFrame, delimiter: str) -> list[int]:
    """Lines in which a cell begins that seems to have swallowed rows, since nothing closes its quote; from 1.

    Each line inside of such a cell, but its first and last, has the delimiters of a row.
    """
    breaks = np.zeros(len(table), dtype=np.int64)
    begins = np.zeros(len(table), dtype=bool)
    for name in table.columns:
        cells = table[name]
        for row in np.flatnonzero(cells.str.contains("\n", regex=False).to_numpy(dtype=bool)).tolist():
            inside = cells.iat[row].split("\n")
            breaks[row] += len(inside) - 1
            begins[row] |= len(inside) > 2 and all(line.count(delimiter) == table.shape[1] - 1 for line in inside[1:-1])
    first = np.arange(len(table)) + np.concatenate([[0], np.cumsum(breaks)[:-1]]) if len(table) else breaks
    return [int(line) + 2 for line in first[begins]]  # a header, and lines count from 1


def _longer_lines(text: str, delimiter: str, quoted: bool) -> tuple[int, dict[int, int]]:
    """How many cells the first line has, and of the lines with more (by number, from 1) how many."""
    limit = csv.field_size_limit(len(text) + 1)  # a description may be longer than the 131,072 characters it takes
    try:
        return _lines_longer_than_first(text, delimiter, quoted)
    finally:
        csv.field_size_limit(limit)


def _lines_longer_than_first(text: str, delimiter: str, quoted: bool) -> tuple[int, dict[int, int]]:
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    width, bad, line = 0, {}, 1
    try:
        for cells in reader:
            width = width or len(cells)
            if len(cells) > width:
                bad[line] = len(cells)
            line = reader.line_num + 1
    except csv.Error:
        return width, {}
    return width, bad


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The cells of a column as text; null where there is none.

    Numbers are written in full: in a column of floats, as pandas makes of whole numbers of which one is missing,
    4006381333931.0 is `4006381333931`. NaN is no number. What holds further values (lists, structs) is JSON.

    Raises:
        pa.ArrowException: if the cells are bytes that are no text.
    """
    if pa.types.is_floating(column.type):
        codes, values = pd.factorize(column.to_numpy())  # NaN, and what is null, is -1
        texts = pa.array([np.format_float_positional(value, trim="-") for value in values], pa.string())
        return pa.chunked_array([texts.take(pa.array(codes, mask=codes < 0))])
    if pa.types.is_nested(column.type):
        cells = column.to_pylist()
        return pa.chunked_array([pa.array([None if cell is None else json_text(cell) for cell in cells], pa.string())])
    return column.cast(pa.string())


def json_text(value: object) -> str:
    """A value as JSON; what JSON has no form for (dates, bytes) as Python writes it."""
    return json.dumps(value, ensure_ascii=False, default=str)


def decode_parquet(data: bytes, *, check: bool = True) -> pa.Table:
    """A Parquet file that somebody else wrote.

    Args:
        data: The file.
        check: Refuse it where any column holds text that is not UTF-8; else the caller asks each column it uses.

    Raises:
        ValueError: if it cannot be read (pyarrow's errors are of this kind, or OSErrors), or decodes to more than
            `MAX_DECODED`.
    """
    file = pq.ParquetFile(pa.BufferReader(data))
    tables: list[pa.Table] = []
    waiting: list[pa.RecordBatch] = []
    size = joined = 0
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
        size += batch.nbytes
        if size > MAX_DECODED:
            raise ValueError(f"decodes to more than {MAX_DECODED >> 30} GB")
        waiting.append(batch)
        if size - joined > 1 << 28:  # few large pieces: looking at many small ones takes longer
            tables.append(pa.Table.from_batches(waiting).combine_chunks())
            waiting, joined = [], size
    tables.append(pa.Table.from_batches(waiting, file.schema_arrow).combine_chunks())
    whole = pa.concat_tables(tables).replace_schema_metadata(file.schema_arrow.metadata)
    if check:
        whole.validate(full=True)  # text that is not UTF-8
    return whole


def _parse_parquet(data: bytes) -> tuple[pd.DataFrame, dict[bytes, str], dict[str, pa.DataType]]:
    """The table with contract columns as text, what its metadata records, and the types of the other columns."""
    arrow = decode_parquet(data)
    arrow = arrow.select(
        [i for i, name in enumerate(_without_duplicates(arrow.column_names)) if not name.startswith("__index_level_")]
    )
    for i, name in enumerate(arrow.column_names):
        if schema.is_contract_column(name):
            try:
                arrow = arrow.set_column(i, name, _contract_text(name, arrow.column(i)))
            except pa.ArrowException as error:
                raise ValueError(f"column {name!r} holds {arrow.schema.field(i).type}, not text") from error
    metadata = arrow.schema.metadata or {}
    strings = {pa.string(): TEXT, pa.large_string(): TEXT}
    kept = {
        name: _kept(name, arrow.column(i))
        for i, name in enumerate(arrow.column_names)
        if not schema.is_contract_column(name) and not _is_plain(arrow.column(i))
    }
    # What pandas noted about an index is left aside: rows are numbered anew.
    plain = arrow.drop_columns(list(kept)).to_pandas(types_mapper=strings.get, ignore_metadata=True)
    table = pd.DataFrame({name: kept.get(name, plain.get(name)) for name in arrow.column_names}, copy=False)
    kinds = {name: arrow.schema.field(name).type for name in arrow.column_names if not schema.is_contract_column(name)}
    return table, {key: metadata[key].decode() for key in KEYS if key in metadata}, kinds


def _is_plain(column: pa.ChunkedArray) -> bool:
    """Whether pandas' own types hold a column and give it back as it was."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return not column.null_count
    if pa.types.is_floating(kind) and kind != pa.float16():  # null and NaN are one to it
        return not pc.any(pc.is_nan(column)).as_py()
    return False


def _kept(name: str, column: pa.ChunkedArray) -> pd.Series:
    """A column that stays Arrow's, whatever it holds.

    Raises:
        ValueError: if its rows cannot be picked.
    """
    try:
        column.take(pa.array([0] if len(column) else [], pa.int64()))
    except pa.ArrowNotImplementedError as error:
        raise ValueError(f"column {name!r} holds {column.type}, which cannot be passed on; leave it out") from error
    return pd.Series(pd.arrays.ArrowExtensionArray(column))


def _contract_text(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The cells of one of the format's own columns; lists of labels become `red|blue`."""
    kind = column.type
    if name.startswith(schema.ATTRIBUTE_PREFIX) and any(is_kind(kind) for is_kind in LISTS):
        if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):  # Arrow's cast of these loses elements
            column = pa.chunked_array([pa.array(column.to_pylist(), pa.list_(kind.value_type))])
        lists = column.cast(pa.list_(pa.string()))
        if not pc.list_flatten(lists).null_count:
            return pc.binary_join(lists, "|")
        # A null among labels is none; `binary_join` would make the whole cell null.
        cells = [None if cell is None else "|".join(filter(None, cell)) for cell in lists.to_pylist()]
        return pa.chunked_array([pa.array(cells, pa.string())])
    if pa.types.is_nested(kind):
        raise pa.ArrowTypeError("nested")
    return as_text(column)


def _without_duplicates(names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"column {name!r} appears twice")
    return names


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _recorded_version(uri: str, table: pd.DataFrame, recorded: dict[bytes, str]) -> str:
    """The version that a table carries; "" where there is none, or somebody changed the rows since."""
    version = recorded.get(VERSION_KEY, "")
    rows = recorded.get(ROWS_KEY, "")
    if version and rows and rows not in (_rows_of(table), _rows_of(table, schema.is_contract_column)):
        _log.warning(
            "%s: its rows were changed after they were made of data %s, so it has no version of data", uri, version
        )
        return ""
    return version


def _rows_as_read(arrow: pa.Table) -> str:
    """`_rows_of` a table as it will be read; "" where a column cannot be."""
    names = list(filter(_is_read, arrow.column_names))
    try:
        return _rows_of(pd.DataFrame({name: _contract_text(name, arrow[name]).to_pandas() for name in names}))
    except pa.ArrowException:
        return ""


def _is_read(name: str) -> bool:
    return schema.is_contract_column(name) or name in OWN


def _rows_of(table: pd.DataFrame, of: Callable[[str], bool] = _is_read) -> str:
    """A digest of what the columns that are read say of every row, labels among it.

    Before `OWN` was part of it, tables recorded one of the format's columns alone.
    """
    digest = hashlib.sha256()
    for name in sorted(map(str, filter(of, table.columns))):
        column = table[name]
        if not schema.is_contract_column(name):  # of any type, and written as such
            values = pa.array(column, from_pandas=True)
            column = as_text(values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])).to_pandas()
        cells = column.astype(object).fillna("").astype(str)
        digest.update(f"{name}\n".encode())
        digest.update(pd.util.hash_pandas_object(cells, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def _version_of(data: bytes) -> str:
    return f"{TABLE_VERSION}{hashlib.sha256(data).hexdigest()[:16]}"
