"""Authentic, counterfeit or "ask an expert": the verdict that costs least, given a calibrated probability.

With p = P(authentic), each verdict has an expected cost:

    authentic        (1 - p) * accept_counterfeit
    counterfeit      p * refuse_authentic
    ask an expert    ask

The cheapest of the three changes at two thresholds that Bayes' rule gives in closed form, so nothing is searched on
validation listings; these only make the probability a probability (`vitrine.blocks.calibration.fit_platt`). Searching
the two thresholds with the least cost on n validation listings was tried on simulated scores and lost to this at every
n from 30 to 1000 (docs/authenticity.md): it fits the few validation listings that lie near a threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitrine.errors import InputError

AUTHENTIC, COUNTERFEIT, ASK = "authentic", "counterfeit", "ask an expert"


@dataclass(frozen=True)
class Costs:
    """What each mistake costs, and what asking costs, in any one unit (say: one expert's fee).

    Attributes:
        accept_counterfeit: A counterfeit listing is called authentic.
        refuse_authentic: An authentic listing is called counterfeit.
        ask: An expert looks at the listing.
    """

    accept_counterfeit: float = 10.0
    refuse_authentic: float = 5.0
    ask: float = 1.0


def choose_thresholds(costs: Costs) -> tuple[float, float]:
    """The probabilities (low, high) between which asking an expert is cheapest.

    Without asking, authentic and counterfeit cost the same at p = a / (a + r). Asking is cheaper than counterfeit from
    p = e / r on, and cheaper than authentic up to p = 1 - e / a, so

        low = min(e / r, a / (a + r)),    high = max(1 - e / a, a / (a + r))

    with a = `accept_counterfeit`, r = `refuse_authentic`, e = `ask`. Where asking costs more than a r / (a + r) it
    never pays, and both thresholds are the same.

    >>> choose_thresholds(Costs(accept_counterfeit=10, refuse_authentic=5, ask=1))
    (0.2, 0.9)

    Raises:
        InputError: if a cost is not above 0.
    """
    a, r, e = costs.accept_counterfeit, costs.refuse_authentic, costs.ask
    for name, cost in (("accept_counterfeit", a), ("refuse_authentic", r), ("ask", e)):
        if not cost > 0:
            raise InputError(f"cost of {name.replace('_', ' ')}: {cost:g} is not above 0")
    even = a / (a + r)
    return min(e / r, even), max(1 - e / a, even)


def verdicts(probability: np.ndarray, thresholds: tuple[float, float]) -> list[str]:
    """Per listing `authentic` (from the higher threshold on), `counterfeit` (below the lower) or `ask an expert`."""
    low, high = thresholds
    return [COUNTERFEIT if p < low else AUTHENTIC if p >= high else ASK for p in probability]


def mean_cost(given: Sequence[str], truth: Sequence[str], costs: Costs) -> float:
    """What verdicts cost per listing of known truth; NaN where there is none."""
    price = {
        (AUTHENTIC, COUNTERFEIT): costs.accept_counterfeit,
        (COUNTERFEIT, AUTHENTIC): costs.refuse_authentic,
        (ASK, AUTHENTIC): costs.ask,
        (ASK, COUNTERFEIT): costs.ask,
    }
    paid = [price.get((verdict, true), 0.0) for verdict, true in zip(given, truth, strict=True) if true]
    return float(np.mean(paid)) if paid else float("nan")
