"""Commands that ask models about photos."""

import json
import shutil

import pytest
from commands import in_, says
from vitrine_command import vitrine as start

from vitrine.catalog import read_catalog


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("predict MODEL", ["name the photos"]),
        ("predict MODEL nope.jpg", ["nope.jpg: no such photo"]),
        ("predict EMPTY nope.jpg", ["not a model folder"]),
        ("predict MODEL nope.jpg -k 0", ["'-k' / '--top': 0 is not in the range"]),
        ("predict DATA --model MODEL --out o.jsonl -k -1", ["'-k' / '--top': -1 is not in the range"]),
        ("search EMPTY nope.jpg -k 0", ["'-k': 0 is not in the range"]),
        ("serve EMPTY --port 99999", ["'--port': 99999 is not in the range"]),
        ("serve EMPTY --batch 0", ["'--batch': 0 is not in the range"]),
        ("serve EMPTY --limit answer_seconds=inf", ["answer_seconds=inf: must be above 0, and finite"]),
    ],
)
def test_unusable_arguments(refused, command, parts):
    refused(command, *parts)


@pytest.mark.parametrize(
    ("name", "data", "part"),
    [
        ("model.safetensors", b"\x10", "model.safetensors: damaged"),
        ("config.json", b"{", "config.json: cannot be read"),
        ("config.json", b"{}", "config.json: lacks 'task'"),
    ],
)
def test_a_damaged_model_folder(vitrine, home, taxonomy, tmp_path, name, data, part):
    model = shutil.copytree(taxonomy, tmp_path / "model")
    (model / name).write_bytes(data)
    photo = home / "data" / read_catalog(home / "data").table["image"][0]
    says(vitrine("predict", model, photo), part)
    says(vitrine("evaluate", model, home / "parted", tmp_path / "out"), part)
    assert in_(tmp_path) == ["model"]


@pytest.mark.slow
def test_predictions_alone_go_to_stdout(home, taxonomy, tmp_path):
    photo = home / "data" / read_catalog(home / "data").table["image"][0]
    done = start(tmp_path, "predict", taxonomy, photo)
    assert done.returncode == 0
    assert [json.loads(line)["image"] for line in done.stdout.splitlines()] == [str(photo)]
    assert done.stderr == ""


@pytest.mark.slow
def test_one_unreadable_photo_does_not_cost_the_others_their_answers(home, taxonomy, tmp_path):
    photos = [home / "data" / image for image in read_catalog(home / "data").table["image"][:2]]
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    done = start(tmp_path, "predict", taxonomy, photos[0], tmp_path / "bad.jpg", photos[1])
    assert done.returncode == 2
    assert [json.loads(line)["image"] for line in done.stdout.splitlines()] == [str(photo) for photo in photos]
    assert done.stderr == f"{tmp_path}/bad.jpg: is not a photo\n"
