"""Two layers over two features side by side, written as two sums."""

import pytest
import torch

from vitrine.blocks.pair_similarity import PairSimilarity


@pytest.fixture
def similarity():
    torch.manual_seed(0)
    return PairSimilarity(5, 7)


def by_the_book(similarity, user, shop):
    first = torch.cat([similarity.user.weight, similarity.shop.weight], dim=1).tolist()  # over [x_p, x_q]
    both = user.tolist() + shop.tolist()
    score = similarity.out.bias.item()
    for weights, bias, outward in zip(
        first, similarity.user.bias.tolist(), similarity.out.weight[0].tolist(), strict=True
    ):
        node = bias + sum(w * x for w, x in zip(weights, both, strict=True))
        score += outward * max(0.0, node)
    return score


def test_equals_two_layers_over_both_side_by_side(similarity):
    users, shops = torch.randn(6, 5), torch.randn(6, 5)
    got = similarity(users, shops).tolist()
    assert got == pytest.approx([by_the_book(similarity, *pair) for pair in zip(users, shops, strict=True)], abs=1e-5)


@pytest.mark.parametrize("at_once", [1, 3, 4096])
def test_every_pair_scores_as_it_does_alone(similarity, at_once):
    users, shops = torch.randn(4, 5), torch.randn(9, 5)
    got = similarity.all_pairs(users, shops, at_once)
    assert got.shape == (4, 9)
    for i in range(4):
        assert got[i].tolist() == pytest.approx(similarity(users[i].expand(9, 5), shops).tolist(), abs=1e-5)
    assert similarity.all_pairs(users, shops[:0]).shape == (4, 0)
