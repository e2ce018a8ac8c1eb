"""The model folder: whole or not at all, tensors and text only."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vitrine.errors import InputError
from vitrine.model import FILES, load_config, load_into, load_tensors, note_curve, of_training, save_model

CONFIG = {
    "task": "t",
    "variant": "v",
    "backbone": "b",
    "image_size": 32,
    "settings": {"epochs": 3},
    "data_version": "d1",
}


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_round_trip_bit_for_bit(tmp_path):
    first, second = net().to(memory_format=torch.channels_last), net()
    save_model(tmp_path / "m", first, CONFIG, {"validation/x/top1": 0.5}, "notes é")
    load_into(second, tmp_path / "m")
    assert all(torch.equal(own, second.state_dict()[name]) for name, own in first.state_dict().items())
    assert not second.training
    config = load_config(tmp_path / "m")
    assert config.pop("code_version")
    assert config == CONFIG
    assert json.loads((tmp_path / "m" / "metrics.json").read_text()) == {"validation/x/top1": 0.5}
    card = (tmp_path / "m" / "card.md").read_text(encoding="utf-8")
    assert all(part in card for part in ("t / v", "d1", "| validation/x/top1 | 0.5000 |", "| epochs | 3 |", "notes é"))


def test_holds_tensors_and_text_only(tmp_path):
    save_model(tmp_path / "m", net(), CONFIG, {})
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == sorted(FILES)
    assert set(load_file(tmp_path / "m" / "model.safetensors")) == set(net().state_dict())
    for path in (tmp_path / "m").iterdir():
        assert not path.read_bytes().startswith((b"PK", b"\x80"))  # zip and pickle


def test_an_existing_folder_is_refused(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "x").write_text("")
    with pytest.raises(InputError, match="exists already"):
        save_model(tmp_path / "m", net(), CONFIG, {})
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["x"]


def test_nothing_is_half_written(tmp_path):
    with pytest.raises(TypeError):
        save_model(tmp_path / "m", net(), {**CONFIG, "odd": object()}, {})
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_model_folder(tmp_path):
    with pytest.raises(InputError, match="not a model folder"):
        load_config(tmp_path)
    with pytest.raises(InputError, match="not a model folder"):
        load_tensors(tmp_path)


def test_tensors_of_another_net(tmp_path):
    save_model(tmp_path / "m", net(), CONFIG, {})
    with pytest.raises(InputError, match="do not fit"):
        load_into(nn.Linear(2, 2), tmp_path / "m")


def test_a_model_names_its_training_and_how_it_went(tmp_path):
    """Each model has the passes since the one before it; one that no training made has neither."""
    note_curve("elsewhere", [1.0], [0.1], "top1")
    with of_training("abc"):
        note_curve("teacher", [2.0, 1.0], [None, 0.5], "colour top1")
        save_model(tmp_path / "teacher", net(), CONFIG, {})
        note_curve("student", [3.0], [0.4], "mean top1")
        save_model(tmp_path / "student", net(), CONFIG, {})
    save_model(tmp_path / "other", net(), CONFIG, {})
    teacher, student, other = (load_config(tmp_path / name) for name in ("teacher", "student", "other"))
    assert teacher["curves"] == {"teacher": {"loss": [2.0, 1.0], "score": [None, 0.5], "scored": "colour top1"}}
    assert student["curves"] == {"student": {"loss": [3.0], "score": [0.4], "scored": "mean top1"}}
    assert (teacher["training"], student["training"]) == ("abc", "abc")
    assert {"training", "curves"}.isdisjoint(other)
