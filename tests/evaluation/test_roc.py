"""The ROC curve against counting, and that Kubeflow's UI can draw it."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp.dsl import ClassificationMetrics
from sklearn.metrics import auc, roc_auc_score, roc_curve

from vitrine.evaluation import roc as module
from vitrine.evaluation.roc import POINTS, micro_roc, roc
from vitrine.predictions import LabelPredictions

EMPTY = {"fpr": [], "tpr": [], "threshold": []}


def test_the_example():
    assert doctest.testmod(module).failed == 0


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=60))
def test_each_point_is_what_counting_gives(pairs):
    score, positive = np.array([s for s, _ in pairs]), np.array([p for _, p in pairs])
    found = roc(score, positive)
    if positive.all() or not positive.any():
        assert found == EMPTY
        return
    for fpr, tpr, threshold in zip(*found.values(), strict=True):
        said = score >= threshold
        assert tpr == pytest.approx(said[positive].mean())
        assert fpr == pytest.approx(said[~positive].mean())


def test_a_long_curve_keeps_its_ends_its_shape_and_few_points():
    random = np.random.default_rng(0)
    positive = random.random(20_000) < 0.1
    score = (random.normal(size=20_000) + positive * 1.5).astype(np.float32)
    found = roc(score, positive)
    assert 150 < len(found["fpr"]) <= POINTS
    assert (found["fpr"][0], found["tpr"][0], found["fpr"][-1], found["tpr"][-1]) == (0, 0, 1, 1)
    assert np.isfinite(found["threshold"]).all()
    assert (np.diff(found["threshold"]) < 0).all()
    assert auc(found["fpr"], found["tpr"]) == pytest.approx(roc_auc_score(positive, score), abs=1e-3)


def test_labels_are_asked_one_against_the_rest():
    random = np.random.default_rng(1)
    scores = random.dirichlet(np.ones(3), size=40).astype(np.float32)
    truth = [[str(label)] for label in random.integers(0, 3, size=40)]
    truth[0], truth[1], truth[2] = [], ["unknown"], ["0", "2", "unknown"]
    found = micro_roc(LabelPredictions("attr:style", ["0", "1", "2"], scores, scores.max(1), truth))
    pairs = [
        (scores[row, label], str(label) in truth[row]) for row in range(40) if row not in (0, 1) for label in range(3)
    ]
    fpr, tpr, _ = roc_curve([right for _, right in pairs], [score for score, _ in pairs], drop_intermediate=False)
    np.testing.assert_allclose(found["fpr"], fpr)
    np.testing.assert_allclose(found["tpr"], tpr)


def test_nothing_to_tell_apart_is_no_curve():
    asked = LabelPredictions("level1", ["a"], np.ones((2, 1)), np.ones(2), [["a"], ["a"]])
    assert micro_roc(asked) == EMPTY
    assert micro_roc(LabelPredictions("level1", ["a", "b"], np.ones((1, 2)), np.ones(1), [[]])) == EMPTY
    artifact = ClassificationMetrics()
    artifact.log_roc_curve(**EMPTY)
    assert artifact.metadata == {}
