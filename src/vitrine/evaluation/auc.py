"""Area under the ROC curve, without the libraries that take seconds to import."""

import numpy as np


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive gets a higher score than a negative; a tie counts half.

    The Mann-Whitney statistic, from ranks (Hanley and McNeil, Radiology 1982).

    Args:
        scores: (n,).
        positive: (n,) bool.

    Returns:
        NaN without both kinds.
    """
    ups, downs = int(positive.sum()), int((~positive).sum())
    if not ups or not downs:
        return float("nan")
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[places]  # ties share their mean rank
    return float((ranks[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))
