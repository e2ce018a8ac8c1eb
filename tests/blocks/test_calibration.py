"""Temperature scaling and Platt scaling find what the answers were made with."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from vitrine.blocks.calibration import fit_platt, fit_prior, fit_temperature


def answers(temperature, seed=0, n=4000, classes=5, scale=2.0):
    random = np.random.default_rng(seed)
    scores = random.normal(size=(n, classes)) * scale
    chances = softmax(scores / temperature, axis=1).cumsum(axis=1)
    truth = (random.random((n, 1)) > chances).sum(axis=1).clip(max=classes - 1)
    return scores, np.eye(classes, dtype=bool)[truth]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("scale", [0.02, 2.0, 50.0])
def test_recovers_a_known_temperature(temperature, scale):
    scores, targets = answers(temperature * scale, scale=scale)
    assert fit_temperature(scores, targets) == pytest.approx(temperature * scale, rel=0.1)


def test_no_temperature_nearby_is_likelier():
    scores, targets = answers(1.7, n=300)
    targets[:50, :2] = True  # several labels: any of them may be answered
    found = fit_temperature(scores, targets)

    def likelihood(temperature):
        return np.log((np.exp(log_softmax(scores / temperature, axis=1)) * targets).sum(axis=1)).mean()

    assert likelihood(found) >= max(likelihood(found * 1.02), likelihood(found / 1.02))


def test_unlabelled_photos_do_not_count():
    scores, targets = answers(2.0, n=500)
    unlabelled = np.concatenate([targets, np.zeros_like(targets)])
    both = fit_temperature(np.concatenate([scores, scores]), unlabelled)
    assert both == pytest.approx(fit_temperature(scores, targets), rel=1e-3)


@pytest.mark.parametrize(
    ("scores", "targets"),
    [
        (np.random.default_rng(0).normal(size=(9, 3)), np.zeros((9, 3), bool)),  # no labels
        (np.random.default_rng(0).normal(size=(9, 1)), np.ones((9, 1), bool)),  # a single class
        (np.ones((4, 3)), np.eye(4, 3, dtype=bool)),  # nothing tells the classes apart
        (np.eye(3).repeat(5, axis=0) * 9, np.eye(3, dtype=bool).repeat(5, axis=0)),  # always right
        (-np.eye(3).repeat(5, axis=0) * 9, np.eye(3, dtype=bool).repeat(5, axis=0)),  # always wrong
    ],
)
def test_is_positive_and_finite_at_the_edges(scores, targets):
    found = fit_temperature(scores.astype(np.float32), targets)
    assert 0 < found < np.inf


@pytest.mark.parametrize("needed", [0.0, 0.6, 1.0])
def test_recovers_how_far_the_shares_of_classes_are_needed(needed):
    """Truth is drawn from softmax(scores / 2 + needed log pi)."""
    counts = np.array([800, 150, 40, 9])
    logs = np.log((counts + 1) / (counts + 1).sum())
    random = np.random.default_rng(0)
    scores = random.normal(size=(6000, 4)) * 3
    chances = softmax(scores / 2 + needed * logs, axis=1).cumsum(axis=1)
    targets = np.eye(4, dtype=bool)[(random.random((6000, 1)) > chances).sum(axis=1).clip(max=3)]
    temperature, offsets = fit_prior(scores, targets, counts)
    assert temperature == pytest.approx(2.0, rel=0.1)
    assert offsets == pytest.approx(needed * logs, abs=0.06 * np.abs(logs).max())


def test_a_prior_without_labels_to_fit_on_changes_nothing():
    temperature, offsets = fit_prior(np.eye(3), np.zeros((3, 3), bool), np.array([5, 1, 0]))
    assert temperature > 0
    assert (offsets == 0).all()


@pytest.mark.parametrize(("slope", "bias"), [(1.0, 0.0), (0.2, 1.5), (30.0, -2.0)])
def test_platt_recovers_a_known_slope_and_bias(slope, bias):
    random = np.random.default_rng(0)
    scores = (random.normal(size=20_000) * 2 - bias) / slope
    positive = random.random(20_000) < expit(slope * scores + bias)
    found = fit_platt(scores, positive)
    assert found == pytest.approx((slope, bias), rel=0.08, abs=0.08)


def test_platt_stays_finite_on_listings_told_apart_without_a_mistake():
    scores, positive = np.array([-3.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True])
    slope, bias = fit_platt(scores, positive)
    probability = expit(slope * scores + bias)
    assert probability[positive].min() > 0.6
    assert probability[~positive].max() < 0.4
    assert probability.max() < 0.99
    assert probability.min() > 0.01


def test_platt_never_turns_an_answer_round():
    scores = np.array([1.0, 2.0, -1.0, -2.0])
    assert fit_platt(scores, scores < 0)[0] == pytest.approx(0.0, abs=1e-9)


def test_platt_of_scores_that_say_nothing_is_the_share_of_positives():
    slope, bias = fit_platt(np.full(8, 0.3), np.arange(8) < 6)
    assert (slope, expit(bias)) == pytest.approx((0.0, (6 * 7 / 8 + 2 / 4) / 8))
    assert fit_platt(np.empty(0), np.empty(0, bool)) == (1.0, 0.0)
