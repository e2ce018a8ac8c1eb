"""Matching a customer's photo to the shop's photos of the same product (Wang et al., ICMR 2016).

`pretrained` compares the features of the net as it came; `ft-similarity` learns two layers on top of them (Kiapour et
al.); the others fine-tune the net with the contrastive or the robust contrastive loss, alone or beside the softmax loss
on a background set (`-softmax`), which for `robust-softmax-own` is the product set itself (Section 4.3).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vitrine.errors import InputError
from vitrine.settings import Recipe, Settings
from vitrine.tasks.task import ModelConfig, Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from PIL import Image
    from torch import nn

    from vitrine.catalog import Catalog
    from vitrine.catalog.photos import PhotoError
    from vitrine.data.photo_store import PhotoStore
    from vitrine.data.pixels import Query
    from vitrine.evaluation.frozen import FrozenNet
    from vitrine.evaluation.sample import Hits
    from vitrine.inference import Change
    from vitrine.predictions import Reply, RetrievalPredictions
    from vitrine.report import Page


class MatchingConfig(ModelConfig):
    """What config.json says of a net of matching."""

    identity: str
    categories: list[str]
    settings: dict[str, Any]


class Matching(Task["RetrievalPredictions"]):
    """User photos ask, shop photos are searched."""

    name = "matching"
    trivial = "a random order"
    title = "Matching"
    variants = (
        "pretrained", "ft-similarity", "contrastive", "contrastive-softmax", "robust", "robust-softmax",
        "robust-softmax-own",
    )  # fmt: skip
    default = "robust-softmax"
    decides = "top20"
    guarded = re.compile(r"top1|top5|category:.+/top20")
    headlines = ("top20", "top1", "top5")
    indexed = True
    answers_with_features = True
    # Fewer passes than elsewhere: with each user photo come six others in its pairs.
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "upper": Recipe(6, 5e-3, 0.2),
        "tuned": Recipe(4, 5e-3, 0.1),
        "scratch": Recipe(10, 1e-3, 1.0),
    }
    output = "embedding"
    config = MatchingConfig

    def settings(self, variant: str) -> type[Settings]:
        """See `Task`."""
        from vitrine.tasks.matching.settings import MatchingSettings

        return MatchingSettings

    def examine(self, catalog: "Catalog", variant: str, settings: Any) -> dict[str, int]:
        """See `Task`."""
        from vitrine.tasks.matching.plan import plan

        planned = plan(catalog, variant, settings)
        measured = self.rows(catalog, "test").table
        return {
            "user photos to learn from": len(planned.pairable.users),
            "shop photos": len(planned.pairable.shops),
            "user photos to measure on": int((measured["domain"] == "user").sum()),
        }

    def fit(self, catalog: "Catalog", variant: str, out: Path, settings: Any, folder: Path) -> None:
        """See `Task`."""
        from vitrine.tasks.matching.fit import train_matching

        train_matching(catalog, variant, out, settings, folder)

    def build(self, config: Mapping[str, Any]) -> "nn.Module":
        """See `Task`."""
        from vitrine.tasks.matching.net import build

        return build(config)

    def rows(self, catalog: "Catalog", split: str) -> "Catalog":
        """See `rows_to_measure`."""
        from vitrine.tasks.matching.plan import rows_to_measure

        return rows_to_measure(catalog, split)

    def photos(self, config: Mapping[str, Any], catalog: "Catalog") -> "PhotoStore":
        """Under their domains' crops."""
        from vitrine.data.crops import crops_of
        from vitrine.data.photo_store import PhotoStore

        return PhotoStore.of_catalog(catalog, config["image_size"], crops=crops_of(catalog.table))

    def queries(self, config: Mapping[str, Any], table: "pd.DataFrame") -> "PhotoStore":
        """Under their domains' crops."""
        from vitrine.data.crops import crops_of
        from vitrine.data.photo_store import PhotoStore

        return PhotoStore(table["uri"].tolist(), config["image_size"], crops=crops_of(table))

    def predict(
        self,
        net: Any,
        config: Mapping[str, Any],
        catalog: "Catalog",
        *,
        change: "Change | None" = None,
        embeddings: bool = False,
    ) -> "RetrievalPredictions":
        """See `Task`."""
        import time

        import numpy as np

        from vitrine.inference import run_net

        started = time.perf_counter()
        store = self.photos(config, catalog)
        features, _ = run_net(net, store, np.arange(len(store)), change=change)
        compare = net.scores if net.similarities is not None else None
        return self._predictions(config, catalog.table, features, time.perf_counter() - started, compare)

    def records(
        self,
        net: Any,
        config: Mapping[str, Any],
        images: Sequence[str],
        top: int = 5,
        explain: Path | None = None,
        unreadable: "dict[int, PhotoError] | None" = None,
    ) -> list[dict[str, Any]]:
        """Refused: these models name no labels."""
        raise InputError("matching finds products and names no labels; use `vitrine index` and `vitrine search`")

    def shown(self, config: Mapping[str, Any], photo: "Image.Image") -> "np.ndarray":
        """The centre, as of a user's photo."""
        from vitrine.data.crops import USER, cropped

        return cropped(photo, USER, config["image_size"])

    def reply(self, net: Any, config: Mapping[str, Any], queries: "Sequence[Query]") -> "list[Reply]":
        """Features only: these models name no labels."""
        import numpy as np

        from vitrine.data.pixels import Pixels
        from vitrine.inference import run_net
        from vitrine.predictions import Reply

        pixels = np.concatenate([query.pixels for query in queries])
        features, _ = run_net(net, Pixels(pixels), np.arange(len(pixels)))
        ends = np.cumsum([len(query) for query in queries])[:-1]
        return [Reply([], part) for part in np.split(features, ends)]

    def index_rows(self, catalog: "Catalog", config: Mapping[str, Any]) -> "pd.DataFrame":
        """Shop photos only, where the catalog tells domains; products are what the model was trained to tell apart."""
        from vitrine.catalog.table import texts

        rows = super().index_rows(catalog, config)
        if config["identity"] in catalog.table:
            rows["product"] = texts(catalog.table[config["identity"]])
        return rows[rows["domain"] == "shop"] if (rows["domain"] == "shop").any() else rows

    def check_searchable(self, config: Mapping[str, Any], folder: Path) -> None:
        """See `Task`."""
        if config["variant"] == "ft-similarity":
            raise InputError(
                f"{folder}: ft-similarity compares pair by pair, which no index can hold; use another variant"
            )

    def metrics(self, predictions: "RetrievalPredictions") -> dict[str, float]:
        """See `matching_metrics`."""
        from vitrine.tasks.matching.report import matching_metrics

        return matching_metrics(predictions)

    def constant(self, predictions: "RetrievalPredictions") -> "RetrievalPredictions":
        """See `constant_order`."""
        from vitrine.evaluation.constant import constant_order

        return constant_order(predictions)

    def hits(self, predictions: "RetrievalPredictions") -> "dict[str, Hits]":
        """Whether a shop photo of the same product is among the first 20."""
        import numpy as np

        from vitrine.evaluation.sample import Hits
        from vitrine.tasks.matching.report import overall_ranks, queries_of

        ranks = overall_ranks(predictions)
        rows = queries_of(predictions)[ranks.query]
        return {"search": Hits(rows, np.zeros(len(rows), np.int64), ranks.hits(20))}

    def baseline(
        self, frozen: "FrozenNet", config: Mapping[str, Any], catalog: "Catalog", rows: "Catalog"
    ) -> "RetrievalPredictions | str":
        """The frozen features by cosine."""
        return self._predictions(config, rows.table, frozen.features(self.photos(config, rows)), 0.0)

    def page(
        self,
        predictions: "RetrievalPredictions",
        rows: "Catalog",
        metrics: Mapping[str, float],
        config: Mapping[str, Any],
        title: str,
        compared: "Sequence[RetrievalPredictions]" = (),
    ) -> "Page":
        """See `matching_page`; other models are not shown."""
        from vitrine.tasks.matching.report import matching_page

        return matching_page(predictions, rows, metrics, title)

    def confusion(self, predictions: "RetrievalPredictions") -> dict[str, Any]:
        """None: products are found, not named."""
        from vitrine.evaluation.report import NOTHING_TO_CONFUSE

        return NOTHING_TO_CONFUSE

    def examples(self, predictions: "RetrievalPredictions", rows: "Catalog", count: int) -> list[dict[str, object]]:
        """See `matching_examples`."""
        from vitrine.tasks.matching.report import matching_examples

        return matching_examples(predictions, rows, count)

    def _predictions(
        self,
        config: Mapping[str, Any],
        table: "pd.DataFrame",
        features: "np.ndarray",
        seconds: float,
        compare: Any = None,
    ) -> "RetrievalPredictions":
        from vitrine.catalog.table import texts
        from vitrine.predictions import RetrievalPredictions

        def column(name: str) -> list[str]:
            return texts(table[name]).tolist() if name in table else [""] * len(table)

        return RetrievalPredictions(
            self.name,
            column("image"),
            [],
            features,
            seconds,
            paths=column("category"),
            product_ids=column(config["identity"]),
            domains=column("domain"),
            compare=compare,
        )
