"""Eq. 5-7 label by label, and the branches."""

import doctest
import math

import pytest
import torch

from vitrine.blocks import multitask
from vitrine.blocks.multitask import (
    AttributeBranch,
    CategoryBranch,
    annotated_cross_entropy,
    attribute_weights,
    subtree_cross_entropy,
)


def by_the_book(scores, labels):
    """Eq. 6 and S(.) of Eq. 7; several labels of one photo share its weight."""
    total = 0.0
    for row, own in zip(scores.tolist(), labels, strict=True):
        normaliser = sum(math.exp(score) for score in row)
        for label in own:
            total += -math.log(math.exp(row[label]) / normaliser) / len(own)
    return total / len(labels)


def targets_of(labels, classes):
    targets = torch.zeros(len(labels), classes)
    for row, own in enumerate(labels):
        for label in own:
            targets[row, label] = 1 / len(own)
    return targets


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "labels",
    [
        [[0], [3], [1], [2], [0]],
        [[], [3], [], [], [0]],  # sparse
        [[0, 1], [3], [1, 2, 3], [], [0]],  # multi-valued
    ],
)
def test_cross_entropy_equals_the_formula(dtype, labels):
    scores = (torch.randn(5, 4, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    got = annotated_cross_entropy(scores, targets_of(labels, 4))
    assert got.dtype == torch.float32
    assert math.isclose(got.item(), by_the_book(scores.float(), labels), rel_tol=1e-5)


def test_the_sum_is_over_all_photos_of_the_batch():
    """Eq. 5 divides by N: an attribute that one photo of four has counts a quarter."""
    scores = torch.zeros(4, 2)
    assert annotated_cross_entropy(scores, targets_of([[0], [], [], []], 2)).item() == pytest.approx(math.log(2) / 4)


def test_photos_without_the_attribute_have_no_gradient():
    scores = torch.randn(3, 4, requires_grad=True)
    annotated_cross_entropy(scores, targets_of([[0], [], [1]], 4)).backward()
    assert scores.grad[1].abs().max() == 0
    assert scores.grad[0].abs().max() > 0


def test_none_annotated_gives_zero_and_a_gradient_of_zero():
    scores = torch.randn(3, 4, requires_grad=True)
    loss = annotated_cross_entropy(scores, torch.zeros(3, 4))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad.abs().max() == 0


def test_large_scores_stay_finite():
    scores = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = annotated_cross_entropy(scores, torch.tensor([[0.0, 1.0]]))
    loss.backward()
    assert math.isclose(loss.item(), 2e4, rel_tol=1e-6)
    assert torch.isfinite(scores.grad).all()


def test_weights_fall_with_the_number_of_annotated_photos():
    weights = attribute_weights({"rare": 50, "common": 100, "everywhere": 100_000}, scale=2.0)
    assert weights == {"rare": 1.0, "common": 0.5, "everywhere": 0.2}


@pytest.mark.parametrize(
    ("annotated", "wanted"),
    [({}, {}), ({"a": 0}, {"a": 0.5}), ({"a": 0, "b": 10}, {"a": 0.5, "b": 0.1}), ({"a": 7}, {"a": 0.5})],
)
def test_weights_at_the_edges(annotated, wanted):
    assert attribute_weights(annotated) == wanted


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(multitask).failed == 0


def test_category_branch_is_two_layers():
    branch = CategoryBranch(6, 11)
    assert branch(torch.randn(3, 6)).shape == (3, 11)
    assert [tuple(p.shape) for p in branch.parameters() if p.ndim == 2] == [(6, 6), (11, 6)]


STATES = {"items": 3, "training": 2, "a.b": 4, "": 2, "forward": 5, "Farbe (größe)": 2}


def test_attribute_branch_has_a_shared_layer_of_all_states_and_one_sub_layer_each():
    branch = AttributeBranch(6, STATES)
    scores = branch(torch.randn(5, 6))
    assert list(scores) == list(STATES)
    assert {kind: tuple(own.shape) for kind, own in scores.items()} == {kind: (5, m) for kind, m in STATES.items()}
    total = sum(STATES.values())
    assert [tuple(p.shape) for p in branch.parameters() if p.ndim == 2] == [
        (total, 6),
        *((m, total) for m in STATES.values()),
    ]


def test_a_sub_layer_teaches_the_shared_layer_but_no_other_sub_layer():
    branch = AttributeBranch(6, {"a": 2, "b": 3})
    branch(torch.randn(4, 6))["a"].sum().backward()
    assert branch.subtasks[0].weight.grad is not None
    assert branch.subtasks[1].weight.grad is None
    assert branch.shared[0].weight.grad.abs().max() > 0


def test_a_photo_with_a_leaf_has_the_logistic_loss_and_one_cut_short_that_of_its_subtree():
    scores = torch.tensor([[1.0, 0.0, -1.0], [0.3, 0.2, 2.0], [5.0, 1.0, 0.0]], requires_grad=True)
    allowed = torch.tensor([[True, False, False], [True, True, False], [False, False, False]])
    total = 0.0
    for row, own in zip(scores.tolist(), allowed.tolist(), strict=True):
        if any(own):
            inside = sum(math.exp(score) for score, right in zip(row, own, strict=True) if right)
            total -= math.log(inside / sum(math.exp(score) for score in row))
    loss = subtree_cross_entropy(scores, allowed)
    assert math.isclose(loss.item(), total / 3, rel_tol=1e-6)
    loss.backward()
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[2].abs().max() == 0


def test_no_photo_with_a_category_is_no_loss():
    scores = torch.zeros(2, 3, requires_grad=True)
    loss = subtree_cross_entropy(scores, torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad.abs().max() == 0
