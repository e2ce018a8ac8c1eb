"""The frozen net's figures: what a regression on its features comes to, from training rows alone, for every task."""

import json

import numpy as np
import pytest
from toy_listings import learnable_catalog
from toy_pairs import toy_pairs
from toys import toy_catalog

from vitrine.blocks import pretrained
from vitrine.evaluate import baseline, compute_metrics, evaluate
from vitrine.evaluation.beside import add_baseline, prefixed
from vitrine.model import load_config
from vitrine.report import Page
from vitrine.train import train

QUICK = ["epochs=1", "image_size=32", "batch_size=16", "workers=1", "trunk=frozen", "copies=0"]


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    return toy_catalog(tmp_path_factory.mktemp("toys") / "toys", photos=96)


@pytest.fixture(scope="module")
def model(toys, tmp_path_factory, slow_to_make):
    out = tmp_path_factory.mktemp("models") / "taxonomy"
    return train("taxonomy", "bmtl-ca", toys, out, [*QUICK, "hidden=8"])


def test_the_card_and_the_config_name_the_weights(model):
    told = load_config(model)["weights"]
    assert told["sha256"] == "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
    assert told["source"] == "mobilenet_v2-b0353104 as packaged"
    card = (model / "card.md").read_text()
    assert f"Started from {told['source']} (SHA-256 `{told['sha256']}`, {told['licence']})." in card


def test_every_question_of_the_model_is_asked(toys, model):
    rows = toys.of_split("test")
    found = baseline(load_config(model), toys, rows)
    assert found.images == rows.table["image"].tolist()
    names = [question.name for question in found.targets]
    assert names == ["level1", "level2", "level3", *(f"attr:{kind}" for kind in load_config(model)["labels"])]
    for question in found.targets:
        assert question.scores.shape == (len(rows), len(question.labels))
        assert question.scores.sum(axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-5)
    assert compute_metrics(found)["attr:colour/top1"] > 0.6  # colours of plain squares


def test_it_learns_from_training_rows_alone(toys, model):
    """Labels of the measured rows change nothing of what is answered."""
    config = load_config(model)
    before = baseline(config, toys, toys.of_split("test"))
    turned = toys.table.copy()
    test = (turned["split"] == "test").to_numpy()
    for name in ("category", "attr:colour"):
        turned.loc[test, name] = turned.loc[test, name].to_numpy()[::-1]
    other = toys.with_table(turned)
    after = baseline(config, other, other.of_split("test"))
    for one, two in zip(before.targets, after.targets, strict=True):
        assert np.array_equal(one.scores, two.scores)


def test_evaluate_writes_and_shows_both(toys, model, tmp_path):
    metrics = evaluate(model, toys, tmp_path / "out")
    expected = prefixed(compute_metrics(baseline(load_config(model), toys, toys.of_split("test"))))
    assert {key: value for key, value in metrics.items() if key.startswith("baseline/")} == expected
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == metrics
    page = (tmp_path / "out/report.html").read_text()
    assert "Beside the frozen net" in page
    assert "baseline/count" not in metrics


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": None}, "trained from nothing"),
        ({"weights": {"source": "another file", "sha256": "0" * 64}}, r"started from \(another file\) are not here"),
    ],
)
def test_without_these_weights_it_says_why_there_is_none(toys, model, change, said):
    found = baseline(load_config(model) | change, toys, toys.of_split("test"))
    assert isinstance(found, str)
    import re

    assert re.search(said, found)


def test_weights_that_are_gone_are_said(toys, model, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(pretrained.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(pretrained, "TIMEOUT", 0.001)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    found = baseline(load_config(model), toys, toys.of_split("test"))
    assert "cannot be had here" in found


def test_a_catalog_of_test_rows_alone_has_nothing_to_fit(toys, model, tmp_path, capsys):
    rows = toys.of_split("test")
    assert "no training rows" in baseline(load_config(model), rows, rows)
    metrics = evaluate(model, rows, tmp_path / "out")
    assert not any(key.startswith("baseline/") for key in metrics)
    assert "no baseline: " in capsys.readouterr().err


@pytest.mark.slow
def test_attributes(toys, tmp_path):
    train("attributes", "bce", toys, tmp_path / "m", QUICK)
    metrics = evaluate(tmp_path / "m", toys, tmp_path / "out")
    assert metrics["baseline/attr:colour/recall@1"] > 0.6


@pytest.mark.slow
def test_representation_and_matching_search_with_features_as_they_came(toys, tmp_path):
    settings = [*QUICK, "trunk=upper"]
    train("representation", "base", toys, tmp_path / "r", settings)
    metrics = evaluate(tmp_path / "r", toys, tmp_path / "r-out")
    assert 0 < metrics["baseline/level2/recall@1"] <= 1
    pairs = toy_pairs(tmp_path / "pairs")
    train("matching", "pretrained", pairs, tmp_path / "p", settings)
    metrics = evaluate(tmp_path / "p", pairs, tmp_path / "p-out")
    assert metrics["baseline/top1"] == pytest.approx(metrics["top1"], abs=0.05)
    assert metrics["baseline/top20"] == pytest.approx(metrics["top20"], abs=0.05)


@pytest.mark.slow
def test_listings_are_judged_by_their_photos_mean(tmp_path):
    catalog = learnable_catalog(tmp_path / "data", listings=48)
    train("authenticity", "mil-att", catalog, tmp_path / "a", QUICK)
    config = load_config(tmp_path / "a")
    rows = catalog.of_split("test")
    found = baseline(config, catalog, rows)
    assert list(found.listings) == list(dict.fromkeys(rows.table["listing"]))
    assert ((found.probability >= 0) & (found.probability <= 1)).all()
    metrics = evaluate(tmp_path / "a", catalog, tmp_path / "a-out")
    assert 0 <= metrics["baseline/auc"] <= 1


def test_a_page_without_a_baseline_has_no_such_table():
    page = Page("t")
    add_baseline(page, {"top1": 0.5})
    assert "Beside the frozen net" not in page.render()
    add_baseline(page, {"top1": 0.5, "baseline/top1": 0.75, "level1/top1": 0.9, "baseline/level1/top1": 0.8})
    shown = page.render()
    assert "Beside the frozen net" in shown
    assert "-25.0" in shown
    assert shown.index(">top1<") < shown.index(">level1/top1<")


def test_only_shares_of_which_more_is_better_are_shown_and_no_endless_list():
    page = Page("t")
    metrics = {"top1": 0.5, "ece": 0.1, "shop_photos": 81.0, **{f"category:{i}/top20": 0.5 for i in range(30)}}
    add_baseline(page, metrics | prefixed(metrics))
    shown = page.render()
    assert prefixed({"shop_photos": 81.0, "top1": 0.5}) == {"baseline/top1": 0.5}
    assert ">ece<" not in shown
    assert ">category:18/top20<" in shown
    assert ">category:19/top20<" not in shown
    assert "11 more figures" in shown
