"""The ROC curve, in the form of KFP's `ClassificationMetrics.log_roc_curve`."""

import numpy as np

from vitrine.predictions import LabelPredictions

POINTS = 200  # the UI draws no more, and they are stored as an artifact's metadata


def roc(score: np.ndarray, positive: np.ndarray, points: int = POINTS) -> dict[str, list[float]]:
    """The share of positives and of negatives whose score is at least a threshold, for falling thresholds.

    >>> roc(np.array([0.9, 0.6, 0.4, 0.2]), np.array([True, False, True, False]))["tpr"]
    [0.0, 0.5, 0.5, 1.0, 1.0]

    Args:
        score: (n,) finite; higher is likelier positive.
        positive: (n,) bool, the truth.
        points: At most so many, evenly along the curve; its two ends are always among them.

    Returns:
        `fpr`, `tpr` and `threshold`, equally long. The first threshold is just above the highest score, where sklearn
        has an infinity: the UI cannot draw that. All are empty where there are no positives or no negatives.
    """
    if positive.all() or not positive.any():
        return {"fpr": [], "tpr": [], "threshold": []}
    # sklearn's roc_curve is the same, and loading sklearn takes a second.
    order = np.argsort(-score, kind="stable")
    falling = score[order].astype(np.float64)
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)  # of each threshold
    found = np.cumsum(positive[order])[last]
    tpr = np.append(0.0, found / found[-1])
    fpr = np.append(0.0, (last + 1 - found) / (len(falling) - found[-1]))
    threshold = np.append(np.nextafter(falling[0], np.inf), falling[last])
    kept = np.unique(np.searchsorted(fpr + tpr, np.linspace(0, fpr[-1] + tpr[-1], points)))
    return {"fpr": fpr[kept].tolist(), "tpr": tpr[kept].tolist(), "threshold": threshold[kept].tolist()}


def micro_roc(target: LabelPredictions) -> dict[str, list[float]]:
    """The curve of "has the photo this label?", over all pairs of an annotated photo and a label the model knows.

    One against the rest, micro-averaged: a frequent label counts as often as it comes. Photos none of whose labels the
    model knows are left out, since no threshold finds them.

    Args:
        target: Whose scores are comparable between photos (probabilities).

    Returns:
        As `roc`.
    """
    places = {label: place for place, label in enumerate(target.labels)}
    columns = [[places[label] for label in truth if label in places] for truth in target.truth]
    rows = np.array([row for row, labels in enumerate(columns) if labels], dtype=np.int64)
    positive = np.zeros((len(rows), len(target.labels)), dtype=bool)
    for place, row in enumerate(rows):
        positive[place, columns[row]] = True
    return roc(target.scores[rows].ravel(), positive.ravel())
