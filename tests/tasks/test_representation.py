"""What each variant may look at, and that the whole learns, resumes and measures."""

import json

import numpy as np
import pandas as pd
import pytest
from toys import toy_catalog

from vitrine.catalog import Catalog
from vitrine.errors import InputError
from vitrine.evaluate import evaluate
from vitrine.predict import load_model
from vitrine.predictions import RetrievalPredictions
from vitrine.tasks.representation import Representation
from vitrine.tasks.representation.net import super_classes
from vitrine.tasks.representation.objective import _groups, lambda_at, training_rows
from vitrine.tasks.representation.plan import describe
from vitrine.tasks.representation.report import representation_metrics
from vitrine.tasks.representation.settings import RepresentationSettings
from vitrine.train import train

QUICK = ("epochs=2", "image_size=32", "batch_size=32", "workers=1", "weights=none")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return toy_catalog(tmp_path_factory.mktemp("toys") / "catalog")


def unlabelled(catalog, every=5):
    table = catalog.table.copy()
    table.loc[table.index % every == 0, "category"] = ""
    return catalog.with_table(table)


def test_which_labels_each_variant_learns(catalog):
    described = {variant: describe(catalog, variant, 1) for variant in Representation.variants}
    assert described["base"]["classes"] == ["Angular", "Round"]
    assert described["base-indi-eff"] == described["base-indi"] == described["base"]
    assert described["indi"]["classes"] == []
    assert described["fine"]["classes"] == sorted(set(catalog.table["category"]))
    assert describe(catalog, "base", 0)["level"] == 2  # of three
    with pytest.raises(InputError, match="level=4"):
        describe(catalog, "base", 4)
    with pytest.raises(InputError, match="nothing to learn"):
        describe(catalog.with_table(catalog.table.assign(category="A/B")), "base", 1)


def test_photos_without_a_label_join_the_instance_term_alone(catalog):
    part = unlabelled(catalog)
    train_rows = int((part.table["split"] == "train").sum())
    labelled = int(((part.table["split"] == "train") & (part.table["category"] != "")).sum())
    sizes = {}
    for variant in ("base", "base-indi", "base-indi-eff"):
        config = describe(part, variant, 1) | {"variant": variant}
        supers = super_classes(config, part.table)
        rows = training_rows(part.table, variant, supers)
        group, place, sizes[variant] = _groups(part, config)
        assert len(rows) == (labelled if variant == "base" else train_rows)
        assert (group >= 0).sum() == len(rows)
        assert len({*zip(group[rows].tolist(), place[rows].tolist(), strict=True)}) == len(rows)  # one class each
    assert sizes["base-indi"] == [train_rows]
    assert len(sizes["base-indi-eff"]) == 3
    assert sum(sizes["base-indi-eff"]) == train_rows


def test_lambda_rises_to_its_value():
    settings = RepresentationSettings(epochs=20, **{"lambda": 0.5})
    weights = [lambda_at(epoch, settings) for epoch in range(20)]
    assert weights[0] == pytest.approx(0.125)
    assert weights[3:] == [0.5] * 17
    assert lambda_at(0, RepresentationSettings(epochs=1)) == 0.3


@pytest.mark.slow
@pytest.mark.parametrize("variant", Representation.variants)
def test_every_variant_trains_and_is_measured(catalog, tmp_path, variant):
    train("representation", variant, unlabelled(catalog), tmp_path / "model", (*QUICK, "level=1"))
    net, _ = load_model(tmp_path / "model")
    assert not [name for name in net.state_dict() if "instances" in name or "maskcon" in name]  # not kept
    found = evaluate(tmp_path / "model", catalog, tmp_path / "evaluation")
    trained = {"indi": [], "maskcon": [], "fine": [1, 2, 3]}.get(variant, [1])
    assert [level for level in (1, 2, 3) if f"level{level}/top1" in found] == trained
    assert {f"level{level}/recall@{k}" for level in (1, 2, 3) for k in (1, 2, 4, 8, 10, 100, 1000)} < set(found)
    assert found["count"] == 24
    assert json.loads((tmp_path / "evaluation/metrics.json").read_text()) == pytest.approx(found)
    assert "| validation/recall@1 |" in (tmp_path / "model/card.md").read_text()
    assert "What is found" in (tmp_path / "evaluation/report.html").read_text()


@pytest.mark.slow
def test_a_trained_net_finds_what_an_untrained_one_does_not(catalog, tmp_path):
    learnt = (*QUICK[1:], "epochs=25", "level=1")
    train("representation", "base-indi-eff", catalog, tmp_path / "model", learnt)
    found = evaluate(tmp_path / "model", catalog, tmp_path / "evaluation")
    assert found["level1/top1"] > 0.9
    assert found["level1/recall@1"] > 0.9


def test_collapsed_features_are_chance():
    paths = [f"A/{i % 4}" for i in range(80)]
    outcome = RetrievalPredictions("representation", [""] * 80, [], np.ones((80, 16), np.float32), 1.0, paths=paths)
    found = representation_metrics(outcome)
    assert found["level2/recall@1"] == pytest.approx(19 / 79)
    assert found["recall@1"] == found["level2/recall@1"]
    assert found["level1/recall@1"] == 1.0  # there is one node only
    with pytest.raises(InputError, match="nothing to measure"):
        representation_metrics(
            RetrievalPredictions("representation", ["", ""], [], np.ones((2, 4)), 1.0, paths=["A", "B"])
        )


def test_the_gallery_answers_and_is_not_asked_for():
    """Two test photos, alone of their kinds, and one shop photo of each; the second's lies beside the first."""
    task = Representation()
    table = pd.DataFrame(
        {
            "image": ["u0", "u1", "s0", "s1"],
            "category": ["A/a", "A/b", "A/a", "A/b"],
            "domain": ["user", "user", "shop", "shop"],
            "split": ["test", "test", "", ""],
        }
    )
    rows = task.rows(Catalog("/photos", table), "test")
    assert len(rows) == 4
    config = {"classes": ["A/a", "A/b"], "leaves": ["A/a", "A/b"], "level": 2, "temperatures": {"super": 1.0}}
    features = np.array([[1, 0], [0, 1], [1, 0.1], [1, 0.1]], np.float32)
    scores = {"super": np.array([[9, 0], [9, 0], [9, 0], [0, 9]], np.float32)}
    found = representation_metrics(task.predictions(config, rows.table, features, scores, 1.0))
    assert found["count"] == 2
    assert found["level2/recall@1"] == 0.5  # the two shop photos are equally near to both
    assert found["level2/top1"] == 0.5  # of the two test photos
