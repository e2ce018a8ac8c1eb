"""Both contrastive losses against the formulas of Sections 3.1 and 3.2, number by number, and their gradients."""

import pytest
import torch

from vitrine.blocks.contrastive import contrastive
from vitrine.blocks.robust_contrastive import robust_contrastive

LOSSES = {"contrastive": contrastive, "robust": robust_contrastive}


def by_the_book(name, left, right, same, margin):
    losses = []
    for p, q, y in zip(left.tolist(), right.tolist(), same.tolist(), strict=True):
        squared = 0.0
        for a, b in zip(p, q, strict=True):
            squared += (a - b) ** 2
        if y:
            losses.append(min(margin**2, squared) if name == "robust" else squared)
        else:
            losses.append(max(0.0, margin**2 - squared))
    return losses


def pairs(n=40, dim=6, seed=0):
    """Half near and half far, of both kinds."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(n, dim, generator=generator)
    spread = torch.where(torch.arange(n) % 2 == 0, 0.2, 3.0)[:, None]
    return left, left + spread * torch.randn(n, dim, generator=generator), torch.arange(n) % 3 == 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("margin", [0.5, 2.0, 40.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_equals_the_formula(name, margin, dtype):
    left, right, same = pairs()
    left, right = left.to(dtype), right.to(dtype)
    got = LOSSES[name](left, right, same, margin)
    assert got.dtype == torch.float32
    assert got.tolist() == pytest.approx(by_the_book(name, left.float(), right.float(), same, margin), rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_float32_under_autocast(name):
    left, right, same = pairs(dim=64)
    with torch.autocast("cpu", torch.bfloat16):
        got = LOSSES[name](left, right, same, 4.0)
    assert got.tolist() == pytest.approx(by_the_book(name, left, right, same, 4.0), rel=1e-5)


def test_what_each_kind_of_pair_pulls_at():
    right = torch.zeros(4, 2)
    left = torch.tensor([[0.5, 0.0], [3.0, 0.0], [0.5, 0.0], [3.0, 0.0]])
    same = torch.tensor([True, True, False, False])
    slopes = {}
    for name, loss in LOSSES.items():
        moved = left.clone().requires_grad_()
        loss(moved, right, same, 2.0).sum().backward()
        slopes[name] = moved.grad[:, 0].tolist()
    assert slopes["contrastive"] == [1.0, 6.0, -1.0, 0.0]
    assert slopes["robust"] == [1.0, 0.0, -1.0, 0.0]  # the far positive pair is left alone


@pytest.mark.parametrize("name", LOSSES)
def test_equal_features_have_a_finite_slope(name):
    left = torch.ones(2, 3, requires_grad=True)
    losses = LOSSES[name](left, torch.ones(2, 3), torch.tensor([True, False]), 1.5)
    losses.sum().backward()
    assert losses.tolist() == [0.0, 2.25]
    assert torch.isfinite(left.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_no_pair_is_refused(name):
    left, right, same = pairs()
    with pytest.raises(ValueError, match="margin"):
        LOSSES[name](left, right, same, 0.0)
    with pytest.raises(ValueError, match="do not fit"):
        LOSSES[name](left, right[:-1], same, 1.0)
    with pytest.raises(ValueError, match="do not fit"):
        LOSSES[name](left, right, same[:-1], 1.0)
    assert LOSSES[name](left[:0], right[:0], same[:0], 1.0).shape == (0,)
