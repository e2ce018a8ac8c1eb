"""What decides whether a step is done again: the state of the data, and its table, kept once."""

import os
import shutil

import pandas as pd
import pytest
from PIL import Image
from tracked import store

from vitrine import files
from vitrine.catalog import Catalog, read_catalog, write_catalog
from vitrine.errors import InputError
from vitrine.steps.data import data_state, keep_table, lineage
from vitrine.steps.validation import validate


def test_the_state_stays_while_nothing_changes(catalog):
    before = data_state(str(catalog), "")
    assert len(before) == 16
    (catalog / "notes.txt").write_text("not a photo")
    (catalog / "cleaned").mkdir()
    for path in catalog.rglob("*"):  # reading changes nothing
        if path.is_file():
            path.read_bytes()
    assert data_state(str(catalog), "") == before


def touch(catalog):
    os.utime(catalog / "images" / "1.png", ns=(1, 1))


def replace(catalog):
    Image.new("RGB", (9, 9)).save(catalog / "images" / "1.png")


def remove(catalog):
    (catalog / "images" / "1.png").unlink()


def relabel(catalog):
    table = pd.read_parquet(catalog / "catalog.parquet")
    table.loc[0, "attr:colour"] = "rot"  # as long as before
    table.to_parquet(catalog / "catalog.parquet", index=False)


def shorten(catalog):
    pd.read_parquet(catalog / "catalog.parquet")[:2].to_parquet(catalog / "catalog.parquet", index=False)


@pytest.mark.parametrize("change", [touch, replace, remove, relabel, shorten])
def test_the_state_changes_with_a_photo_or_the_table(catalog, change):
    before = data_state(str(catalog), "")
    change(catalog)
    assert data_state(str(catalog), "") != before


def test_the_state_of_a_derived_table_follows_its_rows(catalog, tmp_path):
    """It keeps the data version of the catalog it was made from, and its photos lie elsewhere."""
    source = read_catalog(catalog)
    write_catalog(source, tmp_path / "derived")
    before = data_state(str(tmp_path / "derived"), "")
    write_catalog(source.with_table(source.table[:2]), tmp_path / "derived")
    assert read_catalog(tmp_path / "derived").data_version == source.data_version
    after = data_state(str(tmp_path / "derived"), "")
    assert after != before
    touch(catalog)
    assert data_state(str(tmp_path / "derived"), "") != after


def test_unusable_rows_have_a_state_too(catalog):
    table = pd.read_parquet(catalog / "catalog.parquet")
    table["image"] = ["../x.png", "a\0b", "images/" + "x" * 300]
    table.to_parquet(catalog / "catalog.parquet", index=False)
    assert len(data_state(str(catalog), "")) == 16


def test_the_state_on_s3(catalog, bucket):
    write_catalog(read_catalog(catalog), f"{bucket}/data")
    before = data_state(f"{bucket}/data", "")
    assert data_state(f"{bucket}/data/", "") == before
    relabel(catalog)
    write_catalog(read_catalog(catalog), f"{bucket}/data")
    assert data_state(f"{bucket}/data", "") != before


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("change", ["overwritten", "deleted"])
def test_the_state_on_s3_follows_the_photos(catalog, bucket, elsewhere, change):
    source = read_catalog(catalog)
    if elsewhere:
        source = source.with_table(source.table.assign(image=f"{bucket}/photos/" + source.table["image"]))
    write_catalog(Catalog("", source.table), f"{bucket}/data")
    photos = f"{bucket}/{'photos' if elsewhere else 'data'}/images"
    for i in range(3):
        files.write_bytes(f"{photos}/{i}.png", b"as long as before")
    before = data_state(f"{bucket}/data", "")
    files.write_bytes(f"{photos}/note.txt", b"not of the catalog")
    assert data_state(f"{bucket}/data", "") == before
    if change == "overwritten":
        files.write_bytes(f"{photos}/1.png", b"as long as BEFORE")
    else:
        files.delete(f"{photos}/1.png")
    assert data_state(f"{bucket}/data", "") != before


def test_photos_that_may_not_be_listed_are_never_taken_for_known(catalog, bucket, caplog):
    table = pd.DataFrame({"image": ["s3://no-such-bucket/a.jpg"]})
    write_catalog(Catalog("", table), f"{bucket}/data")
    states = {data_state(f"{bucket}/data", "") for _ in range(2)}
    assert len(states) == 2
    assert "s3://no-such-bucket: no such bucket (listing it); whether photos there were replaced" in caplog.text


def test_the_state_of_tracked_data_is_its_hash(tmp_path):
    asked, recorded = f"{'0' * 32}.dir", f"{'1' * 32}.dir"
    assert data_state("s3://never/read.dvc", asked) == asked
    assert data_state("s3://never/read.dvc", asked.removesuffix(".dir")) == asked
    tracked = tmp_path / "data.dvc"
    tracked.write_text(f"outs: [{{md5: {recorded}, hash: md5, path: data}}]")
    assert data_state(str(tracked), "") == recorded
    with pytest.raises(InputError, match="revision 'v1': not the hash of a folder"):
        data_state(str(tracked), "v1")
    with pytest.raises(InputError, match=r"none\.dvc: cannot be read"):
        data_state(str(tmp_path / "none.dvc"), "")


def test_a_folder_that_changed_has_another_state_though_one_revision_is_asked_for(catalog):
    before = data_state(str(catalog), "0" * 32)
    replace(catalog)
    assert data_state(str(catalog), "0" * 32) != before


def test_a_step_on_another_node_fetches_the_photos_itself(catalog, tmp_path, monkeypatch):
    before = validate(catalog, tmp_path / "before")
    version = store(catalog, tmp_path / "remote")
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "one"))
    pages = str(tmp_path / "table"), str(tmp_path / "run")
    keep_table("s3://not/read.dvc", version, str(tmp_path / "remote"), *pages)
    shutil.rmtree(catalog)
    shutil.rmtree(tmp_path / "one")
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "other"))
    assert validate(tmp_path / "table", tmp_path / "checked") == before
    photos = tmp_path / "other/data" / version / "images"
    assert sorted(path.name for path in photos.iterdir()) == ["0.png", "1.png", "2.png"]
    assert lineage(tmp_path / "table") == {"data_version": version}
    head = (tmp_path / "checked/report.html").read_text().partition("</header>")[0]
    assert "s3://not/read.dvc" in head
    assert str(tmp_path) not in head  # where this node keeps them


# The table of a state, kept once.


def keep(catalog, tmp_path, revision="", anew=False):
    """Keeps the table of a catalog as it is, as a run does; the run's note and the version."""
    state = data_state(str(catalog), revision)
    pages = str(tmp_path / "tables" / state), str(tmp_path / "run")
    keep_table(str(catalog), revision, "", *pages, anew=anew)
    return files.read_json(tmp_path / "run/fetch.json"), read_catalog(pages[0]).data_version


@pytest.fixture
def read(monkeypatch):
    """The photos that were read whole."""
    seen = []
    monkeypatch.setattr("vitrine.catalog.version._digest", lambda uri: seen.append(uri) or "x")
    return seen


def test_photos_whose_table_was_kept_are_not_read_again(catalog, tmp_path, read, capsys):
    first = keep(catalog, tmp_path)
    said = capsys.readouterr().out
    assert (len(read), "» Fetch: 3 rows of " in said) == (3, True)
    assert keep(catalog, tmp_path) == first
    assert capsys.readouterr().out == said
    assert len(read) == 3
    assert keep(catalog, tmp_path, anew=True) == first
    assert len(read) == 6


@pytest.mark.parametrize("change", [touch, replace, relabel])
def test_photos_are_read_where_anything_changed(catalog, tmp_path, read, change):
    keep(catalog, tmp_path)
    change(catalog)
    keep(catalog, tmp_path)
    assert len(read) == 6


def test_a_kept_table_is_not_used_where_its_folder_is_called_another_version_by_now(catalog, tmp_path, read):
    keep(catalog, tmp_path)
    with pytest.raises(InputError, match="is at data-"):
        keep(catalog, tmp_path, "0" * 32)
    version = store(catalog, tmp_path / "remote")
    (tmp_path / "catalog.dvc").write_text(f"outs: [{{md5: {version}, hash: md5, path: catalog}}]")
    read.clear()
    assert keep(catalog, tmp_path)[1] == version
    assert keep(catalog, tmp_path)[1] == version
    assert not read  # by the hashes that DVC goes by


def test_a_table_that_was_half_kept_is_kept_anew(catalog, tmp_path, read):
    keep(catalog, tmp_path)
    for name in ("fetch.json", "catalog.parquet"):
        next((tmp_path / "tables").glob(f"*/{name}")).unlink()
        assert keep(catalog, tmp_path)[1].startswith("data-")
    assert len(read) == 9
