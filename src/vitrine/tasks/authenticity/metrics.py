"""How right a model is about listings, how honest its probability is, and what going to an expert changes.

Figures are over the listings whose verdict is known; authentic is the positive class. A listing counts as predicted
authentic from a probability of one half on; `asked` and `decided_accuracy` use the model's own two thresholds instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitrine.errors import InputError
from vitrine.evaluation.auc import area_under_curve
from vitrine.evaluation.calibration import calibration_error
from vitrine.predictions import ListingPredictions
from vitrine.tasks.authenticity.decision import ASK, AUTHENTIC, COUNTERFEIT, verdicts

VIEW_LISTINGS = 10  # judged listings that a view's own figures need
RATES = ("accuracy", "precision", "recall", "f1")


@dataclass(frozen=True)
class Judged:
    """The listings of known truth.

    Attributes:
        rows: (n,) which listings.
        authentic: (n,) bool, the truth.
        probability: (n,) of authentic.
        verdict: (n,) authentic, counterfeit or ask an expert.
    """

    rows: np.ndarray
    authentic: np.ndarray
    probability: np.ndarray
    verdict: np.ndarray


def judged(predictions: ListingPredictions) -> Judged:
    """The listings that the experts were certain about."""
    rows = np.array([i for i, truth in enumerate(predictions.truth) if truth], dtype=np.int64)
    authentic = np.array([truth == AUTHENTIC for truth in predictions.truth], dtype=bool)[rows]
    verdict = np.array(verdicts(predictions.probability, predictions.thresholds), dtype=object)[rows]
    return Judged(rows, authentic, predictions.probability[rows].astype(np.float64), verdict)


def listing_metrics(predictions: ListingPredictions) -> dict[str, float]:
    """The flat `metrics.json` of an predictions about listings, fractions 0..1.

    `accuracy`, `precision`, `recall`, `f1` and `auc` of authentic; `asked`, the share of listings left to an expert,
    and `decided_accuracy` of the others; `ece`, see `calibration_error`; `attention_entropy`, see there;
    `view:<name>/attention`, the share of a listing's attention that its photos of that view get; `count`, the listings
    measured, and `seconds_per_1000_images`. What cannot be computed (the AUC of one class, say) is left out.

    Args:
        predictions: Of listings.

    Raises:
        InputError: if no listing has a verdict.
    """
    listings = judged(predictions)
    if not len(listings.rows):
        raise InputError(f"nothing to measure: none of {len(predictions.listings)} listings has a verdict")
    figures = rates(listings.probability, listings.authentic)
    decided = listings.verdict != ASK
    figures["asked"] = float(1 - decided.mean())
    right = listings.verdict == np.where(listings.authentic, AUTHENTIC, COUNTERFEIT)
    figures["decided_accuracy"] = float(right[decided].mean()) if decided.any() else float("nan")
    figures["ece"] = calibration_error(listings.probability, listings.authentic)
    figures["attention_entropy"] = attention_entropy(predictions.attention or ())
    for view, weight in attention_by_view(predictions).items():
        figures[f"view:{view}/attention"] = weight
    figures["count"] = float(len(listings.rows))
    photos = sum(len(images) for images in predictions.images)
    figures["seconds_per_1000_images"] = 1000.0 * predictions.seconds / photos
    return {name: value for name, value in figures.items() if not np.isnan(value)}


def view_metrics(by_view: Mapping[str, ListingPredictions]) -> dict[str, float]:
    """`view:<name>/accuracy|precision|recall|f1|count` of listings judged by their photos of one view alone.

    Args:
        by_view: The verdicts on the same listings when only their photos of one view are shown.
    """
    figures: dict[str, float] = {}
    for view, alone in by_view.items():
        listings = judged(alone)
        if len(listings.rows) >= VIEW_LISTINGS:
            measured = rates(listings.probability, listings.authentic)
            figures |= {f"view:{view}/{name}": measured[name] for name in RATES}
            figures[f"view:{view}/count"] = float(len(listings.rows))
    return {name: value for name, value in figures.items() if not np.isnan(value)}


def rates(probability: np.ndarray, authentic: np.ndarray) -> dict[str, float]:
    """Accuracy, precision, recall, F1 and AUC; authentic is positive and predicted from a probability of 0.5 on.

    Precision is 0 where nothing was predicted authentic; what has no listing to count is NaN.

    >>> found = rates(np.array([0.9, 0.6, 0.4, 0.2]), np.array([True, False, True, False]))
    >>> found["accuracy"], found["precision"], found["recall"], found["f1"], found["auc"]
    (0.5, 0.5, 0.5, 0.5, 0.75)
    """
    predicted = probability >= 0.5
    both, positives = float((predicted & authentic).sum()), float(authentic.sum())
    answered = float(predicted.sum())
    return {
        "accuracy": float((predicted == authentic).mean()),
        "precision": both / answered if answered else 0.0,
        "recall": both / positives if positives else float("nan"),
        "f1": 2 * both / (answered + positives) if answered + positives else float("nan"),
        "auc": area_under_curve(probability, authentic),
    }


def attention_entropy(attention: Sequence[np.ndarray]) -> float:
    """How evenly listings of several photos are looked at, mean over listings of -sum_k w_k log w_k / log n.

    1: every photo gets the same weight, which is how attention usually fails; 0: one photo decides. NaN where no
    listing has two photos.

    >>> attention_entropy([np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([1.0])])
    0.5
    """
    several = [np.asarray(weights, np.float64) for weights in attention if len(weights) > 1]
    if not several:
        return float("nan")
    logs = [np.log(weights, out=np.zeros_like(weights), where=weights > 0) for weights in several]
    return float(np.mean([-(w * log).sum() / np.log(len(w)) for w, log in zip(several, logs, strict=True)]))


def attention_by_view(predictions: ListingPredictions) -> dict[str, float]:
    """Per view, in order of the name, the mean share of attention its photos get in the listings that have it."""
    shares: dict[str, list[float]] = {}
    for weights, views in zip(predictions.attention or (), predictions.views, strict=bool(predictions.attention)):
        share_of: dict[str, float] = {}
        for weight, view in zip(weights, views, strict=True):
            share_of[view] = share_of.get(view, 0.0) + float(weight)
        for view, share in share_of.items():
            shares.setdefault(view, []).append(share)
    return {view: float(np.mean(shares[view])) for view in sorted(shares) if view}
