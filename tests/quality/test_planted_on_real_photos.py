"""Faults planted into real photos: each is found for the right reason, and no real row is lost to them."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrine.catalog import Catalog, read_catalog
from vitrine.catalog.ingest import ingest

from .planting import KINDS, Planted, examine, plant

SETS = ("clothing", "grocery", "fashion")
# Crops of 2 to 4 % a side are found mostly, not always: docs/results/quality-planted.md has the shares.
PARTLY = {"cropped_copy": 2}
SLOW_KINDS = ("bomb", "large_photo", "truncated")
QUICK = {
    "clothing": [kind for kind in KINDS if kind not in SLOW_KINDS],
    "grocery": ["exact_copy", "reencoded_copy", "slightly_cropped_copy", "lying_copy", "leak", "truncated"],
    "fashion": ["reencoded_copy", "resized_copy", "copies_that_stay", "colours_that_stay", "grey", "contradiction"],
}


@pytest.fixture(scope="module")
def catalogs(datasets, tmp_path_factory) -> dict[str, Catalog]:
    folder = tmp_path_factory.mktemp("ingested")
    for name in SETS:
        ingest(datasets / name, folder / name, name)
    return {name: read_catalog(folder / name) for name in SETS}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))


def held_to_the_truth(planted: Planted, work: Path, min_class_count: int = 20) -> None:
    outcome = examine(planted, work, min_class_count)
    assert outcome.lost.empty, outcome.lost.to_string()
    truth = outcome.truth
    wrong = truth[~truth[["found", "right", "labels", "kept_together"]].all(axis=1)]
    counts = wrong["kind"].value_counts()
    missed = {kind: count for kind, count in counts.items() if count > PARTLY.get(kind, 0)}
    shown = wrong[["kind", "detail", "reported", "hits", "dropped", "drop"]]
    assert not missed, shown.to_string()


@pytest.mark.parametrize("name", SETS)
def test_planted_faults_are_found(catalogs, tmp_path, name):
    rows = 150 if name == "clothing" else 60
    held_to_the_truth(plant(catalogs[name], tmp_path / "planted", 0, QUICK[name], rows), tmp_path, min_class_count=2)


# Through the command line.


def vitrine(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vitrine.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def wild_tables() -> dict[str, bytes]:
    """Tables that no program should choke on, as files."""
    return {
        "latin-1.csv": "image,description\nreal.jpg,Größe\n".encode("latin-1"),
        "surrogate.csv": b"image,description\nreal.jpg,\xed\xa0\x80\n",
        "zero.csv": b"image,description\nreal.jpg,a\0b\n",
        "empty.csv": b"",
        "header.csv": b"image,category\n",
        "twice.csv": b"image,image\na.jpg,b.jpg\n",
        "ragged.csv": b"image,category\na.jpg,A,B,C\n",
        "no-image.csv": b"photo,category\na.jpg,A\n",
        "quote.csv": b'image,description\na.jpg,"never closed\n',
        "jpeg.csv": b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20,
        "text.parquet": b"image\na.jpg\n",
        "cut.parquet": parquet({"image": ["a.jpg"] * 100})[:-40],
        "bytes.parquet": parquet({"image": ["a.jpg"], "description": not_utf8()}),
        "numbers.parquet": parquet({"image": [["a.jpg", "b.jpg"]]}),
        "none.parquet": parquet({"image": pa.array([], type=pa.string())}),
    }


def not_utf8() -> pa.Array:
    """A text column that holds a lone surrogate."""
    text = b"\xed\xa0\x80"
    return pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\3\0\0\0"), pa.py_buffer(text))


def parquet(columns: dict[str, object]) -> bytes:
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue().to_pybytes()


@pytest.mark.parametrize("name", wild_tables())
def test_unusable_tables_end_with_one_line_and_nothing_written(tmp_path, name, capsys, monkeypatch):
    from vitrine import cli

    table = tmp_path / name
    table.write_bytes(wild_tables()[name])
    out = tmp_path / "out"
    for arguments in (["validate", table, "--report", out], ["clean", table, out], ["split", table, out]):
        monkeypatch.setattr(sys, "argv", ["vitrine", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        error = capsys.readouterr().err
        assert (ended.value.code, error.count("\n")) == (2, 1), error
        assert name in error
        assert not out.exists()
