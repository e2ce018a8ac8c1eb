"""The regression's minimum is scikit-learn's, and its strength is chosen on rows it has not seen."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from vitrine.blocks.logistic import DEFAULT, fit_logistic


def clouds(rows, classes=3, dim=5, seed=0, spread=1.0):
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, dim))
    truth = random.integers(0, classes, rows)
    return (centres[truth] + spread * random.normal(size=(rows, dim))).astype(np.float32), np.eye(classes)[truth]


def test_it_is_the_minimum_that_scikit_learn_finds():
    features, targets = clouds(120)
    own = fit_logistic(features, targets.astype(np.float32))
    assert own.strength == DEFAULT
    scaled = (features - own.mean) / own.deviation
    other = LogisticRegression(C=1 / (DEFAULT * len(features)), tol=1e-8, max_iter=1000)
    other.fit(scaled, targets.argmax(axis=1))
    new, _ = clouds(30, seed=1)
    scores = own.scores(new)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert shares == pytest.approx(other.predict_proba((new - own.mean) / own.deviation), abs=2e-3)


def test_the_strength_is_the_one_that_answers_other_rows_best():
    features, targets = clouds(40, dim=60, spread=2.0)
    held_out = clouds(300, dim=60, seed=1, spread=2.0)
    tried = (1e-4, 1e-1, 10.0)
    own = fit_logistic(features, targets.astype(np.float32), held_out, tried)

    def right(strength):
        fit = fit_logistic(features, targets.astype(np.float32), held_out, [strength])
        return held_out[1][np.arange(300), fit.scores(held_out[0]).argmax(axis=1)].mean()

    assert own.strength in [strength for strength in tried if right(strength) == max(map(right, tried))]


def test_rows_with_several_labels_share_their_weight():
    features = np.zeros((4, 2), np.float32)
    targets = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    scores = fit_logistic(features, targets).scores(features)[0]
    assert np.exp(scores) / np.exp(scores).sum() == pytest.approx(targets.mean(axis=0), abs=1e-3)


def test_a_constant_feature_divides_by_nothing():
    features = np.ones((4, 1), np.float32)
    assert np.isfinite(fit_logistic(features, np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]).scores(features)).all()


def test_without_rows_every_class_is_as_likely():
    """A type that only test photos are annotated for."""
    none, features = np.zeros((0, 2), np.float32), np.ones((3, 2), np.float32)
    regression = fit_logistic(none, np.zeros((0, 4), np.float32), (features, np.eye(4, dtype=bool)[:3]))
    assert (regression.scores(features) == 0).all()
    assert regression.scores(features).shape == (3, 4)
