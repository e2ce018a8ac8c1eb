"""Which shelf of the category tree does this belong on? The systems of Chen et al., Structure-Aware Deep Learning for
Product Image Classification (TOMM 2019), and two of today.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

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
    from vitrine.predictions import LabelPredictions, PhotoPredictions
    from vitrine.report import Page


class TaxonomyConfig(ModelConfig):
    """What config.json says of a net for categories."""

    leaves: list[str]
    labels: dict[str, list[str]]
    levels: list[int] = Field(default_factory=list)
    salient: bool
    refined: bool = False
    hidden: int
    salient_stage: int = 0
    temperatures: dict[str, float]
    balance: list[float] | None = None


class Taxonomy(LabelTask["PhotoPredictions"]):
    """The path of a photo in the category tree, and with `-ca` and `-mtl` its attributes too."""

    name = "taxonomy"
    title = "Categories"
    variants = (
        "bcnn", "sscnn", "bcnn-mcr", "sscnn-mcr", "bmtl-rl", "bmtl-ca", "ssmtl-rl", "ssmtl-ca", "modern", "modern-mtl",
    )  # fmt: skip
    default = "ssmtl-ca"
    decides = "macro_top1"
    guarded = re.compile(r"level\d+/macro_top1|attr:.+/(recall@1|top1)")
    headlines = ("macro_top1", "top1", "macro_top5", "top5")
    corrupted = ("top1", "top5")
    precedence = 2
    config = TaxonomyConfig

    def settings(self, variant: str) -> type[Settings]:
        """See `Task`."""
        from vitrine.tasks.taxonomy import settings

        if variant in settings.BALANCED:
            return settings.BalancedTaxonomySettings
        return settings.ModernTaxonomySettings if variant in settings.MODERN else settings.TaxonomySettings

    def labels_allow(self, catalog: "Catalog") -> bool:
        """Where there are two leaf categories."""
        from vitrine.catalog.tree import CategoryTree

        return len(CategoryTree(catalog.of_split("train").table.get("category", ())).leaves) > 1

    def inherited(self, settings: Any) -> Any:
        """See `Task`."""
        from vitrine.tasks.taxonomy.warm_start import inherited

        return inherited(settings) if settings.start else settings

    def examine(self, catalog: "Catalog", variant: str, settings: Any) -> dict[str, int]:
        """See `Task`."""
        from vitrine.tasks.taxonomy.plan import describe
        from vitrine.tasks.taxonomy.trees import cut_catalog

        described = describe(cut_catalog(catalog, settings.level), variant)
        return super().examine(catalog, variant, settings) | {"leaf categories": len(described["leaves"])}

    def fit(self, catalog: "Catalog", variant: str, out: Path, settings: Any, folder: Path) -> None:
        """See `Task`."""
        from vitrine.tasks.taxonomy.fit import train_taxonomy

        train_taxonomy(catalog, variant, out, settings, folder, self)

    def build(self, config: Mapping[str, Any]) -> "nn.Module":
        """See `Task`."""
        from vitrine.tasks.taxonomy.systems import build

        return build(config)

    def predictions(
        self,
        config: Mapping[str, Any],
        table: "pd.DataFrame",
        features: "np.ndarray",
        scores: "Mapping[str, np.ndarray]",
        seconds: float,
    ) -> "PhotoPredictions":
        """See `LabelTask`."""
        from vitrine.predictions import PhotoPredictions
        from vitrine.tasks.taxonomy.predictions import heat_maps, separate_levels

        targets = self.label_predictions(config, scores, table)
        separate = separate_levels(config, scores, table, config["temperatures"])
        images = table["image"].tolist()
        return PhotoPredictions(self.name, images, targets, features, seconds, separate, heat_maps(scores))

    def label_predictions(
        self, config: Mapping[str, Any], scores: "Mapping[str, np.ndarray]", table: "pd.DataFrame"
    ) -> "list[LabelPredictions]":
        """See `LabelTask`."""
        from vitrine.tasks.taxonomy.predictions import label_predictions

        return label_predictions(config, scores, table, config["temperatures"])

    def metrics(self, predictions: "PhotoPredictions") -> dict[str, float]:
        """See `taxonomy_metrics`."""
        from vitrine.tasks.taxonomy.metrics import taxonomy_metrics

        return taxonomy_metrics(predictions)

    def hits(self, predictions: "PhotoPredictions") -> "dict[str, Hits]":
        """Of every level, each class a group."""
        from vitrine.evaluation.metrics import true_ranks
        from vitrine.evaluation.sample import Hits

        levels = [target for target in predictions.targets if target.name.startswith("level") and any(target.truth)]
        return {target.name: Hits.of_ranks(true_ranks(target), 1, by_class=True) for target in levels}

    def baseline(
        self, frozen: "FrozenNet", config: Mapping[str, Any], catalog: "Catalog", rows: "Catalog"
    ) -> "PhotoPredictions | str":
        """A logistic regression for each level of the tree and each attribute type, all apart."""
        from vitrine.catalog.tree import CategoryTree
        from vitrine.data.truth import label_matrix
        from vitrine.evaluation.frozen import fitted, label_scores, rows_to_fit
        from vitrine.predictions import PhotoPredictions
        from vitrine.tasks.taxonomy.predictions import label_predictions, label_targets, separate_levels

        regression = fitted(frozen, lambda part: self.photos(config, part), rows_to_fit(catalog))
        if regression is None:
            return f"{catalog.address} has no training rows to fit a regression on"
        levels = list(range(1, CategoryTree(config["leaves"]).depth))
        plain = {"leaves": config["leaves"], "labels": config["labels"], "levels": levels}
        targets = []
        for name, truth, labels in label_targets(plain, regression.rows.table):
            allowed = label_matrix(truth, labels)
            if not name.startswith("attr:"):  # a category cut short says nothing of what is below
                allowed &= (allowed.sum(axis=1) == 1)[:, None]
            targets.append((name, allowed))
        features = frozen.features(self.photos(config, rows))
        scores = label_scores(regression, features, targets)
        temperatures = dict.fromkeys(scores, 1.0)
        predicted = label_predictions(plain, scores, rows.table, temperatures)
        if levels:
            attributes = [target for target in predicted if target.name.startswith("attr:")]
            predicted = [*separate_levels(plain, scores, rows.table, temperatures), *attributes]
        return PhotoPredictions(self.name, rows.table["image"].tolist(), predicted, features, 0.0)

    def page(
        self,
        predictions: "PhotoPredictions",
        rows: "Catalog",
        metrics: Mapping[str, float],
        config: Mapping[str, Any],
        title: str,
        compared: "Sequence[PhotoPredictions]" = (),
    ) -> "Page":
        """See `Task`."""
        from vitrine.evaluation.report import label_page
        from vitrine.tasks.taxonomy.metrics import measure

        return label_page(predictions, rows, metrics, title, self.headlines, measure, compared)
