"""Inputs that once came out wrong, from beside the repository: names, endings, tables and empty words (`shared/cases`).

The others of that folder are kept with the tests of what they show: tests/catalog/colour_cases, tests/quality/cases.
"""

import os
from pathlib import Path

import pytest
from vitrine_command import vitrine as started

from vitrine.catalog import read_catalog
from vitrine.catalog.photos import open_photo

pytestmark = pytest.mark.slow  # a process each


@pytest.fixture(scope="module")
def cases() -> Path:
    folder = Path(os.environ.get("VITRINE_DATASETS", "")).parent / "cases"
    if not (folder / "endings").is_dir():
        said = f"{folder}: no folder of cases beside VITRINE_DATASETS"
        if os.environ.get("CI") == "true":
            pytest.fail(said)
        pytest.skip(said)
    return folder


def vitrine(*arguments: object, code: int = 0) -> str:
    ended = started(Path(str(arguments[2])).parent, *arguments)
    assert ended.returncode == code, ended.stderr
    return ended.stdout + ended.stderr


def from_table(cases: Path, name: str, out: Path, *more: str) -> list[dict[str, str]]:
    vitrine("ingest", cases / "tables", out, "--format", "table", "--map", cases / f"tables/{name}.yaml", *more)
    return read_catalog(out).table.to_dict("records")


def test_photos_of_every_ending_are_read(cases, tmp_path):
    vitrine("ingest", cases / "endings", tmp_path / "out", "--format", "folder")
    catalog = read_catalog(tmp_path / "out")
    names = ["a.jpg", "b.jfif", "c.jpe", "d.heic", "e.avif"]
    assert catalog.table["image"].tolist() == [f"shirts/{name}" for name in names]
    assert all(min(open_photo(catalog.uri(image)).size) > 16 for image in catalog.table["image"])


def test_codes_in_a_column_of_floats_keep_their_digits(cases, tmp_path):
    rows = from_table(cases, "ean", tmp_path / "out")
    assert [row["product"] for row in rows] == ["4006381333931", "4006381333932", "4006381333933", ""]


def test_a_list_that_nobody_asked_for_refuses_no_table(cases, tmp_path):
    assert [row["image"] for row in from_table(cases, "list", tmp_path / "out")] == [f"{i}.jpg" for i in range(4)]


def test_a_name_in_the_other_unicode_form_is_found(cases, tmp_path):
    images = [row["image"] for row in from_table(cases, "nfc", tmp_path / "out")]
    assert len(images) == 2
    assert all((cases / "tables" / image).exists() for image in images)


def test_bad_lines_are_named_and_left_out_when_asked(cases, tmp_path):
    given = ["ingest", cases / "tables", tmp_path / "out", "--format", "table", "--map", cases / "tables/styles.yaml"]
    assert "line 3" in vitrine(*given, code=2)
    assert "1 of 3 rows" in vitrine(*given, "--skip-bad-lines", code=2)
    rows = from_table(cases, "styles", tmp_path / "out", "--skip-bad-lines", "--max-left-out", "0.5")
    assert [row["image"] for row in rows] == ["0.jpg", "2.jpg"]


def test_an_empty_word_is_no_product(cases, tmp_path):
    vitrine("split", cases / "product_na", tmp_path / "out")
    table = read_catalog(tmp_path / "out").table
    assert (table["product"] == "N/A").sum() == 10
    assert table.loc[table["product"] == "N/A", "split"].nunique() > 1  # each row its own
