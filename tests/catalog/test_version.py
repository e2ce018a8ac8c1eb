"""Versions of data are of tables, labels and photos, as they are read."""

import os
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrine.catalog import Catalog, read_catalog, versioned, write_catalog
from vitrine.catalog import table as tables


def folder(path, second=b"two"):
    (path / "images").mkdir(parents=True)
    (path / "images/a.jpg").write_bytes(b"one")
    (path / "images/b.jpg").write_bytes(second)
    (path / "catalog.csv").write_text("image,category\nimages/a.jpg,A\nimages/b.jpg,B\nimages/gone.jpg,B\n")
    return path


def version(path):
    return versioned(read_catalog(path, check_rows=False)).data_version


def test_a_replaced_photo_is_another_version_and_a_copied_one_is_not(tmp_path):
    first = version(folder(tmp_path / "one"))
    assert first.startswith("data-")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    os.utime(tmp_path / "two/images/a.jpg", (1, 1))
    assert version(tmp_path / "two") == first
    assert version(folder(tmp_path / "three", second=b"owt")) != first  # as long as before
    (tmp_path / "two/images/gone.jpg").write_bytes(b"")
    assert version(tmp_path / "two") != first


def test_what_is_no_photo_is_never_read_to_its_end(tmp_path):
    catalog = folder(tmp_path)
    with (catalog / "images/sparse.jpg").open("wb") as file:
        file.truncate(200 << 30)
    os.mkfifo(catalog / "images/pipe.jpg")
    (catalog / "images/zero.jpg").symlink_to("/dev/zero")
    with (catalog / "catalog.csv").open("a") as file:
        file.writelines(f"images/{name}.jpg,B\n" for name in ("sparse", "pipe", "zero"))
    assert version(catalog) == version(catalog)


def test_a_relabelled_table_loses_the_revision_that_it_was_made_from(tmp_path, caplog):
    table = pd.DataFrame({"image": ["a.jpg", "b.jpg"], "category": ["A", "B"], "price": [1.5, None]})
    write_catalog(Catalog(str(tmp_path), table, "abc.dir"), tmp_path / "made")
    assert version(tmp_path / "made") == "abc.dir"
    arrow = pq.read_table(tmp_path / "made/catalog.parquet")
    pq.write_table(arrow, tmp_path / "made/catalog.parquet", compression="gzip")  # the same rows
    assert version(tmp_path / "made") == "abc.dir"
    relabelled = arrow.set_column(1, "category", pa.array(["A", "A"]))  # keeps the metadata
    pq.write_table(relabelled, tmp_path / "made/catalog.parquet")
    assert version(tmp_path / "made").startswith("data-")
    assert "its rows were changed after they were made of data abc.dir" in caplog.text


def test_numbers_that_are_written_as_text_are_no_change(tmp_path):
    table = pd.DataFrame({"image": ["a.jpg", "b.jpg"], "product": [4006381333931.0, None], "attr:x": [["a", "b"], []]})
    write_catalog(Catalog(str(tmp_path), table, "abc.dir"), tmp_path / "made")
    assert read_catalog(tmp_path / "made").data_version == "abc.dir"


@pytest.mark.parametrize(
    ("column", "values", "changed"),
    [
        ("item", ["a", "b"], ["a", "a"]),
        ("item", [7.0, None], [7.0, 8.0]),
        ("sha256", ["1" * 64, "2" * 64], ["2" * 64, "1" * 64]),
        ("duplicate_group", ["1", "2"], ["1", "1"]),
    ],
)
def test_what_is_read_beyond_the_format_belongs_to_the_revision(tmp_path, column, values, changed):
    table = pd.DataFrame({"image": ["a.jpg", "b.jpg"], column: values, "note": ["x", "y"]})
    write_catalog(Catalog(str(tmp_path), table, "abc.dir"), tmp_path / "made")
    assert version(tmp_path / "made") == "abc.dir"
    arrow = pq.read_table(tmp_path / "made/catalog.parquet")
    place = arrow.column_names.index(column)
    pq.write_table(arrow.set_column(place, column, pa.array(changed)), tmp_path / "made/catalog.parquet")
    assert version(tmp_path / "made").startswith("data-")
    pq.write_table(arrow.set_column(2, "note", pa.array(["x", "z"])), tmp_path / "made/catalog.parquet")
    assert version(tmp_path / "made") == "abc.dir"  # nothing reads it


def test_tables_that_recorded_the_formats_own_columns_alone_keep_their_revision(tmp_path, monkeypatch):
    table = pd.DataFrame({"image": ["a.jpg", "b.jpg"], "item": ["a", "b"]})
    with monkeypatch.context() as earlier:
        earlier.setattr(tables, "OWN", ())
        write_catalog(Catalog(str(tmp_path), table, "abc.dir"), tmp_path / "made")
    assert version(tmp_path / "made") == "abc.dir"
