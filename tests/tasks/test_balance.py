"""Post-hoc logit adjustment, as far as it costs little."""

import numpy as np
import pytest

from vitrine.blocks.calibration import fit_temperature
from vitrine.tasks.taxonomy.balance import TOP1_COST, choose_balance


def long_tail(rows, seed):
    """Scores that lean to the common class as a net's do: log posterior under shares of 80, 15 and 5 %."""
    random = np.random.default_rng(seed)
    shares = np.array([0.8, 0.15, 0.05])
    truth = random.choice(3, rows, p=shares)
    seen = random.normal(0, 1, (rows, 3))
    seen[np.arange(rows), truth] += 1.2
    return 1.2 * seen + np.log(shares), np.eye(3, dtype=bool)[truth], 1000 * shares


def answers(scores, allowed, counts, tau):
    """The formula, photo by photo: argmax_y of score_y / T - tau log pi_y."""
    temperature = fit_temperature(scores, allowed)
    for row in scores:
        yield int(
            np.argmax([s / temperature - tau * np.log(c / counts.sum()) for s, c in zip(row, counts, strict=True)])
        )


def test_rare_classes_gain_and_top1_keeps_its_bound():
    scores, allowed, counts = long_tail(4000, 0)
    found = choose_balance(scores, allowed, counts)
    assert found.tau > 0
    plain, chosen = found.tried[0.0], found.tried[found.tau]
    assert chosen[1] > plain[1] + 0.02
    assert chosen[0] >= plain[0] - TOP1_COST
    assert any(top1 < plain[0] - TOP1_COST for top1, _ in found.tried.values())  # the bound did something


def test_the_figures_are_those_of_the_formula():
    scores, allowed, counts = long_tail(300, 1)
    found = choose_balance(scores, allowed, counts)
    for tau, (top1, macro) in found.tried.items():
        hits = {0: [], 1: [], 2: []}
        for truth, answer in zip(allowed.argmax(axis=1), answers(scores, allowed, counts, tau), strict=True):
            hits[truth].append(answer == truth)
        assert top1 == pytest.approx(np.mean([hit for own in hits.values() for hit in own]))
        assert macro == pytest.approx(np.mean([np.mean(own) for own in hits.values() if own]))
    assert found.offsets == pytest.approx((found.tau * np.log(counts / counts.sum())).tolist())


def test_nothing_to_choose_on():
    found = choose_balance(np.zeros((2, 3)), np.ones((2, 3), bool), [1, 2, 0])
    assert (found.tau, found.offsets) == (0.0, [0.0, 0.0, 0.0])


def test_even_classes_are_left_as_they_are():
    scores, allowed, _ = long_tail(200, 2)
    assert choose_balance(scores, allowed, [10, 10, 10]).tau == 0  # a constant moves no answer


def test_a_gain_within_its_standard_error_is_not_taken():
    scores, allowed, counts = long_tail(4000, 0)
    few = choose_balance(scores[:20], allowed[:20], counts)
    best = max(macro for top1, macro in few.tried.values() if top1 >= few.tried[0.0][0] - TOP1_COST)
    assert few.tau == 0
    assert best > few.tried[0.0][1]  # 20 photos say it helps, and cannot know
    many = choose_balance(scores, allowed, counts)
    cheap = [tau for tau, (top1, _) in many.tried.items() if top1 >= many.tried[0.0][0] - TOP1_COST]
    best = max(cheap, key=lambda tau: many.tried[tau][1])
    assert 0 < many.tau <= best
    assert standard_errors(scores, allowed, counts, best, many.tau) <= 1
    for tau in cheap[: cheap.index(many.tau)]:
        assert standard_errors(scores, allowed, counts, best, tau) > 1


def standard_errors(scores, allowed, counts, best, tau):
    """By how many of its standard errors the mean over leaves at `best` is above that at `tau`."""
    truth = allowed.argmax(axis=1)
    of_leaf = [int((truth == leaf).sum()) for leaf in range(3)]
    pairs = zip(truth, *(answers(scores, allowed, counts, t) for t in (best, tau)), strict=True)
    parts = [(float(one == leaf) - float(other == leaf)) / (3 * of_leaf[leaf]) for leaf, one, other in pairs]
    error = np.std(parts) * np.sqrt(len(parts))
    return sum(parts) / error if error else 0.0
