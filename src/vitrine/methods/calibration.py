"""Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, 2017)."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp


def fit_temperature(scores: np.ndarray, targets: np.ndarray) -> float:
    """The temperature T that makes softmax(scores / T) likeliest on validation photos.

    Args:
        scores: (photos, classes).
        targets: Whether a class is a true label, (photos, classes), bool; any of several may be answered.

    Returns:
        T > 0; the scores' standard deviation if no photo has a label to fit on.
    """
    known = targets.any(axis=1)
    scale = float(scores.std()) or 1.0
    if not known.any() or scores.shape[1] < 2:
        return scale
    scores, targets = scores[known].astype(np.float64), targets[known]

    def loss(log_t: float) -> float:
        logs = log_softmax(scores / np.exp(log_t), axis=1)
        return -float(logsumexp(np.where(targets, logs, -np.inf), axis=1).mean())

    centre = np.log(scale)
    found = minimize_scalar(loss, bounds=(centre - 6, centre + 4), method="bounded")
    return float(np.exp(found.x))
