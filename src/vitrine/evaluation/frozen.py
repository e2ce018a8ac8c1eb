"""The frozen net that a training started from: what a model has to beat, with a regression or a cosine behind it.

Ten lines of script come to its figures, so a model that stays below them is not worth its training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.logistic import Logistic, fit_logistic
from vitrine.blocks.pretrained import find_weights
from vitrine.catalog import Catalog
from vitrine.data.feature_store import FeatureStore
from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError

FIT_PHOTOS = 20_000  # training photos at most
BATCH = 128


class FrozenNet:
    """A trunk with the weights as they were published, and average pooling."""

    def __init__(self, pooled: nn.Module) -> None:
        self._pooled = pooled

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "FrozenNet | str":
        """What the training of a model started from, or why that cannot be had."""
        start = config.get("weights")
        if not start:
            return "the net was trained from nothing"
        try:
            weights = find_weights(config["settings"]["weights"], config["backbone"])
            if weights is None or weights.sha256 != start["sha256"]:
                return f"the weights it started from ({start['source']}) are not here"
            trunk, _ = build_backbone(config["backbone"], config["image_size"], config["settings"]["weights"])
        except InputError as error:
            return f"the weights it started from cannot be had here: {error}"
        pooled = nn.Sequential(trunk, nn.AdaptiveAvgPool2d(1)).to("cuda" if torch.cuda.is_available() else "cpu")
        return cls(pooled.to(memory_format=torch.channels_last))

    def features(self, photos: PhotoStore) -> np.ndarray:
        """Pooled features of photos, kept by content: (photos, dim) float32."""
        store, device = FeatureStore(photos, self._pooled, copies=0), torch.device("cpu")
        parts = np.array_split(np.arange(len(store)), range(BATCH, len(store), BATCH))
        return np.concatenate([store.normalised(batch, device).flatten(1).numpy() for _, batch in store.batches(parts)])


@dataclass(frozen=True)
class Fitted:
    """The rows that regressions are fitted on.

    Attributes:
        rows: Training and validation rows.
        features: Of the frozen net, (rows, dim).
        train: Which of them train; the others choose how strongly to regularise, (rows,) bool.
    """

    rows: Catalog
    features: np.ndarray
    train: np.ndarray

    def regression(self, truth: np.ndarray) -> Logistic:
        """A logistic regression of one target.

        Args:
            truth: Which labels are true of each row, (rows, labels) bool; rows without any are left out.
        """
        annotated = truth.any(axis=1)
        train, other = annotated & self.train, annotated & ~self.train
        targets = (truth[train] / truth[train].sum(axis=1, keepdims=True)).astype(np.float32)
        return fit_logistic(self.features[train], targets, (self.features[other], truth[other]))


def rows_to_fit(catalog: Catalog, usable: np.ndarray | None = None) -> Catalog | None:
    """The training and validation rows, a random part of them where they are many; None without training rows.

    Args:
        catalog: With splits.
        usable: (rows,) bool, the only ones to take, and all of them; None: any.
    """
    table = catalog.table
    if "split" not in table:
        return None
    parts: list[np.ndarray] = []
    for split in ("train", "validation"):
        rows = np.flatnonzero((table["split"] == split).to_numpy())
        if usable is not None:
            rows = rows[usable[rows]]
        elif len(rows) > FIT_PHOTOS:
            rows = np.random.default_rng(0).permutation(rows)[:FIT_PHOTOS]
        parts.append(np.sort(rows))
    return catalog.with_table(table.iloc[np.concatenate(parts)]) if len(parts[0]) else None


def fitted(frozen: FrozenNet, photos: Callable[[Catalog], PhotoStore], rows: Catalog | None) -> Fitted | None:
    """The frozen net's features of `rows_to_fit`."""
    if rows is None:
        return None
    return Fitted(rows, frozen.features(photos(rows)), (rows.table["split"] == "train").to_numpy())


def label_scores(
    regression: Fitted,
    features: np.ndarray,
    targets: Sequence[tuple[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Scores of a regression for each target.

    Args:
        regression: What to fit on.
        features: Of the measured photos, (photos, dim).
        targets: Name and truth of each, (rows of `regression`, labels) bool.

    Returns:
        By name (photos, labels) float32.
    """
    return {name: regression.regression(truth).scores(features).astype(np.float32) for name, truth in targets}
