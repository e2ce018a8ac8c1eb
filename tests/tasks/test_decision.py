"""The verdict is the cheapest one, whatever the costs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.errors import InputError
from vitrine.tasks.authenticity.decision import (
    ASK,
    AUTHENTIC,
    COUNTERFEIT,
    Costs,
    choose_thresholds,
    mean_cost,
    verdicts,
)

COST = st.floats(0.01, 100)


@given(COST, COST, COST, st.floats(0, 1))
def test_no_other_verdict_is_cheaper(accept, refuse, ask, p):
    expected = {AUTHENTIC: (1 - p) * accept, COUNTERFEIT: p * refuse, ASK: ask}
    (given_verdict,) = verdicts(np.array([p]), choose_thresholds(Costs(accept, refuse, ask)))
    assert expected[given_verdict] <= min(expected.values()) + 1e-9 * max(accept, refuse, ask)


@pytest.mark.slow
@pytest.mark.parametrize("costs", [Costs(), Costs(10, 5, 4), Costs(1, 1, 0.2), Costs(2, 9, 1)])
def test_no_pair_of_thresholds_on_a_fine_grid_costs_less(costs):
    p = (np.arange(2000) + 0.5) / 2000  # calibrated by construction: a share p of the listings at p is authentic

    def expected(low, high):
        given_verdicts = np.array(verdicts(p, (low, high)))
        paid = np.select(
            [given_verdicts == AUTHENTIC, given_verdicts == COUNTERFEIT],
            [(1 - p) * costs.accept_counterfeit, p * costs.refuse_authentic],
            costs.ask,
        )
        return paid.mean()

    grid = np.linspace(0, 1, 41)
    searched = min(expected(low, high) for low in grid for high in grid if low <= high)
    assert expected(*choose_thresholds(costs)) <= searched + 1e-12


def test_asking_that_costs_too_much_is_never_advised():
    low, high = choose_thresholds(Costs(accept_counterfeit=2, refuse_authentic=2, ask=1.5))
    assert low == high == 0.5
    assert ASK not in verdicts(np.linspace(0, 1, 101), (low, high))


def test_a_threshold_itself_belongs_to_the_verdict_above_it():
    assert verdicts(np.array([0.19, 0.2, 0.89, 0.9]), (0.2, 0.9)) == [COUNTERFEIT, ASK, ASK, AUTHENTIC]


def test_mean_cost_counts_listings_of_known_truth_only():
    given_verdicts = [AUTHENTIC, AUTHENTIC, COUNTERFEIT, ASK, ASK]
    truth = [COUNTERFEIT, AUTHENTIC, AUTHENTIC, COUNTERFEIT, ""]
    assert mean_cost(given_verdicts, truth, Costs(10, 5, 1)) == (10 + 0 + 5 + 1) / 4
    assert np.isnan(mean_cost([ASK], [""], Costs()))


@pytest.mark.parametrize("costs", [Costs(accept_counterfeit=0), Costs(refuse_authentic=-1), Costs(ask=float("nan"))])
def test_costs_are_above_zero(costs):
    with pytest.raises(InputError, match="is not above 0"):
        choose_thresholds(costs)
