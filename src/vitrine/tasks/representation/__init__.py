"""Features finer than the labels (Xu et al., Representation Learning with Fine-grained Patterns), and MaskCon."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitrine.settings import Settings
from vitrine.tasks.labels import LabelTask
from vitrine.tasks.task import ModelConfig

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import nn

    from vitrine.catalog import Catalog
    from vitrine.evaluation.frozen import FrozenNet
    from vitrine.evaluation.sample import Hits
    from vitrine.predictions import LabelPredictions, RetrievalPredictions
    from vitrine.report import Page


class RepresentationConfig(ModelConfig):
    """What config.json says of a net whose features are searched."""

    level: int
    classes: list[str]
    leaves: list[str]
    temperatures: dict[str, float]


class Representation(LabelTask["RetrievalPredictions"]):
    """Features by which photos of the same fine-grained kind are found, learnt from coarse categories."""

    name = "representation"
    trivial = "a random order"
    title = "Representation"
    variants = ("base", "fine", "indi", "base-indi", "base-indi-eff", "maskcon")
    default = "base-indi-eff"
    decides = "recall@1"
    guarded = re.compile(r"level\d+/recall@1")
    headlines = ("recall@1", "recall@10", "level1/top1")
    corrupted = ("recall@1", "recall@10")
    indexed = True
    answers_with_features = True
    config = RepresentationConfig

    def settings(self, variant: str) -> type[Settings]:
        """See `Task`."""
        from vitrine.tasks.representation.settings import MaskConSettings, RepresentationSettings

        return MaskConSettings if variant == "maskcon" else RepresentationSettings

    def examine(self, catalog: "Catalog", variant: str, settings: Any) -> dict[str, int]:
        """See `Task`."""
        from vitrine.tasks.representation.plan import describe

        described = describe(catalog, variant, settings.level)
        return super().examine(catalog, variant, settings) | {"super-classes": len(described["classes"])}

    def fit(self, catalog: "Catalog", variant: str, out: Path, settings: Any, folder: Path) -> None:
        """See `Task`."""
        from vitrine.tasks.representation.fit import train_representation

        train_representation(catalog, variant, out, settings, folder, self)

    def build(self, config: Mapping[str, Any]) -> "nn.Module":
        """See `Task`."""
        from vitrine.tasks.representation.net import build

        return build(config)

    def predictions(
        self,
        config: Mapping[str, Any],
        table: "pd.DataFrame",
        features: "np.ndarray",
        scores: "Mapping[str, np.ndarray]",
        seconds: float,
    ) -> "RetrievalPredictions":
        """See `LabelTask`."""
        from dataclasses import replace

        from vitrine.catalog import gallery_rows
        from vitrine.predictions import RetrievalPredictions

        targets = self.label_predictions(config, scores, table)
        asking = None
        if (gallery := gallery_rows(table)).any():  # it is searched, and what it shows may have been learnt
            asking = ~gallery
            targets = [
                replace(target, truth=[truth if asks else () for truth, asks in zip(target.truth, asking, strict=True)])
                for target in targets
            ]
        paths = table["category"].astype(str).tolist() if "category" in table else [""] * len(table)
        images = table["image"].tolist()
        return RetrievalPredictions(self.name, images, targets, features, seconds, paths=paths, asking=asking)

    def rows(self, catalog: "Catalog", split: str) -> "Catalog":
        """Those of a split, and the gallery, which holds no queries.

        Raises:
            InputError: if there are none of the split.
        """
        from vitrine.catalog import with_gallery

        super().rows(catalog, split)
        return with_gallery(catalog, split)

    def label_predictions(
        self, config: Mapping[str, Any], scores: "Mapping[str, np.ndarray]", table: "pd.DataFrame"
    ) -> "list[LabelPredictions]":
        """See `LabelTask`."""
        from vitrine.tasks.representation.predictions import label_predictions

        return label_predictions(config, scores, table, config["temperatures"])

    def metrics(self, predictions: "RetrievalPredictions") -> dict[str, float]:
        """See `representation_metrics`."""
        from vitrine.tasks.representation.report import representation_metrics

        return representation_metrics(predictions)

    def constant(self, predictions: "RetrievalPredictions") -> "RetrievalPredictions":
        """See `constant_order`."""
        from vitrine.evaluation.constant import constant_order

        return constant_order(predictions)

    def hits(self, predictions: "RetrievalPredictions") -> "dict[str, Hits]":
        """Of every level, whether the first photo found is of the same node."""
        import numpy as np

        from vitrine.evaluation.sample import Hits
        from vitrine.tasks.representation.report import level_ranks

        return {
            f"level{level}": Hits(ranks.query, np.zeros(len(ranks.query), np.int64), ranks.hits(1))
            for level, ranks in level_ranks(predictions).items()
        }

    def baseline(
        self, frozen: "FrozenNet", config: Mapping[str, Any], catalog: "Catalog", rows: "Catalog"
    ) -> "RetrievalPredictions | str":
        """The frozen features by cosine."""
        return self.predictions(config, rows.table, frozen.features(self.photos(config, rows)), {}, 0.0)

    def page(
        self,
        predictions: "RetrievalPredictions",
        rows: "Catalog",
        metrics: Mapping[str, float],
        config: Mapping[str, Any],
        title: str,
        compared: "Sequence[RetrievalPredictions]" = (),
    ) -> "Page":
        """See `representation_page`; other models are not shown."""
        from vitrine.tasks.representation.report import representation_page

        return representation_page(predictions, rows, metrics, title)
