"""Label columns as arrays."""

import numpy as np
import pandas as pd
import pytest

from vitrine.data.truth import attribute_truth, label_matrix, labelled_accuracy, top1_accuracy


def test_attribute_truth():
    table = pd.DataFrame({"image": ["a", "b", "c"], "attr:a.b": ["red", "", "red|dark blue"]})
    assert attribute_truth(table, "a.b") == [["red"], [], ["red", "dark blue"]]
    assert attribute_truth(table, "none") == [[], [], []]


def test_label_matrix_leaves_unknown_labels_out():
    matrix = label_matrix([["x"], [], ["y", "z"], ["unseen"]], ["x", "y", "z"])
    assert matrix.dtype == bool
    assert matrix.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert label_matrix([], ["x"]).shape == (0, 1)


def test_top1_counts_labelled_rows_only_and_any_of_several_labels():
    scores = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.0, 0.1, 0.9], [0.9, 0.0, 0.0]])
    matrix = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 1, 0]], bool)
    assert top1_accuracy(scores, matrix) == pytest.approx(2 / 3)
    assert top1_accuracy(scores, np.zeros((4, 3), bool)) is None


def test_a_label_that_cannot_be_answered_is_a_miss_and_none_is_no_row():
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    assert labelled_accuracy(scores, [["a"], ["b"], ["new"], []], ["a", "b"]) == (pytest.approx(1 / 3), 3)
    assert labelled_accuracy(scores[:1], [[]], ["a", "b"]) == (None, 0)
