"""Is the item of this listing authentic? SSA (Yang et al., 2020), and the systems it is compared with.

A listing is a bag of photos. An expert may have decided about it, or been unable to.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vitrine.errors import InputError
from vitrine.settings import Recipe, Settings
from vitrine.tasks.task import ModelConfig, Task

if TYPE_CHECKING:
    from torch import nn

    from vitrine.catalog import Catalog
    from vitrine.catalog.photos import PhotoError
    from vitrine.data.pixels import Query
    from vitrine.evaluation.frozen import FrozenNet
    from vitrine.evaluation.sample import Hits, Sample
    from vitrine.graphs import Graph
    from vitrine.inference import Change
    from vitrine.predictions import ListingPredictions, PhotoPredictions, Reply
    from vitrine.report import Page


class AuthenticityConfig(ModelConfig):
    """What config.json says of a system that decides listings."""

    labels: list[str]
    views: list[str]
    viewless: bool
    attention: int
    hidden: int
    calibration: dict[str, tuple[float, float]]
    thresholds: tuple[float, float]
    settings: dict[str, Any]


class Authenticity(Task["ListingPredictions"]):
    """Authentic, counterfeit, or ask an expert: one verdict for all photos of a listing."""

    name = "authenticity"
    title = "Authenticity"
    variants = (
        "ssa", "ssa-max", "ssa-mean", "cnn", "ms-cnn", "ms-bilinear", "deepmiml", "mi-cnn", "mi-net-instance", "mi-net",
        "mi-net-ds", "mi-net-rc", "mil-att", "bilinear", "ma-cnn",
    )  # fmt: skip
    default = "ssa"
    decides = "accuracy"
    guarded = re.compile(r"precision|recall|f1")
    headlines = ("accuracy", "f1", "auc")
    counted = "listings"
    trivial = "the commonest verdict for every listing"
    # Slower than elsewhere: at 5e-3 mil-att's embeddings die (docs/results/start.md).
    recipes: ClassVar[Mapping[str, Recipe]] = {"upper": Recipe(16, 2e-3, 0.2), "tuned": Recipe(10, 2e-3, 0.1)}
    output = "verdict"
    config = AuthenticityConfig

    def settings(self, variant: str) -> type[Settings]:
        """See `Task`."""
        from vitrine.tasks.authenticity.settings import AuthenticitySettings

        return AuthenticitySettings

    def examine(self, catalog: "Catalog", variant: str, settings: Any) -> dict[str, int]:
        """See `count_listings`."""
        from vitrine.tasks.authenticity.plan import count_listings

        counts = count_listings(catalog)
        return {
            "listings with a verdict to learn from": counts["train"],
            "without": counts["undecided"],
            "to choose by": counts["validation"],
            "to measure on": counts["test"],
        }

    def fit(self, catalog: "Catalog", variant: str, out: Path, settings: Any, folder: Path) -> None:
        """See `Task`."""
        from vitrine.tasks.authenticity.fit import train_authenticity

        train_authenticity(catalog, variant, out, settings, folder)

    def build(self, config: Mapping[str, Any]) -> "nn.Module":
        """See `Task`."""
        from vitrine.tasks.authenticity.systems import build

        return build(config)

    def predict(
        self,
        net: Any,
        config: Mapping[str, Any],
        catalog: "Catalog",
        *,
        change: "Change | None" = None,
        embeddings: bool = False,
    ) -> "ListingPredictions":
        """See `Task`; photos are never corrupted."""
        from vitrine.tasks.authenticity.listings import judge

        return judge(net, config, catalog)

    def records(
        self,
        net: Any,
        config: Mapping[str, Any],
        images: Sequence[str],
        top: int = 5,
        explain: Path | None = None,
        unreadable: "dict[int, PhotoError] | None" = None,
    ) -> list[dict[str, Any]]:
        """See `predict_listings`; `images` are folders, one a listing."""
        from vitrine.tasks.authenticity.listings import predict_listings

        return predict_listings(net, config, images, unreadable)

    def reply(self, net: Any, config: Mapping[str, Any], queries: "Sequence[Query]") -> "list[Reply]":
        """See `reply_about_listings`; each query is a listing."""
        from vitrine.tasks.authenticity.listings import reply_about_listings

        return reply_about_listings(net, config, queries)

    def graph(self, net: Any, config: Mapping[str, Any]) -> "Graph":
        """See `listing_graph`."""
        from vitrine.tasks.authenticity.graph import listing_graph

        return listing_graph(net, config)

    def from_graph(self, session: Any) -> Any:
        """See `ListingSession`."""
        from vitrine.tasks.authenticity.graph import ListingSession

        return ListingSession(session)

    def check_searchable(self, config: Mapping[str, Any], folder: Path) -> None:
        """See `Task`."""
        raise InputError(f"{folder}: judges listings, and embeds no single photos")

    def metrics(self, predictions: "ListingPredictions") -> dict[str, float]:
        """See `listing_metrics`."""
        from vitrine.tasks.authenticity.metrics import listing_metrics

        return listing_metrics(predictions)

    def further_metrics(
        self, predictions: "ListingPredictions", net: Any, config: Mapping[str, Any], rows: "Catalog"
    ) -> dict[str, float]:
        """`view:<name>/...`: the same listings judged by their photos of one view alone."""
        from vitrine.tasks.authenticity.listings import judge_by_view
        from vitrine.tasks.authenticity.metrics import view_metrics

        return view_metrics(judge_by_view(net, config, rows))

    def constant(self, predictions: "ListingPredictions") -> "ListingPredictions":
        """As likely authentic as listings of known verdict are."""
        from dataclasses import replace

        import numpy as np

        from vitrine.tasks.authenticity.metrics import judged

        authentic = judged(predictions).authentic
        share = float(authentic.mean()) if len(authentic) else 0.5
        probability = np.full(len(predictions.listings), share, np.float32)
        return replace(predictions, probability=probability, attention=None, photo_probability=None, maps=None)

    def hits(self, predictions: "ListingPredictions") -> "dict[str, Hits]":
        """Whether each listing of known verdict is judged rightly."""
        import numpy as np

        from vitrine.evaluation.sample import Hits
        from vitrine.tasks.authenticity.metrics import judged

        listings = judged(predictions)
        right = (listings.probability >= 0.5) == listings.authentic
        return {"verdict": Hits(listings.rows, np.zeros(len(listings.rows), np.int64), right.astype(np.float64))}

    def sample(self, predictions: "ListingPredictions", rows: "Catalog") -> "Sample":
        """Drawn by listings."""
        import numpy as np

        from vitrine.evaluation.sample import sample_of

        return sample_of(self.hits(predictions), "listings", np.arange(len(predictions.listings)))

    def baseline(
        self, frozen: "FrozenNet", config: Mapping[str, Any], catalog: "Catalog", rows: "Catalog"
    ) -> "ListingPredictions | str":
        """A logistic regression on the mean of a listing's photos."""
        from vitrine.tasks.authenticity.listings import frozen_verdicts

        return frozen_verdicts(frozen, lambda part: self.photos(config, part), config, catalog, rows)

    def page(
        self,
        predictions: "ListingPredictions",
        rows: "Catalog",
        metrics: Mapping[str, float],
        config: Mapping[str, Any],
        title: str,
        compared: "Sequence[ListingPredictions]" = (),
    ) -> "Page":
        """See `listing_page`."""
        from vitrine.tasks.authenticity.report import listing_page

        return listing_page(predictions, rows, metrics, config, title)

    def confusion(self, predictions: "ListingPredictions") -> dict[str, Any]:
        """See `verdict_confusion`."""
        from vitrine.tasks.authenticity.report import verdict_confusion

        return verdict_confusion(predictions)

    def examples(self, predictions: "ListingPredictions", rows: "Catalog", count: int) -> list[dict[str, object]]:
        """See `listing_examples`."""
        from vitrine.tasks.authenticity.report import listing_examples

        return listing_examples(predictions, rows, count)

    def signals(self, predictions: "ListingPredictions") -> "PhotoPredictions":
        """See `by_photo`."""
        from vitrine.tasks.authenticity.listings import by_photo

        return by_photo(predictions)
