"""A model folder answers about single photos and whole catalogs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vitrine.catalog.photos import PhotoError
from vitrine.data.pixels import Pixels
from vitrine.errors import InputError
from vitrine.inference import photos_at_once, probabilities, run_net
from vitrine.predict import apply, load_model, predict


@pytest.mark.parametrize("name", ["student", "taxonomy", "teacher colour"])
def test_single_photos_are_answered_as_in_the_catalog(trained, name):
    catalog, folder = trained
    images = [catalog.uri(image) for image in catalog.table["image"][:3]]
    lines = predict(folder / name, images, top=2)
    outcome = apply(folder / name, catalog)
    assert [line["image"] for line in lines] == images
    for row, line in enumerate(lines):
        assert set(line) == {"image", *(question.name for question in outcome.targets)}
        for question in outcome.targets:
            answers = line[question.name]
            assert answers[0]["label"] == question.labels[int(question.scores[row].argmax())]
            assert answers[0]["confidence"] == pytest.approx(question.confidence[row], abs=1e-3)
            assert answers[0]["confidence"] >= answers[-1]["confidence"]
            assert len(answers) == 2
    assert json.loads(json.dumps(lines)) == lines


def test_no_photos(trained):
    catalog, folder = trained
    assert predict(folder / "student", []) == []
    with pytest.raises(InputError, match="no rows"):
        apply(folder / "student", catalog.with_table(catalog.table.iloc[:0]))


def test_a_missing_photo_is_named(trained, tmp_path):
    _, folder = trained
    with pytest.raises(PhotoError, match=r"gone\.jpg: no such photo"):
        predict(folder / "student", [str(tmp_path / "gone.jpg")])


def test_the_others_are_answered_when_one_photo_cannot_be_read(trained, tmp_path):
    catalog, folder = trained
    good = [catalog.uri(image) for image in catalog.table["image"][:3]]
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    asked = [good[0], str(tmp_path / "gone.jpg"), good[1], str(tmp_path / "bad.jpg"), good[2]]
    unreadable = {}
    assert predict(folder / "student", asked, unreadable=unreadable) == predict(folder / "student", good)
    assert {place: str(error) for place, error in unreadable.items()} == {
        1: f"{tmp_path}/gone.jpg: no such photo",
        3: f"{tmp_path}/bad.jpg: is not a photo",
    }
    assert predict(folder / "student", asked[1:2], unreadable={}) == []


def test_confidence_is_a_probability():
    scores = np.array([[1.0, 0.0], [500.0, -500.0]], np.float32)
    assert probabilities(scores, 0.5).max(axis=1).tolist() == pytest.approx([1 / (1 + np.exp(-2)), 1.0])


def test_a_loaded_net_is_in_evaluation_mode(trained):
    _, folder = trained
    net, config = load_model(folder / "taxonomy")
    assert not net.training
    assert (config["task"], config["variant"]) == ("taxonomy", "ssmtl-ca")


class TestDamaged:
    @pytest.fixture
    def model(self, trained, tmp_path):
        shutil.copytree(trained[1] / "student", tmp_path / "model")
        return tmp_path / "model"

    def refused(self, model, match):
        with pytest.raises(InputError, match=match) as caught:
            load_model(model)
        assert len(str(caught.value).splitlines()) == 1

    def test_no_model_folder(self, tmp_path):
        self.refused(tmp_path, "not a model folder")
        self.refused(tmp_path / "none", "not a model folder")

    @pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"task variant backbone image_size"', "{}", "\xff"])
    def test_config_that_is_none(self, model, text):
        (model / "config.json").write_text(text, encoding="latin-1")
        self.refused(model, r"config\.json")

    @pytest.mark.parametrize(
        "key", ["task", "variant", "backbone", "image_size", "labels", "embedding_dim", "temperatures"]
    )
    @pytest.mark.parametrize("value", [None, [1], {"x": "y"}])
    def test_config_with_a_missing_or_odd_value(self, model, key, value):
        config = json.loads((model / "config.json").read_text())
        del config[key]
        (model / "config.json").write_text(json.dumps(config))
        self.refused(model, key)
        if key not in ("variant", "temperatures"):
            (model / "config.json").write_text(json.dumps({**config, key: value}))
            self.refused(model, ".")

    @pytest.mark.parametrize("keep", [0, 4, 100, 100_000])
    def test_cut_short_tensors(self, model, keep):
        path = model / "model.safetensors"
        path.write_bytes(path.read_bytes()[:keep])
        self.refused(model, "damaged")

    def test_no_tensors(self, model):
        (model / "model.safetensors").unlink()
        self.refused(model, r"no model\.safetensors")

    def test_tensors_of_another_model(self, model, trained):
        shutil.copy(trained[1] / "taxonomy" / "model.safetensors", model / "model.safetensors")
        self.refused(model, r"do not fit config\.json")

    def test_unknown_task(self, model):
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps({**config, "task": "poetry"}))
        self.refused(model, "no task 'poetry'")


def test_gradients_are_not_kept(trained):
    net, _ = load_model(trained[1] / "student")
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.is_grad_enabled()


def test_where_the_net_looked(trained, tmp_path):
    catalog, folder = trained
    images = [catalog.uri(image) for image in catalog.table["image"][:2]]
    lines = predict(folder / "taxonomy", images, explain=tmp_path / "heat")
    assert [Path(line["heat_map"]).exists() for line in lines] == [True, True]
    with pytest.raises(InputError, match="exists"):
        predict(folder / "taxonomy", images, explain=tmp_path / "heat")
    with pytest.raises(InputError, match="has no saliency map"):
        predict(folder / "student", images, explain=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_cpu_is_shown_a_few_photos_at_once():
    """As many as 16 of 128 px have pixels, and one at least; a GPU 128."""
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [photos_at_once(size, cpu) for size in (32, 64, 128, 224, 1024)] == [128, 64, 16, 5, 1]
    assert photos_at_once(224, gpu) == 128


def test_parts_come_back_in_order():
    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))
            self.shown = []

        def forward(self, photos):
            self.shown.append(len(photos))
            mean = photos.mean(dim=(1, 2, 3))[:, None]
            return mean, {"double": 2 * mean}

    pixels = np.random.default_rng(0).integers(0, 256, (150, 128, 128, 3), dtype=np.uint8)
    store, rows, net = Pixels(pixels), np.random.default_rng(1).permutation(150)[:140], Mean()
    features, scores = run_net(net, store, rows)
    assert net.shown == [16] * 8 + [12]
    wanted = store.normalised(next(store.batches([rows]))[1], torch.device("cpu")).mean(dim=(1, 2, 3))[:, None]
    assert np.allclose(features, wanted, atol=1e-5)
    assert np.allclose(scores["double"], 2 * wanted, atol=1e-5)
