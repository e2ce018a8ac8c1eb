"""A judge of listings from the command line: trained, measured, asked about folders."""

import json
import shutil

import pytest
import torch
from commands import says
from toy_listings import learnable_catalog

from vitrine.catalog import write_catalog
from vitrine.train import train

SETTINGS = (
    "epochs=6",
    "image_size=32",
    "batch_size=24",
    "workers=1",
    "learning_rate=0.005",
    "precision=32",
    "weights=none",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory, slow_to_make):
    """A catalog of listings, and a model that learnt them."""
    folder = tmp_path_factory.mktemp("listings")
    catalog = learnable_catalog(folder / "data", listings=72)
    write_catalog(catalog, folder / "data")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train("authenticity", "ssa", catalog, folder / "ssa", SETTINGS)
    yield folder
    torch.set_num_threads(threads)


def listing(home, name, number):
    """The photos of one listing as a seller would send them: a folder."""
    folder = home / name
    folder.mkdir()
    for photo in sorted((home / "data" / "images").glob(f"{number:03}-*.png")):
        shutil.copyfile(photo, folder / photo.name)
    return folder


def test_a_folder_gets_a_verdict_and_the_photos_that_decided(home, vitrine):
    folders = [listing(home, "one", 10), listing(home, "two", 11)]  # test listings, authentic and counterfeit
    (folders[0] / "notes.txt").write_text("no photo")
    done = vitrine("predict", home / "ssa", *folders)
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["listing"] for line in lines] == [str(folder) for folder in folders]
    assert lines[0]["probability"] > 0.5 > lines[1]["probability"]
    for line in lines:
        assert line["verdict"] in ("authentic", "counterfeit", "ask an expert")
        weights = [photo["weight"] for photo in line["deciding_photos"]]
        assert weights == sorted(weights, reverse=True)
        assert 0.5 <= sum(weights) <= 1.0001
        assert all(photo["image"].endswith(".png") for photo in line["deciding_photos"])


def test_folders_without_a_listing_are_refused_in_one_line(home, vitrine, tmp_path):
    says(vitrine("predict", home / "ssa", tmp_path / "none"), "none")
    (tmp_path / "empty").mkdir()
    says(vitrine("predict", home / "ssa", tmp_path / "empty"), "empty")


def test_evaluation_prints_the_contracts_figures(home, vitrine, tmp_path):
    done = vitrine("evaluate", home / "ssa", home / "data", tmp_path / "out")
    assert done.code == 0, done.err
    printed = dict(line.split(" ") for line in done.out.splitlines() if not line.startswith("see"))
    assert {"accuracy", "precision", "recall", "f1", "auc", "count", "seconds_per_1000_images"} <= printed.keys()
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()).keys() == printed.keys()
