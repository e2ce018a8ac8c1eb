"""Names of what a step makes, by which work that was done already is known again."""

import hashlib
from pathlib import Path

from vitrine import __version__
from vitrine.catalog.table import TABLE_NAMES


def rows_digest(table: Path) -> str:
    """SHA-256 of a table's file, in hexadecimal; its rows name their photos by content."""
    return hashlib.sha256((table / TABLE_NAMES[0]).read_bytes()).hexdigest()


def work_key(*made_of: object) -> str:
    """16 hexadecimal digits for what this version of the code makes of these, by their text."""
    text = " ".join(map(str, (__version__, *made_of)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
