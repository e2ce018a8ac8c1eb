"""Data sets as their publishers ship them, ingested."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vitrine.catalog import read_catalog
from vitrine.catalog.ingest import Ingested, ingest
from vitrine.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a data set is written."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def ingested(root: Path, tmp_path: Path) -> Callable[[str], tuple[Ingested, dict[str, dict[str, Any]]]]:
    """Ingests it: the account, and the row of each photo (the last of several)."""

    def run(name: str) -> tuple[Ingested, dict[str, dict[str, Any]]]:
        account = ingest(root, tmp_path / "out", name)
        table = read_catalog(tmp_path / "out").table
        assert account.rows == len(table)
        return account, table.drop_duplicates("image", keep="last").set_index("image").to_dict("index")

    return run


@pytest.fixture
def table(root: Path, tmp_path: Path) -> Callable[[str], pd.DataFrame]:
    """Ingests it: the catalog's table."""

    def run(name: str) -> pd.DataFrame:
        ingest(root, tmp_path / "out", name)
        return read_catalog(tmp_path / "out").table

    return run


@pytest.fixture
def refused(root: Path, tmp_path: Path) -> Callable[..., None]:
    """Ingests it, which must end in one line that holds these parts, and leave nothing behind."""

    def run(name: str, *parts: str) -> None:
        with pytest.raises(InputError) as caught:
            ingest(root, tmp_path / "out", name)
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        for part in parts:
            assert part in message
        assert [path.name for path in tmp_path.iterdir()] == ["source"]

    return run


@pytest.fixture
def replace(root: Path) -> Callable[[str, str, str], None]:
    """Changes some text of one of its files."""

    def run(name: str, old: str, new: str) -> None:
        path = root / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return run
