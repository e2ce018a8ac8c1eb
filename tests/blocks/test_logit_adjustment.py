"""Logit adjustment: tau log pi, and the answers it leads to."""

import math

import pytest
import torch

from vitrine.blocks.logit_adjustment import logit_offsets


def test_is_tau_times_the_log_of_the_share():
    counts = [6.0, 3.0, 1.0]
    assert logit_offsets(counts, 0.7).tolist() == pytest.approx([0.7 * math.log(c / 10) for c in counts])
    assert logit_offsets(counts, 0.0).tolist() == [0, 0, 0]


def test_a_class_without_photos_stays_finite():
    assert torch.isfinite(logit_offsets([0.0, 5.0])).all()


@pytest.mark.parametrize("counts", [[], [1.0, -1.0], [[1.0]]])
def test_meaningless_counts(counts):
    with pytest.raises(ValueError, match="counts"):
        logit_offsets(counts)


def test_a_net_that_only_knows_the_shares_learns_to_have_no_preference():
    """Scores free, no features: with the offsets inside the loss the best plain scores are equal."""
    counts = torch.tensor([8.0, 1.0, 1.0])
    scores = torch.zeros(3, requires_grad=True)
    for _ in range(500):
        loss = -(counts / counts.sum() * (scores + logit_offsets(counts.tolist())).log_softmax(0)).sum()
        (slope,) = torch.autograd.grad(loss, scores)
        scores = (scores - slope).detach().requires_grad_()
    assert scores.std() < 0.02
