"""Predictions for photos or listings, in the forms that metrics, pages and drift detection read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Output = Literal["labels", "verdict", "embedding"]  # of each photo, of a listing, of each photo


@dataclass(frozen=True)
class LabelPredictions:
    """Of one target, a category level or an attribute type, for every photo.

    Attributes:
        name: `level1` ... `level<h>` (h deepest) or `attr:<type>`.
        labels: The C labels the model knows. Category labels are full paths.
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
class PhotoPredictions:
    """About the photos of a catalog.

    Attributes:
        task: The task's name.
        images: (photos) `image` values of the catalog, in order.
        targets: What was predicted. Category levels come first, coarse to fine.
        embeddings: (photos, dim) float32 features before the heads.
        seconds: Wall time of decoding and prediction.
        separate: What the branch or net of each category level predicts by itself, where there are several: these may
            contradict each other; the probabilities of `targets` do not.
        maps: (photos, rows, columns) saliency of each photo, relative. None: the net has none.
        label_embeddings: By attribute type where photos lie among the embeddings of its labels, e, (photos, D).
    """

    task: str
    images: Sequence[str]
    targets: Sequence[LabelPredictions]
    embeddings: np.ndarray
    seconds: float
    separate: Sequence[LabelPredictions] = ()
    maps: np.ndarray | None = None
    label_embeddings: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class RetrievalPredictions(PhotoPredictions):
    """About photos that are searched, and search, by their embeddings.

    Attributes:
        paths: (photos) category paths, "" where unknown; what recall is measured against.
        product_ids: (photos) what each shows, "" where unknown.
        domains: (photos) `shop` or `user`, "" where unknown.
        asking: (photos,) bool, the queries; the others are in the gallery only. None: all.
        compare: Features of user and shop photos (n, dim), (m, dim), and `category`, the node searched in ("": all),
            to their similarity, (n, m). None: cosine.
    """

    paths: Sequence[str] = ()
    product_ids: Sequence[str] = ()
    domains: Sequence[str] = ()
    asking: np.ndarray | None = None
    compare: "Callable[..., Tensor] | None" = None


@dataclass(frozen=True)
class ListingPredictions:
    """About the listings of a catalog, each judged by all of its photos together.

    Attributes:
        task: The task's name.
        listings: (listings) names, in order.
        images: Per listing the `image` values of its photos.
        views: Per listing the views of its photos, "" where unknown.
        truth: Per listing `authentic`, `counterfeit`, or "" where the experts were uncertain.
        probability: (listings,) calibrated probability that the listing is authentic.
        attention: Per listing the attention weights of its photos, (photos,), summing to 1. None: the system has none.
        photo_probability: Per listing the probability by each photo alone, (photos,). None: the system has none.
        maps: Per listing the activation maps of its photos, (photos, h, w) in [0, 1]. None: the system has none.
        embeddings: (listings, dim) float32 features before the classifier.
        thresholds: (low, high): below `low` counterfeit, from `high` on authentic, between them ask an expert.
        seconds: Wall time of decoding and prediction.
    """

    task: str
    listings: Sequence[str]
    images: Sequence[Sequence[str]]
    views: Sequence[Sequence[str]]
    truth: Sequence[str]
    probability: np.ndarray
    attention: Sequence[np.ndarray] | None
    photo_probability: Sequence[np.ndarray] | None
    maps: Sequence[np.ndarray] | None
    embeddings: np.ndarray
    thresholds: tuple[float, float]
    seconds: float


@dataclass(frozen=True)
class Reply:
    """To a `Query`.

    Attributes:
        records: Per photo, or one for the listing that the photos are of, what `vitrine predict` prints; none where a
            model names no labels.
        features: Before the heads, (photos, dim) float32; of a listing (1, dim).
    """

    records: Sequence[dict[str, Any]]
    features: np.ndarray


def best_labels(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of `Task.records` as a row of a table: of each question the likeliest label, and its confidence."""
    row: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, list):
            row |= {name: value[0]["label"], f"{name}/confidence": value[0]["confidence"]}
        else:
            row[name] = value
    return row


Predictions = PhotoPredictions | ListingPredictions
