"""What a model answered about some photos, in the form that metrics, reports and drift detection read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Question:
    """One thing the model was asked about every photo: a category level or an attribute type.

    Attributes:
        name: `level1` ... `level<h>` (h deepest) or `attr:<type>`.
        labels: The C labels the model can answer. Category labels are full paths.
        scores: (photos, C); higher is likelier; comparable within a row. Vitrine's own models give probabilities.
        confidence: (photos,) in [0, 1], of the best label.
        truth: Per photo the true labels; none = not annotated. A label the model never saw counts as a miss.
    """

    name: str
    labels: Sequence[str]
    scores: np.ndarray
    confidence: np.ndarray
    truth: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Outcome:
    """A model's answers about the photos of a catalog.

    Attributes:
        task: `attributes` or `taxonomy` (later rooms add theirs).
        images: (photos) `image` values of the catalog, in order.
        questions: What was asked. For taxonomy the levels come first, coarse to fine.
        embeddings: (photos, dim) float32 features before the heads.
        seconds: Wall time of decoding and prediction.
    """

    task: str
    images: Sequence[str]
    questions: Sequence[Question]
    embeddings: np.ndarray
    seconds: float
