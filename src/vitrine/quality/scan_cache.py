"""What earlier scans found, by a photo's content: one SQLite file on the node, which may be deleted at any time."""

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class ScanCache:
    """Rows by the SHA-256 of a photo's bytes.

    Several processes may read and write it at once. A cache that cannot be opened, read or written (a full or read-only
    disk, a damaged file) is as good as none.

    Args:
        path: The file; its folder is made.
        columns: Of a row, after the key. Files of other columns must have another name.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._names = ", ".join(f'"{column}"' for column in columns)
        self._insert = f"INSERT OR IGNORE INTO scans VALUES (?{', ?' * len(columns)})"
        self._file: sqlite3.Connection | None = None
        with contextlib.suppress(OSError, sqlite3.Error):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = sqlite3.connect(path, timeout=30, isolation_level=None)
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("PRAGMA synchronous = OFF")  # a lost row is scanned again
            file.execute(f"CREATE TABLE IF NOT EXISTS scans (sha256 TEXT PRIMARY KEY, {self._names})")
            self._file = file

    def known(self, keys: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """The rows of those keys that are known."""
        if self._file is None or not keys:
            return {}
        try:
            places = ", ".join("?" * len(keys))
            rows = self._file.execute(f"SELECT sha256, {self._names} FROM scans WHERE sha256 IN ({places})", keys)
            return {row[0]: row[1:] for row in rows}
        except sqlite3.Error:
            return {}

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Adds rows, each the key and then its values."""
        if self._file is None:
            return
        with contextlib.suppress(sqlite3.Error):
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany(self._insert, rows)
            self._file.execute("COMMIT")
