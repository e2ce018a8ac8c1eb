"""How far up mistakes go, and whether levels agree."""

import doctest

import numpy as np
import pytest

from vitrine.evaluation import hierarchy
from vitrine.evaluation.hierarchy import agreement, mistake_height, mistakes, steps_up
from vitrine.predictions import LabelPredictions


def asked(name, labels, best, truth=None):
    scores = np.eye(len(labels))[[labels.index(label) for label in best]]
    return LabelPredictions(name, labels, scores, scores.max(axis=1), truth or [[] for _ in best])


@pytest.mark.parametrize(
    ("truth", "answer", "steps"),
    [
        ("A/B/C", "A/B/C", 0),
        ("A/B/C", "A/B/D", 1),
        ("A/B/C", "A/E", 2),
        ("A/B/C", "F", 3),
        ("F", "A/B/C", 1),
        ("A/Bc", "A/B", 1),
    ],
)
def test_steps_up(truth, answer, steps):
    assert steps_up(truth, answer) == steps


def test_examples():
    assert doctest.testmod(hierarchy).failed == 0


def test_only_mistakes_count():
    question = asked("level2", ["A/x", "A/y", "B/z"], ["A/x", "A/y", "B/z", "B/z"], [["A/x"], ["A/x"], ["A/x"], []])
    assert mistakes(question).tolist() == [1, 2]
    assert mistake_height(question) == pytest.approx((1 / 2 + 2 / 2) / 2)


def test_a_category_the_model_never_saw_is_a_mistake():
    assert mistakes(asked("level2", ["A/x", "B"], ["A/x"], [["A/new"]])).tolist() == [1]


def test_agreement_is_one_path():
    coarse = asked("level1", ["A", "B"], ["A", "B", "A", "B"])
    fine = asked("level2", ["A/x", "Ax/y", "B"], ["A/x", "A/x", "Ax/y", "B"])  # Ax is not below A; B is a leaf
    assert agreement([coarse, fine]).tolist() == [True, False, False, True]


def test_no_mistake_has_no_height():
    assert mistake_height(asked("level2", ["A/x", "B"], ["A/x"], [["A/x"]])) is None
