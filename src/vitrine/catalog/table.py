"""Reading and writing catalog tables: Parquet or CSV, on this machine or on S3."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vitrine import files
from vitrine.catalog import schema
from vitrine.errors import InputError

TABLE_NAMES = ("catalog.parquet", "catalog.csv")
ROOT_KEY = b"vitrine.root"
VERSION_KEY = b"vitrine.data_version"
TEXT = pd.StringDtype("pyarrow", na_value=float("nan"))


@dataclass(frozen=True)
class Catalog:
    """A catalog table and where its photos are.

    Attributes:
        root: Absolute folder or `s3://` prefix that `image` values are relative to.
        table: One row per photo. Contract columns hold str, "" for unknown; other columns are untouched.
        data_version: Which state of the data this is (a DVC hash, or one of the table), for model cards.
    """

    root: str
    table: pd.DataFrame
    data_version: str = ""

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

    Args:
        source: A folder or `s3://` prefix holding `catalog.parquet` or `catalog.csv`, or such a file itself.
        check_rows: Refuse rows with unusable values. Validation and cleaning read without, to report them.

    Raises:
        InputError: if there is no table, it cannot be read, lacks `image`, is empty, or (checked) a row is unusable.
    """
    uri, root = _find(files.absolute(source))
    try:
        data = files.read_bytes(uri)
        table, metadata = _read_csv(data) if uri.endswith(".csv") else _read_parquet(data)
    except FileNotFoundError as error:
        raise InputError(f"{uri}: no such file") from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{uri}: cannot be read as a table ({str(error).splitlines()[0]})") from error
    if "image" not in table.columns:
        raise InputError(f"{uri}: no column 'image' (columns: {', '.join(map(str, table.columns)) or 'none'})")
    if duplicated := sorted(set(table.columns[table.columns.duplicated()])):
        raise InputError(f"{uri}: column {duplicated[0]!r} appears twice")
    if table.empty:
        raise InputError(f"{uri}: the table has no rows")
    for name in filter(schema.is_contract_column, table.columns):
        table[name] = table[name].astype(TEXT).fillna("")
    if check_rows:
        errors = schema.row_errors(table)
        if (wrong := errors[errors != ""]).size:
            more = f" ({wrong.size - 1} more rows are unusable; `vitrine clean` drops them)" if wrong.size > 1 else ""
            raise InputError(f"{uri}: row {wrong.index[0] + 1}: {wrong.iloc[0]}{more}")
    version = metadata.get(VERSION_KEY, b"").decode() or _version_of(data)
    return Catalog(metadata.get(ROOT_KEY, b"").decode() or root, table, version)


def write_catalog(catalog: Catalog, folder: str | Path) -> None:
    """Writes `folder`/catalog.parquet, remembering where the photos are and which data version this is."""
    arrow = pa.Table.from_pandas(catalog.table, preserve_index=False)
    metadata = {ROOT_KEY: catalog.root.encode(), VERSION_KEY: catalog.data_version.encode()}
    buffer = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **metadata}), buffer)
    files.write_bytes(files.join(str(folder), TABLE_NAMES[0]), buffer.getvalue())


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


def _read_parquet(data: bytes) -> tuple[pd.DataFrame, dict[bytes, bytes]]:
    arrow = pq.read_table(pa.BufferReader(data))
    strings = {pa.string(): TEXT, pa.large_string(): TEXT}
    return arrow.to_pandas(types_mapper=strings.get), arrow.schema.metadata or {}


def _read_csv(data: bytes) -> tuple[pd.DataFrame, dict[bytes, bytes]]:
    try:
        return pd.read_csv(io.BytesIO(data), dtype=TEXT, keep_default_na=False), {}
    except pd.errors.EmptyDataError:
        return pd.DataFrame(), {}


def _version_of(data: bytes) -> str:
    import hashlib

    return f"table-{hashlib.sha256(data).hexdigest()[:16]}"
