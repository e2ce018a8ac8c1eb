"""Rare leaves counted as much as common ones: post-hoc logit adjustment (Menon et al., Long-Tail Learning via Logit
Adjustment, ICLR 2021, Section 4.1, Eq. 8), as far as it costs little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitrine.methods.calibration import fit_temperature

TAUS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
TOP1_COST = 0.01  # share of the validation photos that balance may cost


@dataclass(frozen=True)
class Balance:
    """What was chosen, and what each tau came to on the validation photos.

    Attributes:
        tau: 0 = the net answers as it is.
        offsets: tau log pi, taken from each leaf's score over its temperature, (leaves,).
        tried: tau -> (top-1, mean over leaves of the leaf's own top-1).
    """

    tau: float
    offsets: list[float]
    tried: dict[float, tuple[float, float]]


def choose_balance(scores: np.ndarray, allowed: np.ndarray, counts: Sequence[float] | np.ndarray) -> Balance:
    """The tau with the best mean over leaves, among those whose top-1 is at most `TOP1_COST` below that of tau = 0.

    argmax_y of score_y / T - tau log pi_y, with pi the shares of the training photos.

    Args:
        scores: Leaf scores of validation photos, (n, leaves).
        allowed: Which leaves may be true, (n, leaves), bool. Photos with none or several are left out.
        counts: Training photos of each leaf.
    """
    values = np.maximum(np.asarray(counts, np.float64), 1.0)
    logs = np.log(values / values.sum())
    known = allowed.sum(axis=1) == 1
    if not known.any():
        return Balance(0.0, [0.0] * len(logs), {})
    truth = allowed[known].argmax(axis=1)
    own = scores[known].astype(np.float64) / fit_temperature(scores, allowed)
    of_leaf = np.bincount(truth, minlength=len(logs))
    tried = {}
    for tau in TAUS:
        right = (own - tau * logs).argmax(axis=1) == truth
        per_leaf = np.bincount(truth, right, minlength=len(logs))[of_leaf > 0] / of_leaf[of_leaf > 0]
        tried[tau] = (float(right.mean()), float(per_leaf.mean()))
    cheap = [tau for tau in TAUS if tried[tau][0] >= tried[0.0][0] - TOP1_COST]
    tau = max(cheap, key=lambda tau: (tried[tau][1], -tau))
    return Balance(tau, (tau * logs).tolist(), tried)
