"""A model for listings is measured like any other: one folder with figures, a page, and what later pages show."""

import json

import pytest
from toy_listings import learnable_catalog

from vitrine.errors import InputError
from vitrine.evaluate import compute_metrics, evaluate
from vitrine.predict import apply
from vitrine.train import train

SETTINGS = ("epochs=6", "image_size=32", "batch_size=24", "workers=1", "learning_rate=0.005", "weights=none")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return learnable_catalog(tmp_path_factory.mktemp("catalog") / "data", listings=96)


@pytest.fixture(scope="module")
def model(catalog, tmp_path_factory, slow_to_make):
    return train("authenticity", "ssa", catalog, tmp_path_factory.mktemp("model") / "ssa", SETTINGS)


@pytest.fixture(scope="module")
def evaluated(model, catalog, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation") / "out"
    return evaluate(model, catalog, out), out


def test_the_folder_holds_what_every_task_has(evaluated):
    metrics, out = evaluated
    assert {path.name for path in out.iterdir()} == {
        "confusion.json",
        "examples.json",
        "metrics.json",
        "report.html",
        "samples.npz",
    }
    assert json.loads((out / "metrics.json").read_text()) == pytest.approx(metrics)
    contract = {"accuracy", "precision", "recall", "f1", "auc", "count", "seconds_per_1000_images"}
    assert contract <= metrics.keys()
    assert metrics["count"] == 16
    assert sum(map(sum, json.loads((out / "confusion.json").read_text())["matrix"])) == 16
    assert len(json.loads((out / "examples.json").read_text())) == 12
    page = (out / "report.html").read_text()
    assert "Evaluation: authenticity on the test listings" in page
    assert "How training went" in page
    assert "saliency" in page


def test_the_view_that_shows_the_verdict_is_told_from_the_others(evaluated):
    metrics, _ = evaluated
    assert metrics["accuracy"] > 0.9
    assert metrics["view:tag/accuracy"] > 0.9
    assert metrics["view:stamp/accuracy"] < 0.7
    assert metrics["view:tag/count"] == 16


def test_the_gate_measures_the_same_figures(evaluated, model, catalog):
    metrics, _ = evaluated
    again = compute_metrics(apply(model, catalog.of_split("test")))
    for name in ("accuracy", "precision", "recall", "f1", "auc", "count", "asked"):
        assert again[name] == pytest.approx(metrics[name])


def test_a_verdict_on_one_photo_is_that_of_the_listing_in_every_view(model, catalog, tmp_path):
    table = catalog.table.copy()
    later = table.duplicated("listing") | (table["split"] != "test")
    table.loc[later, "verdict"] = ""
    metrics = evaluate(model, catalog.with_table(table), tmp_path / "out")
    assert metrics["view:stamp/count"] == 16


def test_without_a_verdict_nothing_is_written(model, catalog, tmp_path):
    with pytest.raises(InputError, match="nothing to measure"):
        evaluate(model, catalog.with_table(catalog.table.assign(verdict="")), tmp_path / "out")
    assert not (tmp_path / "out").exists()
