"""MaskCon's labels and loss against loops from the formula, and its queue against the plain list it stands for."""

import math

import pytest
import torch
from torch.nn import functional as F

from vitrine.blocks.masked_contrastive import NO_GROUP, MaskedContrastive, soft_labels


def unit(n, d, seed):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.double), dim=1)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def labels_by_the_book(key, others, allowed, temperature, share):
    """One photo's labels: its other view first, then each of the others."""
    exps = [math.exp(dot(key, other) / temperature) if fit else 0.0 for other, fit in zip(others, allowed, strict=True)]
    z = [value / sum(exps) if any(allowed) else 0.0 for value in exps]
    scaled = [1.0] + [value / max(z) if any(allowed) else 0.0 for value in z]
    soft = [value / sum(scaled) for value in scaled]
    return [share * value + (1 - share) * (place == 0) for place, value in enumerate(soft)]


def loss_by_the_book(queries, keys, groups, photos, earlier, temperature, soft_temperature, share):
    total = 0.0
    for q, k, group, photo in zip(queries, keys, groups, photos, strict=True):
        others = [(key, own) for key, own, name in earlier if name != photo]
        allowed = [own == group and group != NO_GROUP for _, own in others]
        labels = labels_by_the_book(k, [key for key, _ in others], allowed, soft_temperature, share)
        logits = [dot(q, k) / temperature] + [dot(q, key) / temperature for key, _ in others]
        norm = math.log(sum(math.exp(value) for value in logits))
        total -= sum(label * (logit - norm) for label, logit in zip(labels, logits, strict=True))
    return total / len(queries)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_labels(share):
    keys, queue = unit(6, 4, 0), unit(9, 4, 1)
    allowed = torch.rand(6, 9, generator=torch.Generator().manual_seed(2)) < 0.5
    allowed[0] = False
    found = soft_labels(keys, queue, allowed, 0.05, share)
    wanted = [
        labels_by_the_book(key, queue.tolist(), fit, 0.05, share)
        for key, fit in zip(keys.tolist(), allowed.tolist(), strict=True)
    ]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.double))
    assert found[0].tolist() == [1.0] + [0.0] * 9


def test_no_one_remembered_yet_leaves_the_other_view_alone():
    block = MaskedContrastive(4, 10, 0.1, 0.05, 1.0)
    loss = block(torch.randn(3, 4), torch.randn(3, 4), torch.tensor([0, 0, 1]), torch.arange(3))
    assert loss.item() == 0.0


@pytest.mark.parametrize("queue", [5, 8, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_and_the_queue(queue, dtype):
    block = MaskedContrastive(4, queue, 0.1, 0.05, 0.8)
    earlier = []
    random = torch.Generator().manual_seed(0)
    for step in range(6):
        queries, keys = unit(3, 4, 10 + step).to(dtype), unit(3, 4, 20 + step).to(dtype)
        groups = torch.randint(-1, 2, (3,), generator=random)
        photos = torch.randint(0, 7, (3,), generator=random)
        q, k = (F.normalize(part.double(), dim=1).tolist() for part in (queries, keys))
        wanted = loss_by_the_book(q, k, groups.tolist(), photos.tolist(), earlier, 0.1, 0.05, 0.8)
        found = block(queries, keys, groups, photos)
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(wanted, rel=1e-4, abs=1e-5)
        earlier = [*earlier, *zip(k, groups.tolist(), photos.tolist(), strict=True)][-queue:]


def test_gradients_reach_the_queries_alone():
    block = MaskedContrastive(4, 10, 0.1, 0.05, 0.8)
    groups, photos = torch.tensor([0, 1, 0, 1]), torch.arange(4)
    block(unit(4, 4, 0), unit(4, 4, 1), groups, photos)
    queries = unit(4, 4, 2).requires_grad_()
    block(queries, unit(4, 4, 3), groups, photos + 4).backward()
    assert queries.grad.abs().sum() > 0
    assert block.keys.grad is None
