"""Eq. 2-3 of SSA, as read in the module, against loops; and the window against the plain list it stands for."""

import math

import pytest
import torch
from torch.nn import functional as F

from vitrine.blocks.prototypes import UNLABELLED, PrototypicalLoss, refined_prototypes


def batch(n=20, dim=5, seed=0, unlabelled=0.4):
    generator = torch.Generator().manual_seed(seed)
    features = F.normalize(torch.randn(n, dim, generator=generator), dim=1)
    verdicts = torch.randint(0, 2, (n,), generator=generator)
    verdicts[torch.rand(n, generator=generator) < unlabelled] = UNLABELLED
    verdicts[:2] = torch.tensor([0, 1])
    return features, verdicts


def distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def mean(rows, weights):
    return [sum(w * row[i] for w, row in zip(weights, rows, strict=True)) / sum(weights) for i in range(len(rows[0]))]


def softmax(values):
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def prototypes_by_the_book(features, verdicts, temperature):
    first = [
        mean(*zip(*[(x, 1) for x, y in zip(features, verdicts, strict=True) if y == c], strict=True)) for c in (0, 1)
    ]
    shares, assigned = [], []
    for x, y in zip(features, verdicts, strict=True):
        if y != UNLABELLED:
            shares.append([float(y == 0), float(y == 1)])
            assigned.append(y)
            continue
        soft = softmax([-distance(x, p) / temperature for p in first])
        likelier = 0 if soft[0] >= soft[1] else 1
        shares.append([soft[c] if c == likelier else 0.0 for c in (0, 1)])
        assigned.append(likelier)
    return [mean(features, [share[c] for share in shares]) for c in (0, 1)], assigned, [max(share) for share in shares]


def loss_by_the_book(features, verdicts, temperature, earlier=()):
    """The mean over `features` of -z log softmax; prototypes also of the `earlier` (feature, verdict) pairs."""
    everything = features + [x for x, _ in earlier]
    prototypes, assigned, weights = prototypes_by_the_book(everything, verdicts + [y for _, y in earlier], temperature)
    total = 0.0
    for x, c, z in zip(features, assigned, weights, strict=False):
        total -= z * math.log(softmax([-distance(x, p) / temperature for p in prototypes])[c])
    return total / len(features)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_refined_prototypes_equal_the_formula(seed, temperature):
    features, verdicts = batch(seed=seed)
    prototypes, assigned, weights = refined_prototypes(features, verdicts, temperature)
    wanted, classes, z = prototypes_by_the_book(features.tolist(), verdicts.tolist(), temperature)
    assert torch.allclose(prototypes, torch.tensor(wanted), atol=1e-5)
    assert assigned.tolist() == classes
    assert torch.allclose(weights, torch.tensor(z), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_loss_equals_the_formula(dtype):
    features, verdicts = batch()
    scaled = (features * torch.arange(1, 21).unsqueeze(1)).to(dtype)  # lengths do not matter
    got = PrototypicalLoss(5, 0, 0.3)(scaled, verdicts)
    unit = F.normalize(scaled.float(), dim=1)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(loss_by_the_book(unit.tolist(), verdicts.tolist(), 0.3), rel=1e-4, abs=1e-6)


def test_float32_under_autocast():
    features, verdicts = batch(dim=64)
    with torch.autocast("cpu", torch.bfloat16):
        got = PrototypicalLoss(64, 0, 0.1)(features, verdicts)
    assert got.item() == pytest.approx(loss_by_the_book(features.tolist(), verdicts.tolist(), 0.1), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("window", [0, 3, 7, 20, 100])
def test_the_window_holds_the_last_listings(window):
    loss = PrototypicalLoss(5, window, 0.2)
    earlier = []
    for seed, n in enumerate((4, 9, 5, 2, 6)):
        features, verdicts = batch(n, seed=seed)
        got = loss(features, verdicts).item()
        wanted = loss_by_the_book(features.tolist(), verdicts.tolist(), 0.2, earlier)
        assert got == pytest.approx(wanted, rel=1e-4, abs=1e-6)
        earlier = (earlier + list(zip(features.tolist(), verdicts.tolist(), strict=True)))[-window:] if window else []


def test_a_restored_window_goes_on_the_same():
    first, second = PrototypicalLoss(5, 6, 0.2), PrototypicalLoss(5, 6, 0.2)
    for seed in range(3):
        first(*batch(4, seed=seed))
    second.load_state_dict(first.state_dict())
    features, verdicts = batch(4, seed=9)
    assert first(features, verdicts) == second(features, verdicts)


def test_the_window_has_no_gradient_and_the_batch_has():
    loss = PrototypicalLoss(5, 8, 0.2)
    old, verdicts = batch(6)
    old.requires_grad_()
    loss(old, verdicts)
    new, verdicts = batch(6, seed=1)
    new.requires_grad_()
    loss(new, verdicts).backward()
    assert old.grad is None
    assert new.grad.abs().sum() > 0


def test_zero_until_both_verdicts_have_been_seen():
    loss = PrototypicalLoss(5, 8, 0.2)
    features, verdicts = batch(6)
    features.requires_grad_()
    only = loss(features, torch.zeros_like(verdicts))
    only.backward()
    assert only == 0
    assert (features.grad == 0).all()
    assert loss(features, torch.full_like(verdicts, UNLABELLED)) == 0
    assert loss(features, torch.ones_like(verdicts)) > 0  # the other verdict is in the window
    with pytest.raises(ValueError, match="without a labelled listing"):
        refined_prototypes(features, torch.zeros_like(verdicts), 0.2)


def test_descending_it_tells_the_verdicts_apart_and_takes_the_undecided_along():
    """Two loose clusters, two labels in all: afterwards every point lies nearest to its own cluster's prototype."""
    torch.manual_seed(0)
    centre = torch.tensor([[1.0, 0.4, 0.0], [0.4, 1.0, 0.0]])
    truth = torch.arange(40) % 2
    features = (centre[truth] + 0.2 * torch.randn(40, 3)).requires_grad_()
    verdicts = torch.full((40,), UNLABELLED)
    verdicts[:2] = torch.tensor([0, 1])
    optimizer = torch.optim.SGD([features], lr=0.5)
    loss = PrototypicalLoss(3, 0, 0.1)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(features, verdicts)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.3 * values[0]
    _, assigned, _ = refined_prototypes(F.normalize(features.detach(), dim=1), verdicts, 0.1)
    assert (assigned == truth).float().mean() > 0.9


@pytest.mark.parametrize(
    "features", [torch.zeros(4, 3), torch.ones(4, 3), 1e6 * torch.eye(4, 3), 1e-12 * torch.eye(4, 3)]
)
def test_collapsed_or_huge_features_give_a_finite_gradient(features):
    features = features.clone().requires_grad_()
    PrototypicalLoss(3, 4, 0.01)(features, torch.tensor([0, 1, UNLABELLED, UNLABELLED])).backward()
    assert torch.isfinite(features.grad).all()
