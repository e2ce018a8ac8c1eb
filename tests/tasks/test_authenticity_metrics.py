"""Figures about listings against slow loops and cases small enough to count on paper."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score
from toy_listings import an_outcome

from vitrine.errors import InputError
from vitrine.evaluation.calibration import calibration_error
from vitrine.tasks.authenticity import metrics as authenticity
from vitrine.tasks.authenticity.metrics import (
    area_under_curve,
    attention_by_view,
    attention_entropy,
    listing_metrics,
    rates,
    view_metrics,
)

A, C = "authentic", "counterfeit"
ANSWERS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.5, 0.7, 1.0]), st.booleans()), min_size=1)


def test_a_case_counted_by_hand():
    outcome = an_outcome([0.95, 0.6, 0.1, 0.55, 0.05, 0.4], [A, A, A, C, C, ""])
    figures = listing_metrics(outcome)
    # At one half: L0, L1 right, L2 wrongly refused, L3 wrongly accepted, L4 right; L5 is unlabelled.
    assert figures["accuracy"] == 3 / 5
    assert figures["precision"] == figures["recall"] == figures["f1"] == 2 / 3
    assert figures["auc"] == pytest.approx(5 / 6)  # of the six pairs only L2 and L3 stand the wrong way round
    # At 0.2 and 0.9: L1 and L3 are asked about; of L0, L2, L4 two are right.
    assert figures["asked"] == pytest.approx(2 / 5)
    assert figures["decided_accuracy"] == pytest.approx(2 / 3)
    assert figures["count"] == 5
    assert figures["seconds_per_1000_images"] == pytest.approx(1000 * 0.5 / 18)


@pytest.mark.slow
@given(ANSWERS)
def test_rates_agree_with_scikit_learn(answers):
    probability = np.array([p for p, _ in answers])
    authentic = np.array([y for _, y in answers])
    found = rates(probability, authentic)
    precision, recall, f1, _ = precision_recall_fscore_support(
        authentic, probability >= 0.5, average="binary", pos_label=True, zero_division=0
    )
    assert found["accuracy"] == np.mean((probability >= 0.5) == authentic)
    assert found["precision"] == pytest.approx(precision)
    if authentic.any():
        assert (found["recall"], found["f1"]) == pytest.approx((recall, f1))
    if authentic.any() and not authentic.all():
        assert found["auc"] == pytest.approx(roc_auc_score(authentic, probability))


@given(ANSWERS)
def test_the_area_is_the_chance_of_the_right_order(answers):
    ups = [p for p, y in answers if y]
    downs = [p for p, y in answers if not y]
    area = area_under_curve(np.array([p for p, _ in answers]), np.array([y for _, y in answers]))
    if not ups or not downs:
        assert np.isnan(area)
    else:
        won = sum((a > c) + 0.5 * (a == c) for a in ups for c in downs)
        assert area == pytest.approx(won / (len(ups) * len(downs)))


@given(ANSWERS)
def test_calibration_error_against_a_loop(answers):
    expected = 0.0
    for low in range(10):
        inside = [(p, y) for p, y in answers if low <= p * 10 < low + 1 or (low == 9 and p == 1.0)]
        if inside:
            gap = np.mean([y for _, y in inside]) - np.mean([p for p, _ in inside])
            expected += len(inside) / len(answers) * abs(gap)
    found = calibration_error(np.array([p for p, _ in answers]), np.array([y for _, y in answers]))
    assert found == pytest.approx(expected)


def test_what_cannot_be_computed_is_left_out():
    figures = listing_metrics(an_outcome([0.5, 0.5], [A, A]))
    assert "auc" not in figures
    assert "decided_accuracy" not in figures
    assert "attention_entropy" not in figures
    assert figures["asked"] == 1.0


def test_without_a_verdict_there_is_nothing_to_measure():
    with pytest.raises(InputError, match="none of 2 listings has a verdict"):
        listing_metrics(an_outcome([0.5, 0.5], ["", ""]))


def test_entropy_tells_even_weights_from_one_deciding_photo():
    assert attention_entropy([np.full(5, 0.2), np.full(3, 1 / 3)]) == pytest.approx(1)
    assert attention_entropy([np.array([0.0, 1.0, 0.0])]) == 0
    weights = np.array([0.7, 0.2, 0.1])
    expected = -sum(w * np.log(w) for w in weights) / np.log(3)
    assert attention_entropy([weights, np.array([1.0])]) == pytest.approx(expected)
    assert np.isnan(attention_entropy([np.array([1.0])]))


def test_attention_of_a_view_adds_up_its_photos_within_a_listing():
    outcome = an_outcome(
        [0.5, 0.5],
        [A, C],
        attention=[np.array([0.2, 0.5, 0.3]), np.array([0.9, 0.1])],
        views=[["tag", "tag", ""], ["stamp", "tag"]],
    )
    assert attention_by_view(outcome) == pytest.approx({"stamp": 0.9, "tag": (0.7 + 0.1) / 2})


def test_a_view_alone_is_measured_where_enough_listings_show_it():
    whole = an_outcome([0.9, 0.1] * 6, [A, C] * 6)
    tags = an_outcome([0.9, 0.8] * 6, [A, C] * 6, views=[["tag"]] * 12)
    stamps = an_outcome([0.9, 0.1] * 2, [A, C] * 2, views=[["stamp"]] * 4)
    figures = listing_metrics(whole) | view_metrics({"tag": tags, "stamp": stamps})
    assert figures["accuracy"] == 1.0
    assert figures["view:tag/accuracy"] == figures["view:tag/precision"] == 0.5
    assert figures["view:tag/recall"] == 1.0
    assert figures["view:tag/f1"] == pytest.approx(2 / 3)
    assert figures["view:tag/count"] == 12
    assert not any(name.startswith("view:stamp/") for name in figures)


def test_the_examples_in_docstrings_hold():
    assert doctest.testmod(authenticity).failed == 0
    assert doctest.testmod(authenticity).attempted > 2
