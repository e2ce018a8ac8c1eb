"""Attribute prediction by many teachers and one student (Shin, Semi-supervised Learning with a Teacher-student
Network for Generalized Attribute Prediction, ECCV 2020; "MTSS")."""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from vitrine.errors import InputError
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
    from vitrine.inference import Change
    from vitrine.predictions import LabelPredictions, PhotoPredictions
    from vitrine.report import Page


class AttributesConfig(ModelConfig):
    """What config.json says of a teacher, a student or a BCE net."""

    labels: dict[str, list[str]]
    temperatures: dict[str, float]
    priors: dict[str, list[float]] = Field(default_factory=dict)
    embedding_dim: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _has_an_embedding_space(self) -> "AttributesConfig":
        if self.variant != "bce" and self.embedding_dim is None:
            raise ValueError("embedding_dim is missing")
        return self


class Attributes(LabelTask["PhotoPredictions"]):
    """Which colour, pattern, neckline ...: labels of several types, of which most photos have few."""

    name = "attributes"
    title = "Attributes"
    variants = ("bce", "teacher", "student")
    default = "student"
    decides = "recall@1"
    guarded = re.compile(r"attr:.+/recall@1")
    headlines = ("recall@1", "recall@3", "recall@5", "f1@1")
    corrupted = ("recall@1", "recall@3", "recall@5", "f1@1")
    precedence = 1
    config = AttributesConfig

    def settings(self, variant: str) -> type[Settings]:
        """See `Task`."""
        from vitrine.tasks.attributes.settings import BceSettings, StudentSettings, TeacherSettings

        kinds: dict[str, type[Settings]] = {"bce": BceSettings, "teacher": TeacherSettings, "student": StudentSettings}
        return kinds[variant]

    def labels_allow(self, catalog: "Catalog") -> bool:
        """Where an attribute type has two labels."""
        from vitrine.data.truth import teachable_types

        return bool(teachable_types(catalog))

    def examine(self, catalog: "Catalog", variant: str, settings: Any) -> dict[str, int]:
        """See `Task`."""
        from vitrine.data.truth import teachable_types

        types = teachable_types(catalog)
        if not types:
            raise InputError(f"{catalog.address}: no attribute type has two labels among training photos")
        return super().examine(catalog, variant, settings) | {"attribute types": len(types)}

    def fit(self, catalog: "Catalog", variant: str, out: Path, settings: Any, folder: Path) -> None:
        """See `Task`."""
        from vitrine.tasks.attributes import fit

        if variant == "student":
            fit.train_student(catalog, out, settings, folder, self)
        elif variant == "teacher":
            fit.train_teacher(catalog, out, settings, folder, self)
        else:
            fit.train_bce(catalog, out, settings, folder, self)

    def add_label(self, model: Path, out: Path, kind: str, label: str, images: Sequence[str]) -> str:
        """See `vitrine.tasks.attributes.new_label`."""
        from vitrine.tasks.attributes.new_label import add_label

        return str(add_label(model, out, kind, label, images, self.load))

    def build(self, config: Mapping[str, Any]) -> "nn.Module":
        """See `Task`."""
        from vitrine.tasks.attributes.net import build

        return build(config)

    def predict(
        self,
        net: Any,
        config: Mapping[str, Any],
        catalog: "Catalog",
        *,
        change: "Change | None" = None,
        embeddings: bool = False,
    ) -> "PhotoPredictions":
        """See `Task`; with `embeddings`, one pass gives those and the scores, which are cosines to them."""
        from dataclasses import replace

        import numpy as np
        import torch

        from vitrine.blocks.cosine import cosines
        from vitrine.inference import run_net
        from vitrine.tasks.attributes.net import AttributeNet

        if not embeddings or not isinstance(net, AttributeNet):
            return super().predict(net, config, catalog, change=change)
        started = time.perf_counter()
        store = self.photos(config, catalog)
        features, placed = run_net(net, store, np.arange(len(store)), embeddings=True, change=change)
        scores = {
            kind: cosines(torch.from_numpy(placed[kind]), dictionary.detach().cpu()).numpy()
            for kind, dictionary in zip(net.kinds, net.dictionaries, strict=True)
        }
        seconds = time.perf_counter() - started
        return replace(self.predictions(config, catalog.table, features, scores, seconds), label_embeddings=placed)

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

        targets = self.label_predictions(config, scores, table)
        return PhotoPredictions(self.name, table["image"].tolist(), targets, features, seconds)

    def label_predictions(
        self, config: Mapping[str, Any], scores: "Mapping[str, np.ndarray]", table: "pd.DataFrame"
    ) -> "list[LabelPredictions]":
        """See `LabelTask`."""
        from vitrine.tasks.attributes.predictions import label_predictions

        return label_predictions(config, scores, table, config["temperatures"])

    def metrics(self, predictions: "PhotoPredictions") -> dict[str, float]:
        """See `attribute_metrics`."""
        from vitrine.tasks.attributes.metrics import attribute_metrics

        return attribute_metrics(predictions)

    def hits(self, predictions: "PhotoPredictions") -> "dict[str, Hits]":
        """Of every type, all labels together."""
        from vitrine.evaluation.metrics import true_ranks
        from vitrine.evaluation.sample import Hits

        asked = [target for target in predictions.targets if any(target.truth)]
        return {target.name: Hits.of_ranks(true_ranks(target), 1, by_class=False) for target in asked}

    def baseline(
        self, frozen: "FrozenNet", config: Mapping[str, Any], catalog: "Catalog", rows: "Catalog"
    ) -> "PhotoPredictions | str":
        """A logistic regression for each attribute type."""
        from vitrine.data.truth import label_matrix
        from vitrine.evaluation.frozen import fitted, label_scores, rows_to_fit
        from vitrine.tasks.attributes.predictions import label_targets

        regression = fitted(frozen, lambda part: self.photos(config, part), rows_to_fit(catalog))
        if regression is None:
            return f"{catalog.address} has no training rows to fit a regression on"
        targets = [
            (name, label_matrix(truth, labels)) for name, truth, labels in label_targets(config, regression.rows.table)
        ]
        features = frozen.features(self.photos(config, rows))
        scores = label_scores(regression, features, targets)
        plain = {"labels": config["labels"], "temperatures": dict.fromkeys(config["labels"], 1.0)}
        return self.predictions(plain, rows.table, features, scores, 0.0)

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
        from vitrine.tasks.attributes.metrics import measure

        return label_page(predictions, rows, metrics, title, self.headlines, measure, compared)
