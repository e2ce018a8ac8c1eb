"""The loss of the compared system, against a plain loop."""

import math

import pytest
import torch

from vitrine.blocks.binary_cross_entropy import annotated_binary_cross_entropy


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_equals_the_loop(dtype):
    torch.manual_seed(0)
    scores = torch.randn(6, 4).to(dtype)
    carries = torch.tensor([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 1, 0]]).bool()
    losses = []
    for z, y in zip(scores.double().tolist(), carries.tolist(), strict=True):
        if not any(y):
            continue
        terms = [
            -math.log(1 / (1 + math.exp(-a))) if b else -math.log(1 - 1 / (1 + math.exp(-a)))
            for a, b in zip(z, y, strict=True)
        ]
        losses.append(sum(terms) / 4)
    assert annotated_binary_cross_entropy(scores, carries).item() == pytest.approx(sum(losses) / 5, rel=1e-5)


def test_photos_without_a_label_teach_nothing():
    scores = torch.randn(3, 2, requires_grad=True)
    loss = annotated_binary_cross_entropy(scores, torch.zeros(3, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert (scores.grad == 0).all()


def test_far_off_scores_stay_finite():
    scores = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = annotated_binary_cross_entropy(scores, torch.tensor([[False, True]]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()
