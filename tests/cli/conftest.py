"""A small rendered catalog with models that saw it once."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import SMALL, in_, says
from once import made_once
from vitrine_command import run

from vitrine.catalog import read_catalog


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """Holds a rendered catalog, data, and the same with splits, parted."""

    def make(folder: Path) -> None:
        assert run("synth", folder / "data", "--listings", "24") == 0
        assert run("split", folder / "data", folder / "parted") == 0

    return made_once(tmp_path_factory, "cli", make)


@pytest.fixture(scope="session")
def trained(home, tmp_path_factory) -> Callable[..., Path]:
    """Trains a model of the catalog."""

    def train(task: str, *more: str) -> Path:
        def make(folder: Path) -> None:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            assert run("train", task, home / "parted", folder / "model", *SMALL, *more) == 0
            torch.set_num_threads(threads)

        return made_once(tmp_path_factory, f"cli-{task}", make) / "model"

    return train


@pytest.fixture(scope="session")
def taxonomy(trained) -> Path:
    """A model of the catalog's categories."""
    return trained("taxonomy")


@pytest.fixture(scope="session")
def teacher(trained) -> Path:
    """A model of the catalog's colours."""
    return trained("attributes", "--variant=teacher", "--set=type=colour")


@pytest.fixture
def broken(home, tmp_path):
    """Copies the split catalog, its table changed; a test may break the photos."""

    def build(change=lambda table: table) -> Path:
        folder = tmp_path / "broken"
        shutil.copytree(home / "data" / "images", folder / "images")
        table = change(read_catalog(home / "parted").table.astype(object))
        table.to_csv(folder / "catalog.csv", index=False)
        return folder

    return build


@pytest.fixture
def refused(vitrine, home, tmp_path, monkeypatch, request) -> Callable[..., None]:
    """Runs a command that must end with one line, which holds all `parts`, and leave everything as it is.

    Its words DATA, PARTED and MODEL stand for a catalog, the same with splits, and a model; FILE and EMPTY, a folder,
    are in the working folder.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE").write_text("")

    def check(command: str, *parts: str) -> None:
        places = {"DATA": home / "data", "PARTED": home / "parted"}
        if "MODEL" in command:
            places["MODEL"] = request.getfixturevalue("taxonomy")
        before = {place: in_(path) for place, path in places.items()}
        given = [re.sub("|".join(places), lambda found: str(places[found[0]]), word) for word in command.split()]
        says(vitrine(*given), *parts)
        assert in_(tmp_path) == ["EMPTY", "FILE"]
        assert in_(tmp_path / "EMPTY") == []
        assert {place: in_(path) for place, path in places.items()} == before

    return check
