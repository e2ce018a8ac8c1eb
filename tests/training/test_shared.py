"""Several processes train the model that one trains."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from killing import KILLED, killed_at
from toys import toy_catalog

from vitrine import launch as launching
from vitrine.catalog import read_catalog, write_catalog
from vitrine.errors import InputError
from vitrine.launch import launch
from vitrine.steps import training
from vitrine.train import train
from vitrine.training import engine

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
# Training magnifies rounding, the more the higher its rate. In double precision one process and two have the same ten
# digits at twenty times this rate (docs/cluster.md).
SMALL = {"epochs": 3, "batch_size": 20, "image_size": 32, "precision": "32", "learning_rate": 0.0001, "weights": "none"}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    write_catalog(toy_catalog(folder / "toy", photos=72, size=32), folder / "table")
    return folder / "table"


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = os.pathsep.join([str(Path(launching.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


def losses(table, out, capfd, task, variant, processes, **settings):
    """Of each epoch, to four digits."""
    capfd.readouterr()
    training.train(task, variant, table, out, str(out.parent / "checkpoints"), {**SMALL, **settings}, processes)
    assert not any((out.parent / "checkpoints").iterdir())
    return [float(found) for found in re.findall(r"epoch \d+/\d+, loss ([\d.]+)", capfd.readouterr().out)]


@pytest.mark.parametrize(
    ("task", "variant", "settings", "processes"),
    [
        ("attributes", "teacher", {"type": "colour"}, 2),  # compares the photos of a batch with each other
        ("representation", "base-indi-eff", {}, 3),  # shares of 7, 7 and 6 photos
    ],
)
def test_several_processes_come_to_the_losses_of_one(table, tmp_path, capfd, task, variant, settings, processes):
    one = losses(table, tmp_path / "one", capfd, task, variant, 1, **settings)
    several = losses(table, tmp_path / "several", capfd, task, variant, processes, **settings)
    assert len(one) == 3
    assert several[0] == pytest.approx(one[0], abs=1.001e-4)
    assert several == pytest.approx(one, abs=5e-4)
    assert one[2] < one[0]
    config = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("one", "several")]
    assert {*config[0]} == {*config[1]}


def test_what_cannot_be_trained_is_one_line(table, tmp_path):
    with pytest.raises(InputError, match="no_such_type"):
        launch(2, "attributes", "teacher", table, tmp_path / "m", ["type=no_such_type"], tmp_path / "checkpoints")
    assert not (tmp_path / "m").exists()


def test_what_one_process_began_several_finish(table, tmp_path, capfd, monkeypatch):
    """The checkpoint of a training that was killed does not say how many trained."""
    whole = losses(table, tmp_path / "whole", capfd, "taxonomy", "bcnn", 1)
    checkpoints = tmp_path / "checkpoints"
    overrides = [f"{name}={value}" for name, value in SMALL.items()]
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_report", lambda *_: os._exit(KILLED))  # once it has kept its first epoch
        work = train, "taxonomy", "bcnn", read_catalog(table), tmp_path / "m", overrides
        assert killed_at(sys.maxsize, *work, checkpoints=checkpoints)
    capfd.readouterr()
    launch(2, "taxonomy", "bcnn", table, tmp_path / "m", overrides, checkpoints)
    said = capfd.readouterr().out
    assert "goes on from epoch 2" in said
    rest = [float(found) for found in re.findall(r"epoch \d+/\d+, loss ([\d.]+)", said)]
    assert rest == pytest.approx(whole[1:], abs=5e-4)
    assert (tmp_path / "m" / "model.safetensors").exists()
    assert not any(checkpoints.iterdir())


def test_several_processes_store_one_teacher(table, tmp_path, capfd):
    store = tmp_path / "store"
    overrides = [f"{name}={value}" for name, value in SMALL.items()] + [
        "epochs=1",
        "type=colour",
        f"teacher_store={store}",
    ]
    for name, found in (("first", 0), ("second", 1)):
        launch(2, "attributes", "student", table, tmp_path / name, overrides, tmp_path / "checkpoints")
        assert len(list(store.iterdir())) == 1
        assert capfd.readouterr().out.count("is there already") == found
