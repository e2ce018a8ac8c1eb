"""ONNX files of every task's nets answer as torch does, whatever the batch."""

import functools
import json

import numpy as np
import onnx
import pytest
import torch
from toys import toy_catalog

from vitrine import export, tasks
from vitrine.blocks import bilinear
from vitrine.data.pixels import Query
from vitrine.errors import InputError
from vitrine.export import exported, session
from vitrine.graphs import Graph
from vitrine.model import save_model
from vitrine.predict import Model
from vitrine.train import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_exporter")]

COMMON = {"backbone": "resnet18_narrow", "image_size": 32}
SHORT = {"backbone": "alexnet", "image_size": 64}
LEAVES = ["A/B", "A/C", "D/E"]
TAXONOMY = COMMON | {
    "task": "taxonomy", "leaves": LEAVES, "labels": {"colour": ["red", "blue"]}, "levels": [1], "hidden": 8,
    "temperatures": {"leaf": 1.0, "level1": 1.0, "attr:colour": 1.0},
}  # fmt: skip
AUTHENTICITY = COMMON | {
    "task": "authenticity", "labels": ["authentic", "counterfeit"], "views": ["tag"], "viewless": True, "attention": 4,
    "hidden": 4, "calibration": {"listing": [1.0, 0.0], "photo": [1.0, 0.0]}, "thresholds": [0.2, 0.9], "settings": {},
}  # fmt: skip
CONFIGS = {
    "salient": TAXONOMY | {"variant": "ssmtl-ca", "salient": True},
    "salient inside": TAXONOMY | {"variant": "ssmtl-ca", "salient": True, "salient_stage": 1},
    "plain": TAXONOMY | {"variant": "bcnn", "salient": False, "labels": {}, "levels": []},
    "bce": COMMON | {
        "task": "attributes", "variant": "bce", "labels": {"colour": ["red", "blue"]}, "temperatures": {"colour": 1.0},
    },
    # What differs is behind the trunk: a short one (64 px at least) is written in half the time.
    "student": COMMON | SHORT | {
        "task": "attributes", "variant": "student", "labels": {"colour": ["red", "blue"], "a.b": ["x", "y", "z"]},
        "temperatures": {"colour": 1.0, "a.b": 1.0}, "embedding_dim": 8,
    },
    "matching": COMMON | SHORT | {
        "task": "matching", "variant": "robust-softmax", "identity": "product", "categories": [""], "settings": {},
    },
    **{name: AUTHENTICITY | SHORT | {"variant": name} for name in tasks.get("authenticity").variants},
    "ms-cnn without others": AUTHENTICITY | {"variant": "ms-cnn", "views": ["side", "tag"], "viewless": False},
}  # fmt: skip


def model_of(config):
    torch.manual_seed(0)
    task = tasks.get(config["task"])
    net = task.build(config).eval()
    for module in net.modules():  # statistics of a net that has seen photos, and weights that part the answers
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
    return Model(task, net, config)


@functools.cache
def written(name):
    """A model, its file and the largest difference."""
    model = model_of(CONFIGS[name])
    return model, *exported(model)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_batch_is_answered_as_by_torch(name):
    model, data, largest = written(name)
    assert largest < 1e-4
    served = Model(model.task, model.task.from_graph(session(data)), model.config)
    random, side = np.random.default_rng(0), model.config["image_size"]
    for lengths in ([1], [3, 1, 2]):
        queries = [
            Query(random.integers(0, 256, (n, side, side, 3)).astype(np.uint8), ["tag.jpg", *map(str, range(1, n))])
            for n in lengths
        ]
        for right, own in zip(*(one.task.reply(one.net, one.config, queries) for one in (model, served)), strict=True):
            assert np.allclose(right.features, own.features, atol=1e-4)
            assert len(right.records) == len(own.records)
            for line, other in zip(right.records, own.records, strict=True):
                assert figures(line) == pytest.approx(figures(other), abs=3e-4)


def test_bilinear_pooling_in_its_compact_form(monkeypatch):
    monkeypatch.setattr(bilinear, "MAX_CHANNELS", 0)
    model = model_of(CONFIGS["bilinear"])
    assert model.net.pooling.sketch is not None
    assert exported(model)[1] < 1e-4


def figures(line):
    """All numbers of a record, by where they stand."""
    found = {}
    for question, said in line.items():
        if isinstance(said, float):
            found[question] = said
        elif question == "weights":
            found |= {f"{question} {i}": weight for i, weight in enumerate(said)}
        elif isinstance(said, list) and said and "label" in said[0]:
            found |= {f"{question} {one['label']}": one["confidence"] for one in said}
    assert found
    return found


def test_the_file_says_what_it_needs_to_be_used(tmp_path, monkeypatch):
    model, *made = written("salient")
    monkeypatch.setattr(export, "exported", lambda _: made)  # `test_systems_of_several_nets` exports a folder
    save_model(tmp_path / "model", model.net, model.config, {})
    export.export_onnx(tmp_path / "model", tmp_path / "deep" / "model.onnx")
    proto = onnx.load(tmp_path / "deep" / "model.onnx")
    assert proto.opset_import[0].version >= 18
    told = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(told["vitrine.config"])["leaves"] == LEAVES
    assert json.loads(told["vitrine.mean"]) == [0.485, 0.456, 0.406]
    assert told["vitrine.image_size"] == "32"
    (photos,) = proto.graph.input
    shape = photos.type.tensor_type.shape.dim
    assert [one.dim_value for one in shape][1:] == [3, 32, 32]
    assert shape[0].dim_param
    assert [one.name for one in proto.graph.output][:2] == ["features", "leaf"]


def test_a_graph_that_answers_otherwise_is_refused(monkeypatch):
    model, data, _ = written("bce")
    monkeypatch.setattr(export, "_written", lambda *_: data)
    monkeypatch.setattr(export, "difference", lambda graph, data: 2e-4)
    with pytest.raises(InputError, match=r"differ from torch's, by 2\.0e-04"):
        exported(model)


def test_a_difference_is_seen(monkeypatch):
    data, model = written("bce")[1], model_of(CONFIGS["bce"])
    with torch.no_grad():
        model.net.outputs[0].bias += 0.01
    assert export.difference(model.task.graph(model.net, model.config), data) == pytest.approx(0.01, rel=0.2)


def test_an_output_that_is_no_number_is_a_difference(monkeypatch):
    class Broken:
        def run(self, _, inputs):
            return [np.full((len(inputs["photos"]), 3), np.nan, np.float32)]

    class Net(torch.nn.Module):
        def forward(self, photos):
            return (torch.zeros(len(photos), 3),)

    monkeypatch.setattr(export, "session", lambda data: Broken())
    graph = Graph(Net(), {"photos": torch.randn(2, 3, 8, 8)}, {"photos": {0: "n"}}, ("features",))
    assert np.isnan(export.difference(graph, b""))
    monkeypatch.setattr(export, "_written", lambda *_: b"")
    monkeypatch.setattr(export, "difference", lambda graph, data: float("nan"))
    with pytest.raises(InputError, match="differ from torch's"):
        exported(model_of(CONFIGS["bce"]))


def test_systems_of_several_nets(tmp_path):
    catalog = toy_catalog(tmp_path / "toys", photos=72)
    settings = ["epochs=1", "image_size=32", "workers=1", "weights=none", "hidden=8"]
    train("taxonomy", "sscnn-mcr", catalog, tmp_path / "model", settings)
    assert export.export_onnx(tmp_path / "model", tmp_path / "model.onnx") < 1e-4
