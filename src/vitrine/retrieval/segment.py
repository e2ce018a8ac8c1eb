"""One part of an index: unit vectors with what they belong to, in memory-mapped files that never change.

Rows lie in the order of their category path, so that every node of the tree is one slice.
"""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap

from vitrine.errors import InputError
from vitrine.retrieval import approximate
from vitrine.retrieval.exact import Codes, encode

ROWS, VECTORS, PRODUCT_CODES = "rows.parquet", "vectors.npy", "codes.faiss"
COLUMNS = ("image", "uri", "product", "category")
TEXTS = pa.schema([(name, pa.string()) for name in COLUMNS])


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table in the order a segment keeps them: by category path, then as they come."""
    keys = table["category"] + "/"  # `A/B` before `A/B/C`, and neither among `A/Bc`
    return table.iloc[np.argsort(keys.to_numpy(dtype=object), kind="stable")]


def write_segment(folder: Path, table: pd.DataFrame, batches: Iterable[np.ndarray]) -> None:
    """Writes a segment into an existing, empty folder.

    Args:
        folder: Where.
        table: Columns image, uri, product, category; as `in_order` gives it.
        batches: The rows' features (any, dim), in the same order, of any length.

    Raises:
        InputError: if a feature is not finite, or there are more or fewer than rows.
    """
    count, done = len(table), 0
    vectors = code = scale = slack = None
    for features in batches:
        if vectors is None or code is None or scale is None or slack is None:
            dim = features.shape[1]
            vectors = open_memmap(folder / VECTORS, "w+", np.float32, (count, dim))
            code = open_memmap(folder / "code.npy", "w+", np.int8, (count, dim))
            scale = open_memmap(folder / "scale.npy", "w+", np.float32, (count,))
            slack = open_memmap(folder / "slack.npy", "w+", np.float32, (count,))
        unit = unit_rows(features)
        bad = ~np.isfinite(unit).all(axis=1)
        if bad.any():
            image = table["image"].iloc[done + int(np.flatnonzero(bad)[0])]
            raise InputError(f"{image}: the model gives no finite embedding")
        rows = slice(done, done + len(unit))
        codes = encode(unit)
        vectors[rows], code[rows], scale[rows], slack[rows] = unit, codes.code, codes.scale, codes.slack
        done += len(unit)
    if vectors is None or done != count:
        raise InputError(f"{folder}: {done} embeddings for {count} rows")
    if count >= approximate.SMALLEST:
        approximate.build(vectors, folder / PRODUCT_CODES)
    table[list(COLUMNS)].reset_index(drop=True).to_parquet(folder / ROWS, index=False)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows of length 1, (n, dim) float32; zeros stay zeros."""
    wide = np.asarray(features, np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: np.ndarray = wide / np.where(length == 0, 1, length)
    return unit


@dataclass(frozen=True)
class Segment:
    """A segment on disk. Files are opened when first asked for, and mapped, not read."""

    folder: Path

    def check(self) -> None:
        """Opens the rows and the vectors.

        Raises:
            InputError: if they are missing, damaged, or not of one another.
        """
        if len(self.rows) != len(self.vectors):
            raise InputError(f"{self.folder}: damaged ({len(self.vectors)} embeddings for {len(self.rows)} rows)")

    @cached_property
    def rows(self) -> pd.DataFrame:
        """image, uri, product, category."""
        path = self.folder / ROWS
        try:
            return pq.ParquetFile(path).read(list(COLUMNS)).cast(TEXTS).to_pandas()
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise InputError(f"{path}: damaged ({' '.join(str(error).split())})") from error

    @cached_property
    def columns(self) -> tuple[np.ndarray, ...]:
        """The rows' columns one by one, of which single values are had at once."""
        return tuple(self.rows[name].to_numpy(dtype=object) for name in COLUMNS)

    @cached_property
    def vectors(self) -> np.ndarray:
        """(n, dim) float32."""
        return mapped(self.folder / VECTORS, np.float32, (-1, -1))

    @cached_property
    def codes(self) -> Codes:
        """Of the vectors."""
        count, dim = self.vectors.shape
        code = mapped(self.folder / "code.npy", np.int8, (count, dim))
        scale, slack = (mapped(self.folder / f"{name}.npy", np.float32, (count,)) for name in ("scale", "slack"))
        return Codes(code, np.array(scale), np.array(slack))

    @cached_property
    def product_codes(self) -> approximate.Parts | None:
        """For approximate search; None in a small segment."""
        path = self.folder / PRODUCT_CODES
        return approximate.load(path, *self.vectors.shape) if path.exists() else None

    def slice_of(self, category: str) -> slice:
        """The rows at or below a node of the category tree; all for ""."""
        if not category:
            return slice(0, len(self.rows))
        first, last = np.searchsorted(self._keys, [f"{category}/", f"{category}0"])  # "0" comes right after "/"
        return slice(int(first), int(last))

    @cached_property
    def _keys(self) -> np.ndarray:
        return (self.rows["category"] + "/").to_numpy(dtype=object)


def mapped(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    """An array on disk, mapped into memory; -1 in `shape` is any length.

    Raises:
        InputError: if it is missing, damaged or of another kind.
    """
    try:
        # Copy on write: torch takes no read-only memory, and what is mapped must not change.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError, OverflowError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged ({' '.join(str(error).split())})") from error
    fits = isinstance(array, np.ndarray) and array.dtype == kind and array.ndim == len(shape)
    if not fits or any(wanted not in (-1, length) for wanted, length in zip(shape, array.shape, strict=True)):
        raise InputError(f"{path}: damaged (not the array that belongs there)")
    mapped_array: np.ndarray = array
    return mapped_array
