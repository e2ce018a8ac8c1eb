"""What decides whether a step is done again, and what a catalog allows to be trained."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from killing import kills
from PIL import Image
from tracked import store

from vitrine import files, steps
from vitrine.catalog import Catalog, read_catalog, write_catalog
from vitrine.errors import InputError
from vitrine.files import read_bytes
from vitrine.journal import summarise


@pytest.fixture
def catalog(tmp_path):
    folder = tmp_path / "catalog"
    (folder / "images").mkdir(parents=True)
    rows = [{"image": f"images/{i}.png", "attr:colour": "red"} for i in range(3)]
    for i, row in enumerate(rows):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(folder / row["image"])
    pd.DataFrame(rows).to_parquet(folder / "catalog.parquet", index=False)
    return folder


# The state of the data.


def test_the_state_stays_while_nothing_changes(catalog):
    before = steps.data_state(str(catalog), "")
    assert len(before) == 16
    (catalog / "notes.txt").write_text("not a photo")
    (catalog / "cleaned").mkdir()
    for path in catalog.rglob("*"):  # reading changes nothing
        if path.is_file():
            path.read_bytes()
    assert steps.data_state(str(catalog), "") == before


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
    before = steps.data_state(str(catalog), "")
    change(catalog)
    assert steps.data_state(str(catalog), "") != before


def test_the_state_of_a_derived_table_follows_its_rows(catalog, tmp_path):
    """It keeps the data version of the catalog it was made from, and its photos lie elsewhere."""
    source = read_catalog(catalog)
    write_catalog(source, tmp_path / "derived")
    before = steps.data_state(str(tmp_path / "derived"), "")
    write_catalog(source.with_table(source.table[:2]), tmp_path / "derived")
    assert read_catalog(tmp_path / "derived").data_version == source.data_version
    after = steps.data_state(str(tmp_path / "derived"), "")
    assert after != before
    touch(catalog)
    assert steps.data_state(str(tmp_path / "derived"), "") != after


def test_unusable_rows_have_a_state_too(catalog):
    table = pd.read_parquet(catalog / "catalog.parquet")
    table["image"] = ["../x.png", "a\0b", "images/" + "x" * 300]
    table.to_parquet(catalog / "catalog.parquet", index=False)
    assert len(steps.data_state(str(catalog), "")) == 16


def test_the_state_on_s3(catalog, bucket):
    write_catalog(read_catalog(catalog), f"{bucket}/data")
    before = steps.data_state(f"{bucket}/data", "")
    assert steps.data_state(f"{bucket}/data/", "") == before
    relabel(catalog)
    write_catalog(read_catalog(catalog), f"{bucket}/data")
    assert steps.data_state(f"{bucket}/data", "") != before


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
    before = steps.data_state(f"{bucket}/data", "")
    files.write_bytes(f"{photos}/note.txt", b"not of the catalog")
    assert steps.data_state(f"{bucket}/data", "") == before
    if change == "overwritten":
        files.write_bytes(f"{photos}/1.png", b"as long as BEFORE")
    else:
        files.delete(f"{photos}/1.png")
    assert steps.data_state(f"{bucket}/data", "") != before


def test_photos_that_may_not_be_listed_are_never_taken_for_known(catalog, bucket, caplog):
    table = pd.DataFrame({"image": ["s3://no-such-bucket/a.jpg"]})
    write_catalog(Catalog("", table), f"{bucket}/data")
    states = {steps.data_state(f"{bucket}/data", "") for _ in range(2)}
    assert len(states) == 2
    assert "s3://no-such-bucket: no such bucket (listing it); whether photos there were replaced" in caplog.text


def test_the_state_of_tracked_data_is_its_hash(tmp_path):
    asked, recorded = f"{'0' * 32}.dir", f"{'1' * 32}.dir"
    assert steps.data_state("s3://never/read.dvc", asked) == asked
    assert steps.data_state("s3://never/read.dvc", asked.removesuffix(".dir")) == asked
    tracked = tmp_path / "data.dvc"
    tracked.write_text(f"outs: [{{md5: {recorded}, hash: md5, path: data}}]")
    assert steps.data_state(str(tracked), "") == recorded
    with pytest.raises(InputError, match="revision 'v1': not the hash of a folder"):
        steps.data_state(str(tracked), "v1")
    with pytest.raises(InputError, match=r"none\.dvc: cannot be read"):
        steps.data_state(str(tmp_path / "none.dvc"), "")


def test_a_step_on_another_node_fetches_the_photos_itself(catalog, tmp_path, monkeypatch):
    before = steps.validate(catalog, tmp_path / "before")
    version = store(catalog, tmp_path / "remote")
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "one"))
    pages = str(tmp_path / "table"), str(tmp_path / "run")
    steps.keep_table("s3://not/read.dvc", version, str(tmp_path / "remote"), *pages)
    shutil.rmtree(catalog)
    shutil.rmtree(tmp_path / "one")
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "other"))
    assert steps.validate(tmp_path / "table", tmp_path / "checked") == before
    photos = tmp_path / "other/data" / version / "images"
    assert sorted(path.name for path in photos.iterdir()) == ["0.png", "1.png", "2.png"]
    assert steps.lineage(tmp_path / "table") == {"data_version": version}
    head = (tmp_path / "checked/report.html").read_text().partition("</header>")[0]
    assert "s3://not/read.dvc" in head
    assert str(tmp_path) not in head  # where this node keeps them


def test_settings_may_be_text_or_doubles_as_kubeflow_hands_them_over():
    steps.check_settings("attributes", "student", {"epochs": "7.0", "prior": "false", "seed": 3.0, "batch_size": 8})
    with pytest.raises(InputError, match="did you mean epochs"):
        steps.check_settings("attributes", "student", {"epoch": 7})


def test_a_folder_that_changed_has_another_state_though_one_revision_is_asked_for(catalog):
    before = steps.data_state(str(catalog), "0" * 32)
    replace(catalog)
    assert steps.data_state(str(catalog), "0" * 32) != before


# The table of a state, kept once.


def keep(catalog, tmp_path, revision="", anew=False):
    """Keeps the table of a catalog as it is, as a run does; the run's note and the version."""
    state = steps.data_state(str(catalog), revision)
    pages = str(tmp_path / "tables" / state), str(tmp_path / "run")
    steps.keep_table(str(catalog), revision, "", *pages, anew=anew)
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


# A model's evaluation, kept once.


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def measured(monkeypatch):
    """The names of the folders that evaluations were written to."""
    seen = []

    def evaluate(model, catalog, out):
        seen.append(out.name)
        with files.new_folder(out) as folder:
            files.write_json(folder / "metrics.json", {"top1": float(len(seen))})
            for name in ("report.html", "samples.npz"):
                (folder / name).write_text(f"{name} of {len(seen)}")
        return {"top1": float(len(seen))}

    monkeypatch.setattr("vitrine.evaluate.evaluate", evaluate)
    return seen


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_the_same_model_is_measured_on_the_same_rows_once(tmp_path, model, measured, place, request):
    kept = str(tmp_path / "kept") if place == "folder" else f"{request.getfixturevalue('bucket')}/kept"
    rows = table(tmp_path, **COLOURS)
    assert steps.evaluate(model, rows, tmp_path / "one", kept) == {"top1": 1.0}
    assert steps.evaluate(model, rows, tmp_path / "two", kept) == {"top1": 1.0}
    assert measured == ["one"]
    files_of = {name: {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two")}
    assert files_of["one"] == files_of["two"]
    assert len(files_of["one"]) == 3


def other_weights(model, tmp_path, monkeypatch):
    (model / "model.safetensors").write_bytes(b"others.")


def other_settings(model, tmp_path, monkeypatch):
    (model / "config.json").write_text("{ }")


def other_rows(model, tmp_path, monkeypatch):
    table(tmp_path, **SHELVES)


def other_code(model, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "__version__", "99")


def half_kept(model, tmp_path, monkeypatch):
    next((tmp_path / "kept").glob("*/samples.npz")).unlink()


@pytest.mark.parametrize("change", [other_weights, other_settings, other_rows, other_code, half_kept])
def test_a_model_is_measured_again_where_anything_changed(tmp_path, monkeypatch, model, measured, change):
    rows, kept = table(tmp_path, **COLOURS), str(tmp_path / "kept")
    steps.evaluate(model, rows, tmp_path / "one", kept)
    change(model, tmp_path, monkeypatch)
    assert steps.evaluate(model, rows, tmp_path / "two", kept) == {"top1": 2.0}
    assert measured == ["one", "two"]


def test_a_model_is_measured_where_nothing_is_kept(tmp_path, model, measured):
    rows = table(tmp_path, **COLOURS)
    for name in ("one", "two"):
        steps.evaluate(model, rows, tmp_path / name)
    assert measured == ["one", "two"]


# What can be trained.


def table(tmp_path, **columns):
    rows = pd.DataFrame({"image": [f"{i}.png" for i in range(4)], "split": ["train"] * 3 + ["test"]} | columns)
    write_catalog(Catalog(str(tmp_path), rows), tmp_path / "table")
    return tmp_path / "table"


COLOURS = {"attr:colour": ["red", "blue", "", ""]}
SHELVES = {"category": ["A/B", "A/C", "", ""]}


@pytest.mark.parametrize(
    ("columns", "tasks"),
    [
        (COLOURS, "attributes"),
        (SHELVES, "taxonomy"),
        (COLOURS | SHELVES, "attributes+taxonomy"),
        (COLOURS | {"category": ["A", "A", "A", "A"]}, "attributes"),
        (COLOURS | {"category": ["A", "A/B", "A/B", "C"]}, "attributes"),  # one leaf among training photos
        (SHELVES | {"attr:colour": ["red", "red", "", "blue"]}, "taxonomy"),  # the second label is for testing only
        ({"attr:colour": ["red|blue", "", "", ""]}, "attributes"),
    ],
)
def test_tasks_that_the_labels_allow(tmp_path, columns, tasks):
    folder = table(tmp_path, **columns)
    assert steps.find_tasks(folder) == tasks
    assert steps.teachable(folder) == (["colour"] if "attributes" in tasks else [])


def test_a_run_is_to_come_to_a_decision_on_each_model_that_can_be_trained(tmp_path):
    run = str(tmp_path / "run")
    assert steps.plan(table(tmp_path, **COLOURS, **SHELVES), run) == "attributes+taxonomy"
    page = read_bytes(summarise(run, "RUNNING", due=["tasks"])).decode()
    assert "Failed" in page
    assert "promote-attributes or refuse-attributes, promote-taxonomy or refuse-taxonomy" in page
    assert "Attributes and Categories." in page


@pytest.mark.parametrize("columns", [{}, {"attr:colour": ["red"] * 4, "category": ["A"] * 4}, {"category": [""] * 4}])
def test_nothing_to_train(tmp_path, columns):
    with pytest.raises(InputError, match="there is nothing to train"):
        steps.find_tasks(table(tmp_path, **columns))


def test_both_agree_with_training(tmp_path):
    """What the pipeline would train must not be refused by training itself."""
    from vitrine.data.truth import teachable_types
    from vitrine.tasks.taxonomy import systems as taxonomy

    for columns in (COLOURS, SHELVES, {"category": ["A", "A/B", "A/B", ""]} | COLOURS):
        folder = table(tmp_path, **columns)
        catalog = read_catalog(folder)
        assert steps.teachable(folder) == teachable_types(catalog)
        if "taxonomy" in steps.find_tasks(folder):
            taxonomy.describe(catalog, "ssmtl-ca")


def test_a_broken_rule_stops_a_strict_run_with_its_name(catalog, tmp_path):
    rows = pd.read_parquet(catalog / "catalog.parquet").assign(split="tset")
    rows.to_parquet(catalog / "catalog.parquet", index=False)
    found = steps.validate(catalog, tmp_path / "checked")
    assert found["rows"] == 3
    assert found["errors"] >= 1
    steps.check_quality(tmp_path / "checked", False, str(tmp_path / "lenient"))
    with pytest.raises(InputError, match="rules failed: "):
        steps.check_quality(tmp_path / "checked", True, str(tmp_path / "strict"))
    for run in ("lenient", "strict"):  # what failed can be read from the run's summary
        assert (tmp_path / run / "validate.html").exists()


def test_a_kept_validation_is_never_a_mix_of_two(tmp_path):
    kept = str(tmp_path / "kept")
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        for part in ("results.json", "sample.parquet", "summary.json"):
            (tmp_path / name / part).write_text(f"{name} {part}")
    steps._keep_validation(tmp_path / "old", kept)
    for _ in kills(lambda _: lambda: steps._keep_validation(tmp_path / "new", kept)):
        with steps._last_validation(kept) as folder:
            words = {path.read_text().split()[0] for path in Path(folder).iterdir()}
        assert words in ({"old"}, {"new"})
    assert words == {"new"}
    (tmp_path / "kept" / "last.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"last.zip: damaged"), steps._last_validation(kept):
        pass


def test_a_period_is_filled_in():
    from datetime import UTC, datetime, timedelta

    assert steps.name_period("s3://new/%Y-%m-%d", "2026-11-25") == "s3://new/2026-11-25"
    assert steps.name_period("s3://new/%Y/%m/%d/%H", "2026-11-25T13") == "s3://new/2026/11/25/13"
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert steps.name_period("new/%d", "") == f"new/{yesterday:%d}"
    assert steps.name_period("s3://100%/data.dvc", "") == "s3://100%/data.dvc"
    with pytest.raises(InputError, match="period=today: a day such as"):
        steps.name_period("x", "today")


def test_own_rules_and_a_suite_are_those_of_the_step(catalog, tmp_path):
    quality = {
        "rules": "rules: {single_value_labels: {fail_above: 0}}",
        "suite": "name: mine\nexpectations:\n- {type: expect_column_values_to_be_in_set, "
        "kwargs: {column: 'attr:colour', value_set: [blue]}, meta: {severity: error}}\n",
    }
    steps.check_rules(quality)
    plain = steps.validate(catalog, tmp_path / "plain")
    found = steps.validate(catalog, tmp_path / "own", quality=quality)
    assert found["errors"] - plain["errors"] == 2
    rules = "settings: {keywords: [], unusable_side: 9}"
    with pytest.raises(InputError, match="tiny_photos"):  # all three are of 8 pixels
        steps.clean(catalog, tmp_path / "clean", 0, rules=rules)


@pytest.mark.parametrize(
    ("quality", "message"),
    [({"rules": "rules: {nothing: {}}"}, "unknown setting 'nothing'"), ({"suite": "[]"}, "is no expectation suite")],
)
def test_rules_of_no_use_are_refused_before_anything_starts(quality, message):
    with pytest.raises(InputError, match=message):
        steps.check_rules(quality)


def test_a_file_that_a_setting_names(tmp_path):
    (tmp_path / "mine.yaml").write_text("rules: {}")
    assert steps.text_at(str(tmp_path / "mine.yaml")) == "rules: {}"
    with pytest.raises(InputError, match=r"none.yaml: cannot be read \(No such file or directory\)"):
        steps.text_at(str(tmp_path / "none.yaml"))
