"""Recall@k against a loop over every order of ties, and the ways it is usually got wrong."""

import itertools
import math

import numpy as np
import pytest

from vitrine.retrieval.ranks import rank


def by_the_book(scores, right, k):
    """Mean over all orders of the gallery, sorted by score, of whether one of the first k is right."""
    orders = list(itertools.permutations(range(len(scores))))
    hits = 0
    for order in orders:
        first = sorted(order, key=lambda i: -scores[i])[:k]  # a stable sort keeps the order among ties
        hits += any(right[i] for i in first)
    return hits / len(orders)


def test_equals_the_mean_over_all_orders_of_ties():
    random = np.random.default_rng(0)
    directions = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    for _ in range(20):
        query = directions[random.integers(3)]
        gallery = directions[random.integers(3, size=6)]
        labels = random.integers(2, size=6)
        if not labels.any():
            continue
        found = rank(query[None], np.array([1]), gallery, labels)
        for k in (1, 2, 4, 6, 9):
            assert math.isclose(found.recall(k), by_the_book(gallery @ query, labels == 1, min(k, 6)), abs_tol=1e-9)


@pytest.mark.parametrize(("dim", "noise"), [(5, 0.0), (1000, 0.0), (1000, 1e-8)])
def test_embeddings_that_are_all_equal_give_chance(dim, noise):
    random = np.random.default_rng(1)
    features = np.tile(random.standard_normal(dim), (600, 1)) + noise * random.standard_normal((600, dim))
    labels = np.arange(600) // 60  # 59 of 599 others are right
    found = rank(features, labels, features, labels, itself=np.arange(600))
    assert math.isclose(found.recall(1), 59 / 599, rel_tol=1e-6)
    assert found.recall(599 - 59 + 1) == 1.0
    assert found.recall(10) < 0.7


def test_a_photo_is_not_its_own_answer_but_its_copy_is():
    features = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    labels = np.array([0, 0, 1, 2])
    found = rank(features, labels, features, labels, itself=np.arange(4))
    assert found.query.tolist() == [0, 1]
    assert found.left_out == 2
    assert found.recall(1) == 1.0


def test_only_the_own_group_is_searched():
    queries, gallery = np.array([[1.0, 0.1]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    labels = np.array([7, 3])
    apart = rank(queries, np.array([3]), gallery, labels, query_groups=np.array([1]), gallery_groups=np.array([0, 1]))
    assert rank(queries, np.array([3]), gallery, labels).recall(1) == 0.0
    assert apart.recall(1) == 1.0
    nobody = rank(queries, np.array([3]), gallery, labels, query_groups=np.array([2]), gallery_groups=np.array([0, 1]))
    assert nobody.left_out == 1
    assert math.isnan(nobody.recall(1))


def test_broken_embeddings_are_misses():
    queries = np.array([[np.nan, 1.0], [1.0, 0.0]])
    gallery = np.array([[np.nan, 0.0], [0.9, 0.1]])
    found = rank(queries, np.array([0, 0]), gallery, np.array([0, 1]))
    assert found.recall(2) == 0.0
    assert found.left_out == 0


def test_nothing_to_ask():
    found = rank(np.zeros((2, 3)), np.array([-1, 5]), np.zeros((0, 3)), np.zeros(0, int))
    assert found.left_out == 1
    assert math.isnan(found.recall(1))
