"""Commands about catalogs, on a small rendered one."""

import shutil

import pytest
from commands import in_, says

from vitrine.catalog import read_catalog

QUALITY = ["great_expectations.html", "left_out.csv", "report.html", "results.json", "sample.parquet", "summary.json"]


def test_synth_is_the_same_for_the_same_seed(vitrine, home, tmp_path):
    assert vitrine("synth", tmp_path / "again", "--listings", "24").code == 0
    assert (tmp_path / "again" / "catalog.parquet").read_bytes() == (home / "data" / "catalog.parquet").read_bytes()


def test_ingest_of_folders(vitrine, home, tmp_path):
    for i, photo in enumerate(sorted((home / "data" / "images").iterdir())[:4]):
        (tmp_path / "photos" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, tmp_path / "photos" / "ab"[i % 2])
    done = vitrine("ingest", tmp_path / "photos", tmp_path / "catalog", "--format", "folder")
    assert done.code == 0, done.err
    assert sorted(read_catalog(tmp_path / "catalog").table["category"].unique()) == ["a", "b"]


def test_validate_answers_yes_and_no(vitrine, home, broken, tmp_path):
    good = vitrine("validate", home / "data", "--report", tmp_path / "good")
    assert (good.code, in_(tmp_path / "good")) == (0, QUALITY)
    assert good.out.splitlines()[-1].startswith("passed")
    folder = broken(lambda table: table.assign(split="tset"))
    bad = vitrine("validate", folder, "--report", tmp_path / "bad")
    assert (bad.code, in_(tmp_path / "bad")) == (1, QUALITY)
    assert bad.out.splitlines()[-1].startswith("failed")
    assert bad.err == ""


def test_clean_drops_a_truncated_photo_with_its_reason(vitrine, broken, tmp_path):
    folder = broken()
    victim = folder / read_catalog(folder).table["image"][3]
    victim.write_bytes(victim.read_bytes()[:700])
    done = vitrine("clean", folder, tmp_path / "out", "--min-class-count", "1")
    assert done.code == 0, done.err
    dropped = read_catalog(tmp_path / "out" / "dropped.parquet").table
    row = dropped[dropped["image"] == f"images/{victim.name}"].iloc[0]
    assert "cannot be decoded" in row["reason"]
    assert victim.name not in " ".join(read_catalog(tmp_path / "out").table["image"])


def test_split_gives_every_row_a_split_but_for_the_gallery(home):
    table = read_catalog(home / "parted").table
    assert (table["split"].eq("") == table["domain"].eq("shop")).all()
    table = table[table["split"] != ""]
    assert set(table["split"]) == {"train", "validation", "test"}
    assert (table.groupby("listing")["split"].nunique() == 1).all()


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("synth", ["vitrine synth: Missing argument 'OUT'"]),
        ("synth x --listings many", ["vitrine synth", "'many' is not a valid integer"]),
        ("synth x --listings 0", ["'--listings': 0 is not in the range"]),
        ("synth DATA", ["exists already"]),
        ("ingest DATA x --format foldr", ["'foldr'", "did you mean 'folder'"]),
        ("ingest DATA x", ["Missing option '--format'"]),
        ("ingest EMPTY x --format folder", ["EMPTY"]),
        ("ingest DATA x --format table --map nope.yaml", ["nope.yaml"]),
        ("validate nope --report x", ["nope: no such folder"]),
        ("validate EMPTY --report x", ["holds neither catalog.parquet nor catalog.csv"]),
        ("validate DATA --report DATA", ["exists already"]),
        ("validate DATA --report x --rules nope.yaml", ["nope.yaml"]),
        ("validate ~nobody.by.that.name/x --report x", ["~nobody.by.that.name/x: no such home folder"]),
        ("clean DATA DATA", ["exists already"]),
        ("clean DATA x --min-class-count -1", ["'--min-class-count': -1 is not in the range"]),
        ("clean DATA x --drop-views-below -1", ["'--drop-views-below': -1 is not in the range"]),
        ("split DATA x --ratios 1,2", ["ratios 1,2", "three shares"]),
        ("split DATA x --ratios 1,2,3", ["ratios 1,2,3", "sum to 6"]),
        ("split DATA x --ratios a,b,c", ["ratios a,b,c"]),
        ("split DATA x --ratios nan,0,1", ["ratios nan,0,1"]),
    ],
)
def test_unusable_arguments(refused, command, parts):
    refused(command, *parts)


@pytest.mark.parametrize("data", [b"", b"PAR1 nonsense PAR1", b"\x00" * 100])
def test_a_table_that_is_none(vitrine, tmp_path, data):
    (tmp_path / "catalog.parquet").write_bytes(data)
    says(vitrine("validate", tmp_path, "--report", tmp_path / "out"), "catalog.parquet: cannot be read")
    assert in_(tmp_path) == ["catalog.parquet"]
