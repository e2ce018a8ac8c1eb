"""Whether a probability can be believed: bins of it against what came true, and the expected calibration error."""

import numpy as np

BINS = 10


def calibration_error(probability: np.ndarray, true: np.ndarray) -> float:
    """Expected calibration error over 10 even bins: sum_b n_b/n |share true_b - mean probability_b|.

    (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, Eq. 3.)

    Args:
        probability: (n,) in [0, 1].
        true: (n,) whether what it is the probability of came true, bool.
    """
    return float(sum(share * abs(came - confidence) for share, came, confidence in reliability(probability, true)))


def reliability(probability: np.ndarray, true: np.ndarray) -> list[tuple[float, float, float]]:
    """Per even bin of probability: its share of all, the share true in it, its mean probability (0 where empty)."""
    places = np.clip((probability * BINS).astype(int), 0, BINS - 1)
    count = np.bincount(places, minlength=BINS)
    came = np.bincount(places, true, minlength=BINS) / np.maximum(count, 1)
    confidence = np.bincount(places, probability, minlength=BINS) / np.maximum(count, 1)
    return list(zip((count / max(count.sum(), 1)).tolist(), came.tolist(), confidence.tolist(), strict=True))
