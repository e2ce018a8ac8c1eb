"""What teachers said is kept by photo and by teacher, and not served where either has changed."""

import json
import shutil

import numpy as np
import pytest
import torch

from vitrine import files
from vitrine.blocks.cut import cut_off
from vitrine.catalog import Catalog
from vitrine.data.feature_store import FeatureStore
from vitrine.data.photo_store import PhotoStore
from vitrine.inference import run_net
from vitrine.predict import load_model
from vitrine.tasks.attributes import teacher_embeddings as module
from vitrine.tasks.attributes.teacher_embeddings import teacher_embeddings


@pytest.fixture
def own(trained, tmp_path, monkeypatch):
    """A catalog and a teacher that nothing is known of yet."""
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    catalog, folder = trained
    shutil.copytree(catalog.root, tmp_path / "photos")
    shutil.copytree(folder / "teacher colour", tmp_path / "teacher")
    return Catalog(str(tmp_path / "photos"), catalog.table.iloc[:20].reset_index(drop=True), "v1"), tmp_path / "teacher"


def of_unit_length(embeddings):
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def ask(catalog, folder, further=()):
    net, config = load_model(folder)
    store = PhotoStore.of_catalog(catalog, config["image_size"], 1, further=further)
    found, computed = teacher_embeddings(folder, net, store, np.arange(len(store)))
    fresh = run_net(net, store, np.arange(len(store)), embeddings=True)[1]["colour"]
    assert found.shape == (len(store), 1, fresh.shape[1])
    assert np.allclose(found[:, 0], of_unit_length(fresh), atol=1e-3)
    return computed


def test_each_view_that_a_student_is_shown_has_its_own(own):
    catalog, folder = own
    net, config = load_model(folder)
    photos = PhotoStore.of_catalog(catalog, config["image_size"], 1)
    rows = np.array([3, 0, 19, 7])
    with cut_off(net, 2) as first:
        store = FeatureStore(photos, first, copies=3)
        found, computed = teacher_embeddings(folder, net, store, rows)
        assert computed == 12
        assert teacher_embeddings(folder, net, store, rows)[1] == 0
        drawn_by = (5, 6)
        copies = store.copies_drawn(4, drawn_by)
        assert len(set(copies.tolist())) > 1
        with torch.inference_mode():
            shown = store.augmented(torch.from_numpy(rows), torch.device("cpu"), drawn_by)
            fresh = net.embed(shown)[1]["colour"].numpy()
    assert np.allclose(found[rows, copies - 1], of_unit_length(fresh), atol=1e-3)
    assert not np.allclose(found[rows, 0], found[rows, 1], atol=1e-3)
    others = np.setdiff1d(np.arange(20), rows)
    assert not found[others].any()


def test_each_photo_is_computed_once(own):
    catalog, folder = own
    assert ask(catalog, folder) == 20
    assert ask(catalog, folder) == 0


def test_order_and_number_do_not_matter(own):
    catalog, folder = own
    fewer = catalog.with_table(catalog.table.iloc[:15])
    assert ask(fewer, folder) == 15
    assert ask(catalog.with_table(catalog.table.iloc[::-1]), folder) == 5
    assert ask(fewer, folder, [catalog]) == 0


def test_a_changed_photo_is_looked_at_again(own):
    catalog, folder = own
    assert ask(catalog, folder) == 20
    first, second = (catalog.uri(image) for image in catalog.table["image"][:2])
    shutil.copyfile(second, first)
    assert ask(catalog, folder) == 1


def test_another_teacher_is_asked_anew(own):
    catalog, folder = own
    assert ask(catalog, folder) == 20
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"image_size": 24}))
    assert ask(catalog, folder) == 20


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_a_damaged_file_is_made_again(own, damage):
    catalog, folder = own
    ask(catalog, folder)
    (kept,) = (files.cache_folder() / "teacher-embeddings").glob("*.npz")
    kept.write_bytes(kept.read_bytes()[:500] if damage is None else damage)
    assert ask(catalog, folder) == 20
    assert ask(catalog, folder) == 0


def test_without_room_nothing_is_kept(own, monkeypatch):
    catalog, folder = own
    monkeypatch.setattr(module, "MAX_CACHE_BYTES", 10)
    assert ask(catalog, folder) == 20
    assert ask(catalog, folder) == 20


def test_a_file_that_grows_makes_room_for_what_is_new_of_it_only(own, monkeypatch):
    catalog, folder = own
    assert ask(catalog.with_table(catalog.table[:15]), folder) > 0
    (cache,) = (files.cache_folder() / "teacher-embeddings").glob("*.npz")
    monkeypatch.setattr(module, "MAX_CACHE_BYTES", int(1.5 * cache.stat().st_size))
    assert ask(catalog, folder) > 0
    assert ask(catalog, folder) == 0
