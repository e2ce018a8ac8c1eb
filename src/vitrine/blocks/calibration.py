"""Scores made probabilities: temperature scaling for many classes, Platt scaling for two."""

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_expit, log_softmax, logsumexp


def fit_temperature(scores: np.ndarray, targets: np.ndarray) -> float:
    """The temperature T that makes softmax(scores / T) likeliest on validation photos.

    (Guo et al., On Calibration of Modern Neural Networks, 2017.)

    Args:
        scores: (photos, classes).
        targets: Whether a class is a true label, (photos, classes), bool; any of several may be predicted.

    Returns:
        T > 0; the scores' standard deviation if no photo has a label to fit on.
    """
    annotated = targets.any(axis=1)
    scale = float(scores.std()) or 1.0
    if not annotated.any() or scores.shape[1] < 2:
        return scale
    scores, targets = scores[annotated].astype(np.float64), targets[annotated]

    def loss(log_t: float) -> float:
        return _surprise(scores / np.exp(log_t), targets)

    centre = np.log(scale)
    minimum = minimize_scalar(loss, bounds=(centre - 6, centre + 4), method="bounded")
    return float(np.exp(minimum.x))


def fit_prior(scores: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> tuple[float, np.ndarray]:
    """The temperature T and tau in [0, 1] that make softmax(scores / T + tau log pi) likeliest on validation photos.

    A net trained on a uniform class prior predicts under it. By Bayes' rule its probabilities times the shares pi of
    the classes is the probability where photos come as they are (Saerens et al., Adjusting the Outputs of a Classifier
    to New a Priori Probabilities, 2002: tau = 1); tau leaves to the photos how far the net needs that.

    Args:
        scores: (photos, classes).
        targets: See `fit_temperature`.
        counts: Training photos of each class, (classes,).

    Returns:
        T > 0 and tau log pi, (classes,); zeros if no photo has a label to fit on.
    """
    logs = np.log((counts + 1) / (counts + 1).sum())
    temperature = fit_temperature(scores, targets)
    annotated = targets.any(axis=1)
    if not annotated.any() or scores.shape[1] < 2:
        return temperature, np.zeros(len(logs))
    scores, targets = scores[annotated].astype(np.float64), targets[annotated]

    def loss(weights: np.ndarray) -> float:
        return _surprise(scores / temperature * np.exp(weights[0]) + weights[1] * logs, targets)

    sharper, tau = minimize(loss, [0.0, 0.5], bounds=[(-6.0, 6.0), (0.0, 1.0)], method="L-BFGS-B").x
    return temperature / float(np.exp(sharper)), float(tau) * logs


def _surprise(logits: np.ndarray, targets: np.ndarray) -> float:
    """-log of the probability of all true labels together, the mean over photos: (photos, classes) twice."""
    logs = log_softmax(logits, axis=1)
    return -float(logsumexp(np.where(targets, logs, -np.inf), axis=1).mean())


def fit_platt(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """The slope a >= 0 and the bias b that make sigmoid(a * score + b) likeliest on validation listings.

    (Platt, Probabilistic Outputs for Support Vector Machines, 1999.) Its smoothed targets (n+ + 1) / (n+ + 2) and
    1 / (n- + 2) keep the slope finite where the validation listings can be told apart without a mistake. Unlike a
    temperature alone it also takes out a bias towards one class, which a net trained on few or unevenly labelled
    listings often has, and which shifts every cost-aware threshold.

    Args:
        scores: (n,), higher is likelier positive.
        positive: (n,) bool.

    Returns:
        (a, b); (0, log-odds of the smoothed share of positives) where all scores are the same, and (1, 0) without any.
    """
    if not len(scores):
        return 1.0, 0.0
    values, positive = scores.astype(np.float64), positive.astype(bool)
    centre, scale = float(values.mean()), float(values.std())
    ups, downs = int(positive.sum()), int((~positive).sum())
    targets = np.where(positive, (ups + 1) / (ups + 2), 1 / (downs + 2))
    share = float(targets.mean())
    if scale == 0:
        return 0.0, float(np.log(share / (1 - share)))
    standard = (values - centre) / scale

    def loss(weights: np.ndarray) -> float:
        z = weights[0] * standard + weights[1]
        return -float((targets * log_expit(z) + (1 - targets) * log_expit(-z)).mean())

    parameters = minimize(loss, [1.0, 0.0], bounds=[(0.0, None), (None, None)], method="L-BFGS-B").x
    slope = float(parameters[0]) / scale
    return slope, float(parameters[1]) - slope * centre
