"""Channel grouping (MA-CNN) against loops over cells."""

import math

import pytest
import torch

from vitrine.blocks.channel_grouping import MARGIN, ChannelGrouping, channel_grouping_loss, part_features


def features(m=3, c=4, h=3, w=2):
    return torch.randn(m, c, h, w, generator=torch.Generator().manual_seed(0))


def attention(m=3, parts=3, h=3, w=2):
    return torch.rand(m, parts, h, w, generator=torch.Generator().manual_seed(1)) + 0.05


def test_attention_equals_the_formula():
    torch.manual_seed(0)
    grouping, x = ChannelGrouping(4, 2), features()
    got = grouping(x)
    assert got.shape == (3, 2, 3, 2)
    for photo in range(3):
        pooled = x[photo].mean(dim=(1, 2))
        d = (grouping.member.weight @ pooled + grouping.member.bias).sigmoid().reshape(2, 4)
        for part in range(2):
            sums = sum(d[part, j] * x[photo, j] for j in range(4))
            standard = (sums - sums.mean()) / (sums.var(unbiased=False) + 1e-5).sqrt()
            assert torch.allclose(got[photo, part], standard.sigmoid(), atol=1e-5)


def test_part_features_are_weighed_means():
    x, m = features(), attention()
    got = part_features(x, m)
    for photo in range(3):
        for part in range(3):
            weights = m[photo, part] / m[photo, part].sum()
            wanted = [(weights * x[photo, channel]).sum() for channel in range(4)]
            assert torch.allclose(got[photo, part], torch.stack(wanted), atol=1e-6)


def loss_by_the_book(attention, spread):
    _, parts, h, w = attention.shape
    total, count = 0.0, 0
    for photo in attention:
        m = [(part / part.sum()).tolist() for part in photo]
        for i in range(parts):
            cells = [(m[i][y][x], y, x) for y in range(h) for x in range(w)]
            _, ty, tx = max(cells)
            dis = sum(v * (((x - tx) / (w - 1)) ** 2 + ((y - ty) / (h - 1)) ** 2) for v, y, x in cells)
            div = sum(v * (max(m[k][y][x] for k in range(parts) if k != i) - MARGIN) for v, y, x in cells)
            total += dis + spread * div
            count += 1
    return total / count


@pytest.mark.parametrize("spread", [0.0, 1.0, 2.5])
def test_the_loss_equals_the_formula(spread):
    got = channel_grouping_loss(attention(), spread).item()
    assert math.isclose(got, loss_by_the_book(attention(), spread), rel_tol=1e-5)


def test_one_compact_part_costs_nothing_and_a_double_costs():
    point = torch.full((1, 1, 4, 4), 1e-9)
    point[0, 0, 1, 2] = 1
    assert channel_grouping_loss(point) == pytest.approx(0, abs=1e-6)
    other = torch.full((1, 1, 4, 4), 1e-9)
    other[0, 0, 3, 0] = 1
    same = channel_grouping_loss(torch.cat([point, point], dim=1))
    apart = channel_grouping_loss(torch.cat([point, other], dim=1))
    assert same > apart + 0.9


@pytest.mark.parametrize("x", [torch.zeros(2, 4, 3, 3), torch.ones(2, 4, 3, 3), torch.randn(2, 4, 1, 1)])
def test_flat_maps_give_a_finite_gradient(x):
    torch.manual_seed(0)
    grouping = ChannelGrouping(4, 2)
    x = x.clone().requires_grad_()
    found = grouping(x)
    (part_features(x, found).sum() + channel_grouping_loss(found)).backward()
    assert torch.isfinite(x.grad).all()
