"""Eq. 3 and Eq. 5 against loops over photos, and what a step may not touch."""

import math

import pytest
import torch

from vitrine.blocks.instance_softmax import InstanceSoftmax

T = 0.1


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(block, n=12, dim=5):
    generator = draw(1)
    features = 3 * torch.randn(n, dim, generator=generator)
    groups = torch.randint(len(block.weights), (n,), generator=generator)
    places = torch.tensor([int(torch.randint(len(block.weights[g]), (), generator=generator)) for g in groups])
    return features, groups, places


def by_the_book(features, groups, places, weights):
    total = 0.0
    for f, group, place in zip(features.tolist(), groups.tolist(), places.tolist(), strict=True):
        scores = []
        for w in weights[group].tolist():
            length = math.hypot(*f) * math.hypot(*w)
            scores.append(sum(a * b for a, b in zip(f, w, strict=True)) / length / T)
        total += math.log(sum(math.exp(score) for score in scores)) - scores[place]
    return total / len(features)


@pytest.mark.parametrize("sizes", [(9,), (4, 1, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_equals_the_formula(sizes, dtype):
    block = InstanceSoftmax(5, sizes, T)
    features, groups, places = batch(block)
    features = features.to(dtype)
    found = block(features, groups, places, draw()).item()
    assert math.isclose(found, by_the_book(features.float(), groups, places, block.weights), rel_tol=1e-4)


def test_groups_outside_the_batch_get_no_gradient_at_all():
    block = InstanceSoftmax(5, (4, 6, 7), T)
    features, _, _ = batch(block)
    block(features, torch.ones(12, dtype=torch.long), torch.arange(12) % 6, draw()).backward()
    assert [weights.grad is None for weights in block.weights] == [True, False, True]


def test_drawn_negatives_are_right_on_average():
    torch.manual_seed(0)
    whole = InstanceSoftmax(5, (400,), 1.0)
    drawn = InstanceSoftmax(5, (400,), 1.0, negatives=100)
    drawn.load_state_dict(whole.state_dict())
    features, groups, places = batch(whole, n=30)
    generator = draw(2)
    losses = [drawn(features, groups, places, generator).item() for _ in range(50)]
    exact = whole(features, groups, places, generator).item()
    assert sum(losses) / 50 == pytest.approx(exact, abs=0.02)
    assert max(losses) - min(losses) > 1e-4  # others each time


def test_the_same_draw_gives_the_same_loss():
    block = InstanceSoftmax(5, (50,), T, negatives=10)
    arguments = batch(block)
    assert block(*arguments, draw(3)).item() == block(*arguments, draw(3)).item()


def test_edges():
    alone = InstanceSoftmax(3, (1,), T)
    features = torch.zeros(2, 3, requires_grad=True)
    loss = alone(features, torch.zeros(2, dtype=torch.long), torch.zeros(2, dtype=torch.long), draw())
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)  # the only photo there is
    assert torch.isfinite(features.grad).all()
    with pytest.raises(ValueError, match="at least one photo"):
        alone(features[:0], torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), draw())
