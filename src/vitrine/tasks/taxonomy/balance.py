"""Rare leaves counted as much as common ones: post-hoc logit adjustment (Menon et al., Long-Tail Learning via Logit
Adjustment, ICLR 2021, Section 4.1, Eq. 8), as far as it costs little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitrine.blocks.calibration import fit_temperature

TAUS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
TOP1_COST = 0.01  # share of the validation photos that balance may cost


@dataclass(frozen=True)
class Balance:
    """What was chosen, and what each tau came to on the validation photos.

    Attributes:
        tau: 0 = the net's own logits.
        offsets: tau log pi, taken from each leaf's score over its temperature, (leaves,).
        tried: tau -> (top-1, mean over leaves of the leaf's own top-1).
    """

    tau: float
    offsets: list[float]
    tried: dict[float, tuple[float, float]]


def choose_balance(scores: np.ndarray, allowed: np.ndarray, counts: Sequence[float] | np.ndarray) -> Balance:
    """The least tau that no other beats by more than a standard error in the mean over leaves.

    argmax_y of score_y / T - tau log pi_y, with pi the shares of the training photos. Only those tau are tried against
    each other whose top-1 is at most `TOP1_COST` below that of tau = 0. The one-standard-error rule (Breiman et al.,
    Classification and Regression Trees, 1984, Section 3.4.3) keeps a few validation photos from moving the net.

    Args:
        scores: Leaf scores of validation photos, (n, leaves).
        allowed: Which leaves may be true, (n, leaves), bool. Photos with none or several are left out.
        counts: Training photos of each leaf.
    """
    values = np.maximum(np.asarray(counts, np.float64), 1.0)
    logs = np.log(values / values.sum())
    certain = allowed.sum(axis=1) == 1
    if not certain.any():
        return Balance(0.0, [0.0] * len(logs), {})
    truth = allowed[certain].argmax(axis=1)
    logits = scores[certain].astype(np.float64) / fit_temperature(scores, allowed)
    of_leaf = np.bincount(truth, minlength=len(logs))
    weights = 1 / (of_leaf[truth] * (of_leaf > 0).sum())  # of each photo in the mean over leaves
    right = {tau: (logits - tau * logs).argmax(axis=1) == truth for tau in TAUS}
    tried = {tau: (float(hits.mean()), float(weights @ hits)) for tau, hits in right.items()}
    cheap = [tau for tau in TAUS if tried[tau][0] >= tried[0.0][0] - TOP1_COST]
    best = max(cheap, key=lambda tau: (tried[tau][1], -tau))

    def level(tau: float) -> bool:
        """Whether the best is ahead by at most the standard error of the difference, photo by photo."""
        ahead = weights * (right[best].astype(float) - right[tau])
        return bool(ahead.sum() - ahead.std() * np.sqrt(len(ahead)) <= 1e-12)

    tau = next(filter(level, cheap))
    return Balance(tau, (tau * logs).tolist(), tried)
