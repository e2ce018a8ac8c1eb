"""Area under the ROC curve."""

import numpy as np


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive gets a higher score than a negative; a tie counts half.

    Args:
        scores: (n,).
        positive: (n,) bool.

    Returns:
        NaN without both kinds.
    """
    from scipy.stats import rankdata  # a second, which only who needs it pays

    positives = int(positive.sum())
    pairs = positives * (len(positive) - positives)
    if not pairs:
        return float("nan")
    # Mann and Whitney's U. sklearn's roc_auc_score is the same, its checks take 2 ms, and intervals ask 500 times.
    higher = rankdata(scores)[positive].sum() - positives * (positives + 1) / 2
    return float(higher / pairs)
