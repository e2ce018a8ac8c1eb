"""Bayes' thresholds on a calibrated probability against thresholds searched on the validation listings.

    python benchmarks/decision_thresholds.py [--draws 100]

Simulated: scores of authentic and counterfeit listings are two Gaussians some standard deviations apart; the model
reports them three times as sure as they are and, in half of the cases, leaning to authentic. Each draw fits on n
validation listings; the cost per listing is taken on 200,000 others. Prints the means over the draws.
"""

import argparse

import numpy as np
from scipy.special import expit

from vitrine.blocks.calibration import fit_platt, fit_temperature
from vitrine.tasks.authenticity.decision import Costs, choose_thresholds

COSTS = Costs()
DISTANCES, SIZES, LEANINGS = (1.5, 2.5), (30, 100, 300, 1000), (0.0, 1.0)
OTHERS, SURER = 200_000, 3.0


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=100)
    draws = parser.parse_args().draws
    random = np.random.default_rng(0)
    bayes = choose_thresholds(COSTS)
    print(
        "| distance | leaning | n | best possible | Platt, Bayes | temperature, Bayes | searched |\n"
        + "| --- " * 7
        + "|"
    )
    for distance in DISTANCES:
        for leaning in LEANINGS:
            others = listings(random, OTHERS, distance)
            best = cost(expit(distance * others[0]), others[1], bayes)
            for n in SIZES:
                found = [compared(random, n, distance, leaning, others, bayes) for _ in range(draws)]
                figures = " | ".join(f"{value:.2f}" for value in (best, *np.mean(found, axis=0)))
                print(f"| {distance:g} | {'yes' if leaning else 'no'} | {n} | {figures} |", flush=True)


def listings(random: np.random.Generator, count: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Honest scores (their log-odds are distance times them) and which listings are authentic; both kinds occur."""
    authentic = random.permutation(np.arange(count) % 2 == 0)
    return random.normal(size=count) + distance * (authentic - 0.5), authentic


def compared(
    random: np.random.Generator,
    n: int,
    distance: float,
    leaning: float,
    others: tuple[np.ndarray, np.ndarray],
    bayes: tuple[float, float],
) -> tuple[float, float, float]:
    """The cost on the others of the three ways to decide, each fitted on n listings."""
    score, authentic = listings(random, n, distance)
    said, elsewhere = (SURER * (distance * own + leaning) for own in (score, others[0]))
    slope, bias = fit_platt(said, authentic)
    warm = fit_temperature(np.stack([said, np.zeros(n)], axis=1), np.stack([authentic, ~authentic], axis=1))
    return (
        cost(expit(slope * elsewhere + bias), others[1], bayes),
        cost(expit(elsewhere / warm), others[1], bayes),
        cost(elsewhere, others[1], searched(said, authentic)),
    )


def cost(value: np.ndarray, authentic: np.ndarray, thresholds: tuple[float, float]) -> float:
    """The mean cost of the verdicts that two thresholds on a probability (or score) give."""
    low, high = thresholds
    paid = np.select(
        [value < low, value >= high],
        [COSTS.refuse_authentic * authentic, COSTS.accept_counterfeit * ~authentic],
        COSTS.ask,
    )
    return float(paid.mean())


def searched(score: np.ndarray, authentic: np.ndarray) -> tuple[float, float]:
    """The pair of thresholds, midway between scores, with the least cost on these very listings."""
    order = np.argsort(score)
    n, own = len(order), authentic[order]
    refused = np.append(0, np.cumsum(COSTS.refuse_authentic * own))  # cost of the i lowest called counterfeit
    accepted = np.append(np.cumsum((COSTS.accept_counterfeit * ~own)[::-1])[::-1], 0)  # of those from j on authentic
    i, j = np.indices((n + 1, n + 1))
    total = np.where(i <= j, refused[:, None] + accepted + COSTS.ask * (j - i), np.inf)
    low, high = np.unravel_index(total.argmin(), total.shape)
    edges = np.concatenate([[-np.inf], (score[order][1:] + score[order][:-1]) / 2, [np.inf]])
    return float(edges[low]), float(edges[high])


if __name__ == "__main__":
    main()
