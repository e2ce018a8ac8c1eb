"""Top-k of matching against a slow count, inside categories and across them, and at its edges."""

import numpy as np
import pytest

from vitrine.errors import InputError
from vitrine.predictions import RetrievalPredictions
from vitrine.tasks.matching.report import matching_metrics, node_ranks


def outcome(embeddings, things, domains, paths=None, compare=None):
    images = [f"{i}.png" for i in range(len(things))]
    paths = paths or ["A"] * len(things)
    features = np.asarray(embeddings, np.float32)
    return RetrievalPredictions(
        "matching", images, [], features, 2.0, paths=paths, product_ids=things, domains=domains, compare=compare
    )


def drawn(users=40, shops=90, products=25, seed=0):
    random = np.random.default_rng(seed)
    names = [f"t{random.integers(products)}" for _ in range(users + shops)]
    paths = [("A/x", "A/y", "B/z", "B/z")[int(name[1:]) % 4] for name in names]
    return outcome(random.normal(size=(users + shops, 6)), names, ["user"] * users + ["shop"] * shops, paths)


def hit(found, query, shelf, k):
    unit = found.embeddings / np.linalg.norm(found.embeddings, axis=1, keepdims=True)
    order = sorted(shelf, key=lambda row: -float(unit[query] @ unit[row]))
    return any(found.product_ids[row] == found.product_ids[query] for row in order[:k])


def test_equals_a_slow_count():
    found = drawn()
    got = matching_metrics(found)
    queries, gallery = range(40), range(40, 130)
    asked = [q for q in queries if any(found.product_ids[row] == found.product_ids[q] for row in gallery)]
    assert got["count"] == len(asked)
    assert got["without_answer"] == 40 - len(asked)
    for k in (1, 5, 20, 200):
        assert got[f"top{k}"] == pytest.approx(np.mean([hit(found, q, gallery, k) for q in asked]))
    for node in ("A", "B", "A/x", "B/z"):
        shelf = [row for row in gallery if found.paths[row].startswith(node)]
        own = [hit(found, q, shelf, 20) for q in asked if found.paths[q].startswith(node)]
        assert got[f"category:{node}/top20"] == pytest.approx(np.mean(own))
    inside = [hit(found, q, [row for row in gallery if found.paths[row][0] == found.paths[q][0]], 5) for q in asked]
    assert got["level1/top5"] == pytest.approx(np.mean(inside))


def test_a_category_that_shows_one_thing_asks_nothing():
    found = outcome(np.eye(6), ["a", "b", "c", "a", "b", "c"], ["user"] * 3 + ["shop"] * 3, ["A/x", "A/x", "A/y"] * 2)
    nodes = node_ranks(found)
    assert set(nodes[1]) == {"A"}
    assert set(nodes[2]) == {"A/x"}


def test_collapsed_features_are_chance():
    found = outcome(np.ones((50, 4)), [f"t{i % 10}" for i in range(50)], ["user"] * 10 + ["shop"] * 40)
    got = matching_metrics(found)
    assert got["top1"] == pytest.approx(4 / 40)
    assert got["top200"] == 1.0


def test_a_learnt_similarity_is_asked_instead_of_the_cosine():
    asked = []

    def compare(users, shops, category):
        asked.append(category)
        return -(users[:, None, 0] - shops[None, :, 0]).abs()

    found = outcome(
        [[1.0], [2.0], [3.0], [2.1], [1.1], [3.1]],
        ["a", "b", "c", "b", "a", "c"],
        ["user"] * 3 + ["shop"] * 3,
        None,
        compare,
    )
    assert matching_metrics(found)["top1"] == 1.0  # by cosine all are equal
    assert asked == ["", "A"]


def test_nothing_to_find_is_said():
    with pytest.raises(InputError, match="none of 1 user photos"):
        matching_metrics(outcome(np.eye(2), ["a", "b"], ["user", "shop"]))
