"""Every known data set goes from its publisher's files through the command line, also from S3."""

import pandas as pd
import publishers
import pytest

from vitrine import configs, files
from vitrine.catalog import read_catalog
from vitrine.catalog.datasets import MAPPED, READERS, UNPACKERS
from vitrine.catalog.ingest import ingest


def test_none_is_forgotten_here():
    assert {*MAPPED, *READERS, *UNPACKERS} - {"clothing", "fashion", "grocery"} == set(publishers.ALL)


@pytest.mark.parametrize("name", [*MAPPED, *READERS, *UNPACKERS])
def test_the_readme_says_what_must_lie_where(name):
    readme = configs.folder().joinpath("ingest/README.md").read_text(encoding="utf-8")
    assert f"--format {name}" in readme


@pytest.mark.slow
@pytest.mark.parametrize("name", publishers.ALL)
def test_ingest_validate_clean(root, tmp_path, vitrine, name):
    publishers.ALL[name](root)
    said = vitrine("ingest", root, tmp_path / "catalog", "--format", name, "--max-left-out", "1")
    assert said.code == 0, said.err
    assert said.out.startswith("Rows: ")
    said = vitrine("validate", tmp_path / "catalog", "--report", tmp_path / "report")
    assert said.code == 0, said.out
    said = vitrine("clean", tmp_path / "catalog", tmp_path / "clean", "--min-class-count", "1")
    assert said.code == 0, said.err
    before, after = read_catalog(tmp_path / "catalog").table, read_catalog(tmp_path / "clean").table
    assert len(after) == len(before)
    assert set(before.columns) <= set(after.columns)


@pytest.mark.slow
@pytest.mark.parametrize("name", publishers.ALL)
def test_from_s3_it_is_the_same_table(root, tmp_path, bucket, name):
    publishers.ALL[name](root)
    files.copy_folder(root, f"{bucket}/raw")
    here, there = ingest(root, tmp_path / "here", name), ingest(f"{bucket}/raw/", tmp_path / "there", name)
    assert here == there
    local, remote = read_catalog(tmp_path / "here"), read_catalog(tmp_path / "there")
    pd.testing.assert_frame_equal(local.table, remote.table)
    if name not in UNPACKERS:
        assert remote.root == f"{bucket}/raw"
        assert files.exists(remote.uri(remote.table["image"][0]))


@pytest.mark.parametrize("name", publishers.ALL)
def test_an_unusable_source_ends_in_one_line_and_exit_code_2(root, tmp_path, vitrine, name):
    said = vitrine("ingest", root, tmp_path / "catalog", "--format", name)
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert str(root) in said.err
    assert not (tmp_path / "catalog").exists()
