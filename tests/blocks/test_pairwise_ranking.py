"""The teacher's loss against Eq. 1-2, pair by pair, and at its edges."""

import math

import pytest
import torch

from vitrine.blocks.pairwise_ranking import SMALLEST, pairwise_ranking_loss

GAMMAS = [0.0, 0.5, 1.0, 3.0]


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def by_the_book(embeddings, dictionary, classes, carries, gamma):
    embeddings, dictionary = embeddings.tolist(), dictionary.tolist()
    total, pairs = 0.0, 0
    for i, positive in enumerate(embeddings):
        label = dictionary[classes[i]]
        for j, negative in enumerate(embeddings):
            if carries[i][j]:
                continue
            p = 0.5 * max(0.0, 1 + cosine(label, positive) - cosine(label, negative))
            p = min(max(p, SMALLEST), 1.0)
            total += -((1 - p) ** gamma) * math.log(p)
            pairs += 1
    return total / pairs


def batch(n=24, classes=5, dim=4, seed=0):
    """Photos with one to three labels each; `carries` as the objective makes it."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.rand(n, classes, generator=generator) < 0.2
    drawn = torch.randint(classes, (n,), generator=generator)
    matrix[torch.arange(n), drawn] = True
    embeddings = torch.randn(n, dim, generator=generator)
    dictionary = torch.randn(classes, dim, generator=generator)
    return embeddings, dictionary, drawn, matrix[:, drawn].T.contiguous()


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_equals_the_formula(dtype, gamma):
    embeddings, dictionary, classes, carries = batch()
    embeddings, dictionary = embeddings.to(dtype), dictionary.to(dtype)
    got = pairwise_ranking_loss(embeddings, dictionary, classes, carries, gamma)
    assert got.dtype == torch.float32
    wanted = by_the_book(embeddings.float(), dictionary.float(), classes, carries, gamma)
    assert math.isclose(got.item(), wanted, rel_tol=1e-5)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_float32_under_autocast(gamma):
    embeddings, dictionary, classes, carries = batch(dim=64)
    wanted = by_the_book(embeddings, dictionary, classes, carries, gamma)
    with torch.autocast("cpu", torch.bfloat16):
        got = pairwise_ranking_loss(embeddings, dictionary, classes, carries, gamma).item()
    assert math.isclose(got, wanted, rel_tol=1e-5)


def test_scale_of_the_vectors_does_not_matter():
    embeddings, dictionary, classes, carries = batch()
    assert torch.allclose(
        pairwise_ranking_loss(embeddings, dictionary, classes, carries, 1.0),
        pairwise_ranking_loss(embeddings * 7, dictionary * 0.1, classes, carries, 1.0),
    )


def test_a_photo_that_carries_the_label_is_never_a_negative():
    """Photo 1, drawn for class 1, also carries class 0: only 1 against 0 is a pair."""
    embeddings, dictionary = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.5]])
    carries = torch.tensor([[True, True], [False, True]])
    p = 0.5 * max(0, 1 + cosine([1.0, 1.5], [1.0, 2.0]) - cosine([1.0, 1.5], [2.0, 1.0]))
    got = pairwise_ranking_loss(embeddings, dictionary, torch.tensor([0, 1]), carries, 0.0).item()
    assert math.isclose(got, -math.log(p), rel_tol=1e-4)


def test_p_is_cut_at_both_ends():
    label = torch.tensor([[1.0, 0.0]])
    right, wrong = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0])
    carries = torch.tensor([[True, False], [True, True]])  # one pair: 0 against 1
    classes = torch.tensor([0, 0])
    best = pairwise_ranking_loss(torch.stack([right, wrong]), label, classes, carries, 0.0)
    worst = pairwise_ranking_loss(torch.stack([wrong, right]), label, classes, carries, 0.0)
    assert best.item() == 0.0
    assert math.isclose(worst.item(), -math.log(SMALLEST), rel_tol=1e-5)


def test_focusing_lowers_the_loss_of_easy_pairs_most():
    label, carries = torch.tensor([[1.0, 0.0]]), torch.tensor([[True, False], [True, True]])

    def loss(angle, gamma):
        far = torch.tensor([math.cos(angle), math.sin(angle)])
        return pairwise_ranking_loss(torch.stack([label[0], far]), label, torch.tensor([0, 0]), carries, gamma).item()

    assert loss(1.4, 2.0) / loss(1.4, 0.0) < loss(0.2, 2.0) / loss(0.2, 0.0) < 1


@pytest.mark.parametrize("gamma", GAMMAS)
def test_no_pair_gives_zero_and_a_gradient_of_zero(gamma):
    embeddings = torch.randn(3, 4, requires_grad=True)
    dictionary = torch.randn(1, 4, requires_grad=True)
    carries = torch.ones(3, 3, dtype=torch.bool)
    loss = pairwise_ranking_loss(embeddings, dictionary, torch.zeros(3, dtype=torch.long), carries, gamma)
    loss.backward()
    assert loss.item() == 0
    assert embeddings.grad.abs().max() == 0
    assert dictionary.grad.abs().max() == 0


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize(
    "embeddings",
    [
        [[2.0, 0.0], [0.0, 2.0]],  # p is exactly 1: (1 - p)^(gamma - 1) has no value there
        [[0.0, 2.0], [2.0, 0.0]],  # p is 0
        [[1.0, 1.0], [1.0, 1.0]],
        [[0.0, 0.0], [0.0, 0.0]],  # a collapsed net
    ],
)
def test_the_gradient_is_finite(embeddings, gamma):
    photos = torch.tensor(embeddings, requires_grad=True)
    dictionary = torch.eye(2).mul(2).requires_grad_()
    pairwise_ranking_loss(photos, dictionary, torch.tensor([0, 1]), torch.eye(2, dtype=torch.bool), gamma).backward()
    assert torch.isfinite(photos.grad).all()
    assert torch.isfinite(dictionary.grad).all()
