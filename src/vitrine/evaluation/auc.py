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
    from sklearn.metrics import roc_auc_score  # two seconds, which only who needs it pays

    both = 0 < positive.sum() < len(positive)
    return float(roc_auc_score(positive, scores)) if both else float("nan")
