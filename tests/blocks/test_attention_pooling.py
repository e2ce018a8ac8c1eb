"""Eq. 1 against a loop, and what attention must not do: look at the order, at padding, or at nothing."""

import math

import pytest
import torch

from vitrine.blocks.attention_pooling import AttentionPooling, attention_entropy

LENGTHS = torch.tensor([4, 1, 16, 7])


def pooling(dim=6, hidden=5):
    torch.manual_seed(1)
    return AttentionPooling(dim, hidden)


def photos(dim=6, dtype=torch.float32):
    return (3 * torch.randn(int(LENGTHS.sum()), dim, generator=torch.Generator().manual_seed(0))).to(dtype)


def by_the_book(net, listing):
    """x_A = sum alpha_k x_k with alpha = exp(h) / sum exp(h) and h = w tanh(V x + c), one number at a time."""
    first, _, last = net.score
    v, c, w = first.weight.tolist(), first.bias.tolist(), last.weight[0].tolist()
    h = []
    for x in listing.tolist():
        nodes = [
            math.tanh(sum(a * b for a, b in zip(row, x, strict=True)) + bias) for row, bias in zip(v, c, strict=True)
        ]
        h.append(sum(a * b for a, b in zip(w, nodes, strict=True)))
    total = sum(math.exp(value) for value in h)
    alpha = [math.exp(value) / total for value in h]
    pooled = [sum(a * x[i] for a, x in zip(alpha, listing.tolist(), strict=True)) for i in range(listing.shape[1])]
    return pooled, alpha


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_equals_the_formula(dtype):
    net, flat = pooling(), photos(dtype=dtype)
    pooled, weights = net(flat, LENGTHS)
    assert pooled.dtype == weights.dtype == torch.float32
    parts = zip(
        torch.split(flat.float(), LENGTHS.tolist()), pooled, torch.split(weights, LENGTHS.tolist()), strict=True
    )
    for listing, own, alpha in parts:
        wanted, wanted_alpha = by_the_book(net, listing)
        assert torch.allclose(own, torch.tensor(wanted), atol=1e-5)
        assert torch.allclose(alpha, torch.tensor(wanted_alpha), atol=1e-6)


def test_float32_under_autocast():
    net, flat = pooling(), photos()
    wanted, alpha = net(flat, LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        got, weights = net(flat, LENGTHS)
    assert torch.equal(got, wanted)
    assert torch.equal(weights, alpha)


def test_weights_sum_to_one_in_every_listing():
    _, weights = pooling()(photos(), LENGTHS)
    assert [own.sum().item() for own in torch.split(weights, LENGTHS.tolist())] == pytest.approx([1.0] * 4)
    assert weights[4] == 1  # a listing of one photo


def test_the_order_of_photos_changes_nothing():
    net, flat = pooling(), photos()
    order = torch.cat([start + torch.randperm(n) for start, n in ((0, 4), (4, 1), (5, 16), (21, 7))])
    pooled, weights = net(flat, LENGTHS)
    shuffled, own = net(flat[order], LENGTHS)
    assert torch.allclose(shuffled, pooled, atol=1e-6)
    assert torch.allclose(own, weights[order], atol=1e-6)


def test_neighbours_change_nothing():
    net, flat = pooling(), photos()
    together, _ = net(flat, LENGTHS)
    alone = torch.cat([net(own, torch.tensor([len(own)]))[0] for own in torch.split(flat, LENGTHS.tolist())])
    assert torch.allclose(together, alone, atol=1e-6)


def test_large_scores_do_not_overflow():
    net = pooling()
    with torch.no_grad():
        net.score[2].weight.mul_(1e4)
    pooled, weights = net(photos(), LENGTHS)
    assert torch.isfinite(pooled).all()
    assert torch.isfinite(weights).all()


def test_an_empty_listing_is_refused():
    with pytest.raises(ValueError, match="without photos"):
        pooling()(torch.zeros(2, 6), torch.tensor([2, 0]))


def test_entropy_is_the_share_of_the_most_even():
    weights = torch.tensor([0.25, 0.25, 0.25, 0.25, 1.0, 0.0, 1.0, 0.5, 0.25, 0.25])
    got = attention_entropy(weights, torch.tensor([4, 2, 1, 3]))
    assert got[0] == pytest.approx(1.0)
    assert got[1] == 0
    assert got[2].isnan()
    assert got[3] == pytest.approx((0.5 * math.log(2) + 0.5 * math.log(4)) / math.log(3))
