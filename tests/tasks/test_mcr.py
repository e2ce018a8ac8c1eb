"""MCR against Eq. 2-4 written as loops, and what cross-validation lets it do."""

import math

import numpy as np
import pytest

from vitrine.tasks.taxonomy import mcr
from vitrine.tasks.taxonomy.mcr import Structure, centred, fit_weights, refine_level, relevant
from vitrine.tasks.taxonomy.net import structure_of

LEAVES = ["A/x/1", "A/x/2", "A/y", "B/z/1", "B/z/2", "B/z/3", "C"]


@pytest.fixture
def structure():
    return structure_of(LEAVES, [1, 2])


def made_up(structure, rows, noise=1.5, seed=0):
    """Scores of all levels, each a noisy sight of the true leaf; the true index at each level."""
    random = np.random.default_rng(seed)
    leaf = random.integers(0, structure.sizes[-1], rows)
    labels = [leaf]
    for parents in reversed(structure.parents[1:]):
        labels.insert(0, parents[labels[0]])
    scores = []
    for own, size in zip(labels, structure.sizes, strict=True):
        seen = random.normal(0, noise, (rows, size))
        seen[np.arange(rows), own] += 2.0
        scores.append(seen)
    return centred(scores), labels


def by_the_book(weights, features, labels, mask, strength, anchor):
    """Eq. 3 of one level with Eq. 2's probabilities, photo by photo."""
    total = 0.0
    for row, truth in zip(features.tolist(), labels, strict=True):
        exponentials = []
        for own, related in zip(weights.tolist(), mask.tolist(), strict=True):
            exponentials.append(math.exp(sum(w * f for w, f, r in zip(own, row, related, strict=True) if r)))
        total -= math.log(exponentials[truth] / sum(exponentials))
    return total + strength * ((weights - anchor) ** 2).sum()


def test_the_columns_of_a_tree(structure):
    assert structure.sizes == (3, 4, 7)
    assert structure.parents[1].tolist() == [0, 0, 1, 2]  # A/x, A/y, B/z, C
    assert structure.parents[2].tolist() == [0, 0, 1, 2, 2, 2, 3]
    assert structure.columns(1) == slice(3, 3 + structure.sizes[1])


@pytest.mark.parametrize("dense", [0.0, 2.0])  # both ways of multiplying
@pytest.mark.parametrize("level", [0, 1, 2])
def test_loss_and_gradient_are_those_of_the_equations(structure, level, dense, monkeypatch):
    monkeypatch.setattr(mcr, "DENSE", dense)
    monkeypatch.setattr(mcr, "CHUNK", 7)
    features, labels = made_up(structure, 20)
    random = np.random.default_rng(1)
    mask = random.random((structure.sizes[level], structure.total)) < 0.4
    mask[:, :2] = True
    weights = (random.normal(size=mask.shape) * mask).astype(np.float32)
    got, gradient = mcr._loss(weights, np.ascontiguousarray(features.T), labels[level], mask)
    zero = np.zeros_like(weights)
    assert got == pytest.approx(by_the_book(weights, features, labels[level], mask, 0.0, zero), rel=1e-4)
    step = 1e-2
    for place, (row, column) in enumerate(np.argwhere(mask)[:25]):
        up, down = weights.astype(np.float64), weights.astype(np.float64)
        up[row, column] += step
        down[row, column] -= step
        slope = by_the_book(up, features, labels[level], mask, 0, zero) - by_the_book(
            down, features, labels[level], mask, 0, zero
        )
        assert gradient[place] == pytest.approx(slope / (2 * step), rel=2e-2, abs=2e-3)


def test_the_solution_is_a_minimum_of_equation_3(structure):
    features, labels = made_up(structure, 60)
    anchor = np.zeros((7, structure.total), np.float32)
    anchor[np.arange(7), np.arange(7) + structure.total - 7] = 0.5
    mask = relevant(2, anchor, structure, 3)
    found = fit_weights(features, labels[2], anchor, mask, 1.0)
    assert (found[~mask] == 0).all()
    best = by_the_book(found.astype(np.float64), features, labels[2], mask, 1.0, anchor)
    random = np.random.default_rng(2)
    for size in (0.01, 0.1, 1.0):
        moved = found + size * random.normal(size=found.shape) * mask
        assert by_the_book(moved, features, labels[2], mask, 1.0, anchor) > best - 1e-3


def test_relevant_categories_are_those_of_equation_4(structure):
    weights = np.zeros((structure.sizes[1], structure.total))
    own = structure.columns(1)
    for c in range(structure.sizes[1]):
        weights[c, own] = [0.1, -5.0, 0.2, 3.0][: structure.sizes[1]]
    mask = relevant(1, weights, structure, related=2)
    for c in range(structure.sizes[1]):
        assert mask[c, : own.start].all()  # all shallower levels
        others = [t for t in np.argsort(-np.abs(weights[c, own]), kind="stable") if t != c]
        same = {c, others[0]}  # K in all, c among them; the size of the weight counts, not its sign
        assert set(np.flatnonzero(mask[c, own])) == same
        children = {child for child, parent in enumerate(structure.parents[2]) if parent in same}
        assert set(np.flatnonzero(mask[c, structure.columns(2)])) == children


def test_refinement_helps_where_levels_know_more_than_one_and_never_by_itself_hurts(structure):
    features, labels = made_up(structure, 600)
    others, truth = made_up(structure, 2000, seed=5)
    own = structure.columns(2)
    allowed = np.eye(7, dtype=bool)[labels[2]]
    learnt = refine_level(2, features, allowed, structure)
    assert np.isfinite(learnt.strength)
    plain = (others[:, own].argmax(axis=1) == truth[2]).mean()
    refined = ((others @ learnt.weights.T).argmax(axis=1) == truth[2]).mean()
    assert refined > plain + 0.03


def test_pure_noise_is_left_alone():
    """Coarser nets that know nothing: the leaves' answers must stay about what they are."""
    structure = structure_of(LEAVES, [1])
    random = np.random.default_rng(0)
    scores, labels = made_up(structure, 150)
    scores[:, : structure.sizes[0]] = random.normal(size=(150, structure.sizes[0]))
    learnt = refine_level(1, scores, np.eye(7, dtype=bool)[labels[1]], structure)
    others, truth = made_up(structure, 3000, seed=3)
    others[:, : structure.sizes[0]] = random.normal(size=(3000, structure.sizes[0]))
    plain = (others[:, structure.columns(1)].argmax(axis=1) == truth[1]).mean()
    assert ((others @ learnt.weights.T).argmax(axis=1) == truth[1]).mean() > plain - 0.01


def test_weights_that_learnt_one_source_are_refused(structure):
    """Validation photos of one shop: the class a photo is taken for names its true one, but only in this shop."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 7, 300)
    leaf = random.normal(0, 0.5, (300, 7))
    leaf[np.arange(300), (labels + 3) % 7] += 3
    scores = centred([random.normal(size=(300, 3)), random.normal(size=(300, 4)), leaf])
    allowed = np.eye(7, dtype=bool)[labels]
    elsewhere, truth = made_up(structure, 500)
    free = refine_level(2, scores, allowed, structure)
    assert np.isfinite(free.strength)
    kept = refine_level(2, scores, allowed, structure, guard=(elsewhere, np.eye(7, dtype=bool)[truth[2]]))
    assert kept.strength == np.inf


@pytest.mark.parametrize(("rows", "strength"), [(0, None), (1, None), (5, None), (0, 0.1)])
def test_with_too_few_photos_the_nets_answers_stay(structure, rows, strength):
    features, labels = made_up(structure, max(rows, 1))
    allowed = np.eye(7, dtype=bool)[labels[2]]
    if not rows:
        allowed[:] = True  # cut short: says nothing about this level
    learnt = refine_level(2, features, allowed, structure, strength=strength)
    assert learnt.strength == np.inf
    own = learnt.weights[:, structure.columns(2)]
    assert np.count_nonzero(learnt.weights) == 7
    assert (np.diag(own) > 0).all()


def test_an_infinite_lambda_and_a_huge_one_agree(structure):
    features, labels = made_up(structure, 100)
    allowed = np.eye(7, dtype=bool)[labels[2]]
    plain = refine_level(2, features, allowed, structure, strength=np.inf).weights
    close = refine_level(2, features, allowed, structure, strength=1e8).weights
    assert np.allclose(plain, close, atol=1e-3)


def test_a_level_alone():
    """A flat catalog has no other level; the categories of the level still refine each other."""
    structure = Structure((4,), (np.empty(0, np.int64),))
    features, labels = made_up(structure, 200)
    learnt = refine_level(0, features, np.eye(4, dtype=bool)[labels[0]], structure)
    assert learnt.weights.shape == (4, 4)
