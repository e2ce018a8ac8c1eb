"""The constant model: the commonest label for every photo, a random order for every search."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vitrine.predictions import LabelPredictions, RetrievalPredictions

PREFIX = "constant/"


def constant_labels(targets: Sequence[LabelPredictions]) -> list[LabelPredictions]:
    """The same targets, each label as likely as it is common among the measured photos.

    No other constant prediction does better on them.
    """
    return [_constant(target) for target in targets]


def _constant(target: LabelPredictions) -> LabelPredictions:
    counts = Counter(label for truth in target.truth for label in set(truth))
    total = max(1, sum(counts.values()))
    # The order of equally common labels is as good as any, but one has to be predicted.
    scores = np.array([counts[label] / total - 1e-9 * place for place, label in enumerate(target.labels)])
    photos = len(target.truth)
    confidence = np.full(photos, scores.max(initial=0.0))
    return replace(target, scores=np.tile(scores, (photos, 1)), confidence=confidence)


def constant_order(predictions: RetrievalPredictions) -> RetrievalPredictions:
    """Every photo looks like every other: what is found first is chance, and counted as such."""
    embeddings = np.ones((len(predictions.images), 1), np.float32)
    targets = constant_labels(predictions.targets)
    return replace(predictions, embeddings=embeddings, compare=None, targets=targets)
