"""What a person gets to label where a retraining would have nothing new to learn from."""

import json

import pandas as pd
import pytest

from vitrine import files
from vitrine.catalog import Catalog, read_catalog, versioned
from vitrine.journal import Note, write_note
from vitrine.monitoring.labelling import ASKED, LABEL, page, write_sheet
from vitrine.monitoring.retraining import retrainings
from vitrine.registry import Registry
from vitrine.steps.monitoring import learns_from, request_retraining

HOSTILE = "<script>alert(1)</script>.jpg"


def photos(rows, **columns):
    return Catalog("/new/photos", pd.DataFrame({"image": [f"{i:03}.jpg" for i in range(rows)], **columns}), "v-new")


def test_a_sheet_is_a_catalog_to_fill_in(tmp_path):
    table = photos(3, **{"category": ["", "A", ""], "attr:colour": ["", "red", ""], "listing": ["1", "2", "3"]})
    assert write_sheet(table, tmp_path / "catalog.csv") == 3
    found = read_catalog(tmp_path).table
    assert list(found) == ["image", "category", "attr:colour"]
    assert found.to_numpy().tolist() == [["000.jpg", "", ""], ["001.jpg", "A", "red"], ["002.jpg", "", ""]]


def test_of_many_the_unlabelled_come_first_and_always_the_same(tmp_path):
    many = photos(3 * ASKED, category=["A" if i % 3 else "" for i in range(3 * ASKED)])
    for name in ("a.csv", "b.csv"):
        assert write_sheet(many, tmp_path / name) == ASKED
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    chosen = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert (chosen["category"] == "").sum() == ASKED
    assert write_sheet(photos(3), tmp_path / "c.csv") == 3  # without any label
    assert (tmp_path / "c.csv").read_text().splitlines()[0] == "image,category"


def test_the_page_shows_names_as_text(tmp_path):
    write_sheet(Catalog("/new", pd.DataFrame({"image": [HOSTILE, "b.jpg"]}), ""), tmp_path / LABEL)
    html = page(tmp_path / LABEL, "/new/<b>", "because").render()
    assert "Label 2 of these photos" in html
    assert f'href="{LABEL}"' in html
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html


@pytest.fixture
def drifted(tmp_path):
    """What the look at the photos left, and a registry whose models learnt from `v-1`."""
    drift, model = tmp_path / "drift", tmp_path / "model"
    for folder in (drift, model):
        folder.mkdir()
    decision = {"drifted": True, "reason": "Drift: brightness.", "photos": "/new/photos"}
    (drift / "decision.json").write_text(json.dumps(decision))
    write_sheet(photos(5), drift / LABEL)
    write_note(drift, Note("drift", "Drift", ["Drift: brightness."]))
    (model / "config.json").write_text(json.dumps({"task": "taxonomy", "data_version": "v-1"}))
    for name in ("model.safetensors", "metrics.json", "card.md"):
        (model / name).write_text("{}")
    Registry(tmp_path / "registry").promote("taxonomy", model, {}, "Promoted.")
    return drift


@pytest.mark.parametrize(("data", "starts"), [("v-1", False), ("v-2", True), ("", True)])
def test_data_that_were_learnt_from_start_nothing_and_ask_for_labels(drifted, tmp_path, data, starts):
    started = []
    reports, registry = str(tmp_path / "reports"), str(tmp_path / "registry")
    said = request_retraining(
        drifted, "s1", registry, reports, "monitor-1",
        lambda: started.append("run-1") or "run-1", lambda: "", data=data, trained=("attributes", "taxonomy"),
    )  # fmt: skip
    assert started == (["run-1"] if starts else [])
    assert [entry.data for entry in retrainings(registry)] == ([data] if starts else [])
    pages = files.list_folder(f"{reports}/monitor-1")
    assert ({LABEL, "retraining.html"} <= set(pages)) is not starts
    if not starts:
        assert said == "the models in use learnt from this data already (version v-1)."
        text = files.read_bytes(f"{reports}/monitor-1/retraining.html").decode()
        assert "Label 5 of these photos" in text
        assert "No retraining was started" in text


def test_where_there_is_no_cluster_labels_are_asked_for_too(drifted, tmp_path):
    known = drifted, "s1", str(tmp_path / "registry"), str(tmp_path / "reports"), "m"
    assert "learnt from this data" in request_retraining(*known, None, lambda: "", data="v-1", trained=("taxonomy",))
    assert "start it by hand" in request_retraining(*known, None, lambda: "", data="v-2", trained=("taxonomy",))


def test_what_a_retraining_would_learn_from(tmp_path):
    catalog = tmp_path / "data"
    catalog.mkdir()
    (catalog / "catalog.csv").write_text("image\na.jpg\n")
    first = learns_from(str(catalog), "")
    assert first == versioned(read_catalog(catalog)).data_version
    (catalog / "catalog.csv").write_text("image\na.jpg\nb.jpg\n")
    assert learns_from(str(catalog), "") not in ("", first)
    tracked = "0a1b2c3d4e5f60718293a4b5c6d7e8f9.dir"
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {tracked}\n  path: data\n")
    assert learns_from(str(tmp_path / "data.dvc"), "") == tracked
    assert learns_from("/nowhere", "") == ""
    assert learns_from("/nowhere.dvc", "") == ""
