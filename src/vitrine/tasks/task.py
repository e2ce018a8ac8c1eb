"""What a task is: the one interface between the five methods and all that trains, measures, gates and serves them."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitrine.errors import InputError, did_you_mean
from vitrine.settings import Recipe, Settings

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
    from vitrine.evaluation.gate import GateRules
    from vitrine.evaluation.sample import Hits, Sample
    from vitrine.graphs import Graph
    from vitrine.inference import Change
    from vitrine.predictions import ListingPredictions, Output, PhotoPredictions, Reply
    from vitrine.report import Page

Load = Callable[[Path], tuple[Any, dict[str, Any]]]  # see `Task.load`
AnyPredictions = TypeVar("AnyPredictions", bound="PhotoPredictions | ListingPredictions")


class ModelConfig(BaseModel):
    """What config.json says of every model; each task adds its own."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    task: str
    variant: str
    backbone: str
    image_size: int = Field(ge=1)


class Task(ABC, Generic[AnyPredictions]):
    """One kind of prediction that a model can be trained for.

    A task is stateless. Its class body and module load neither torch nor numpy: what does is imported where it is
    needed, so that help texts and the gate stay quick.

    Attributes:
        name: As the command line and config.json have it.
        title: As pages have it.
        variants: The systems that can be trained, by their papers' names.
        default: The one trained where none is named.
        decides: The figure of metrics.json that the gate decides by, and that stands for a model.
        guarded: Figures that may not fall far, whatever `decides` gains.
        headlines: The figures that journals and pages name, `decides` first.
        counted: What `count` counts.
        trivial: What the constant model predicts here, see `constant`.
        corrupted: The figures measured on corrupted photos; none: such photos say nothing here.
        indexed: Whether a pipeline makes an index for visual search with the model in use.
        answers_with_features: Whether predictions are the trunk's features, so that a frozen trunk would learn nothing.
        recipes: By trunk, what replaces the recipe of `vitrine.training.recipe`.
        output: What `records` and `reply` hold: the labels of each photo, the verdict on a listing, or no record, where
            only a photo's embedding is of use.
        precedence: Which model names labels where a client names no model: the one whose task has the highest.
        config: What config.json must hold.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    variants: ClassVar[tuple[str, ...]]
    default: ClassVar[str]
    decides: ClassVar[str]
    guarded: ClassVar[re.Pattern[str]]
    headlines: ClassVar[tuple[str, ...]]
    counted: ClassVar[str] = "photos"
    trivial: ClassVar[str] = "the commonest label for every photo"
    corrupted: ClassVar[tuple[str, ...]] = ()
    indexed: ClassVar[bool] = False
    answers_with_features: ClassVar[bool] = False
    recipes: ClassVar[Mapping[str, Recipe]] = {}
    output: ClassVar["Output"]
    precedence: ClassVar[int] = 0
    config: ClassVar[type[ModelConfig]]

    # Training

    @abstractmethod
    def settings(self, variant: str) -> type[Settings]:
        """The settings of a variant."""

    def labels_allow(self, catalog: "Catalog") -> bool:
        """Whether the retrain pipeline trains this task on a catalog: one of those that photos' labels decide about."""
        return False

    def inherited(self, settings: Any) -> Any:
        """Settings with what an earlier model decides of them, where a training goes on from one."""
        return settings

    def examine(self, catalog: "Catalog", variant: str, settings: Any) -> dict[str, int]:
        """What there is to learn from and to measure on, by name.

        Raises:
            InputError: if a training would learn nothing, or there is no test photo to measure on.
        """
        counts = {f"photos of split {name}": len(catalog.of_split(name)) for name in ("train", "test")}
        for name, what in (("train", "training photo to learn from"), ("test", "test photo to measure on")):
            if not counts[f"photos of split {name}"]:
                raise InputError(f"{catalog.address}: no {what}")
        return counts

    @abstractmethod
    def fit(self, catalog: "Catalog", variant: str, out: Path, settings: Any, folder: Path) -> None:
        """Trains a variant into the model folder `out`; checkpoints go into `folder`.

        Raises:
            InputError: if there is nothing to learn.
        """

    def gate_rules(self, **changes: Any) -> "GateRules":
        """What a candidate must show: `decides` is better, and nothing of `guarded` falls far.

        Raises:
            InputError: if a value is out of range.
        """
        from vitrine.evaluation.gate import GateRules

        return GateRules(self.decides, guarded=self.guarded, counted=self.counted, trivial=self.trivial, **changes)

    # Models

    @abstractmethod
    def build(self, config: Mapping[str, Any]) -> "nn.Module":
        """The net that a config describes, with fresh weights."""

    def load(self, folder: Path) -> tuple[Any, dict[str, Any]]:
        """The net of a model folder, on the GPU if there is one, and its config.

        Raises:
            InputError: if it is no model folder, a damaged one, or of another task.
        """
        import torch

        from vitrine.model import load_config, load_into

        config = load_config(folder)
        if config["task"] != self.name:
            raise InputError(f"{folder}: is a model for {config['task']}, not for {self.name}")
        if config["variant"] not in self.variants:
            raise InputError(f"{folder}: config.json: {self.name} has no variant {config['variant']!r}")
        self.check(config, folder)
        net = self.build(config)
        load_into(net, folder)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return net.to(device).to(memory_format=torch.channels_last), config

    def check(self, config: Mapping[str, Any], folder: Path) -> None:
        """Raises an InputError where a config lacks what this task's models have, or holds something else."""
        try:
            self.config.model_validate(config)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "it"
            raise InputError(f"{folder}: config.json does not describe a model: {place}: {first['msg']}") from error

    def add_label(self, model: Path, out: Path, kind: str, label: str, images: Sequence[str]) -> str:
        """Writes a copy of a model folder that knows one label more, without training.

        Args:
            model: The model folder.
            out: A new folder.
            kind: The attribute type, one of the model's.
            label: The new label.
            images: Paths or s3:// URIs of photos that show it.

        Returns:
            What it was added from, in words.

        Raises:
            InputError: if the model has no label embeddings to add to, or one of the arguments cannot be used.
        """
        raise InputError(f"{model}: a model of {self.name} has no label embeddings to add to")

    # Predictions

    def rows(self, catalog: "Catalog", split: str) -> "Catalog":
        """The rows that a model is measured on.

        Raises:
            InputError: if there are none.
        """
        rows = catalog.of_split(split)
        if not len(rows):
            raise InputError(f"{catalog.address}: no row has split {split!r}; run `vitrine split` first")
        return rows

    def photos(self, config: Mapping[str, Any], catalog: "Catalog") -> "PhotoStore":
        """A catalog's photos as the net sees them, decoded once and cached."""
        from vitrine.data.photo_store import PhotoStore

        return PhotoStore.of_catalog(catalog, config["image_size"])

    def queries(self, config: Mapping[str, Any], table: "pd.DataFrame") -> "PhotoStore":
        """The photos of rows with `uri`, `domain` and `bbox`, decoded each time."""
        from vitrine.data.photo_store import PhotoStore

        return PhotoStore(table["uri"].tolist(), config["image_size"])

    @abstractmethod
    def predict(
        self,
        net: Any,
        config: Mapping[str, Any],
        catalog: "Catalog",
        *,
        change: "Change | None" = None,
        embeddings: bool = False,
    ) -> AnyPredictions:
        """A model's predictions for a catalog's photos, beside the truth.

        Args:
            net: Of `load`.
            config: Of `load`.
            catalog: The photos; whatever labels it has are the truth.
            change: Corrupts what the net is shown, see `vitrine.inference.run_net`.
            embeddings: Keep where photos lie among label embeddings, where the net has any.
        """

    @abstractmethod
    def records(
        self,
        net: Any,
        config: Mapping[str, Any],
        images: Sequence[str],
        top: int = 5,
        explain: Path | None = None,
        unreadable: "dict[int, PhotoError] | None" = None,
    ) -> list[dict[str, Any]]:
        """A model's predictions for single photos (or folders of listings): a JSON object each.

        Args:
            net: Of `load`.
            config: Of `load`.
            images: Paths or s3:// URIs.
            top: Labels named per question.
            explain: A new folder for saliency maps; each record then names its own as `heat_map`.
            unreadable: Where given, what cannot be read is left out, and why is noted here by its place.

        Raises:
            InputError: if the model predicts nothing of the kind, or (without `unreadable`) a photo cannot be read.
        """

    def shown(self, config: Mapping[str, Any], photo: "Image.Image") -> "np.ndarray":
        """The net's input for a photo, (size, size, 3) uint8; as `queries` shows it."""
        from vitrine.data.photo_store import fit_square

        return fit_square(photo, config["image_size"])

    @abstractmethod
    def reply(self, net: Any, config: Mapping[str, Any], queries: "Sequence[Query]") -> "list[Reply]":
        """Predictions for several queries in one pass of the net, each as `records` has it.

        Args:
            net: Of `load`.
            config: Of `load`.
            queries: Of at least one photo each; for models that judge listings, one listing each.

        Raises:
            InputError: if a query cannot be predicted, such as one of too many photos.
        """

    def graph(self, net: Any, config: Mapping[str, Any]) -> "Graph":
        """What of a net is exported for other runtimes.

        Raises:
            InputError: if nothing can be.
        """
        from vitrine.graphs import photo_graph

        return photo_graph(net, config)

    def from_graph(self, session: Any) -> Any:
        """A net of onnxruntime's session of what `graph` gave, for `reply` in place of the exported one."""
        from vitrine.graphs import PhotoSession

        return PhotoSession(session)

    def index_rows(self, catalog: "Catalog", config: Mapping[str, Any]) -> "pd.DataFrame":
        """The photos that an index for visual search holds: `image`, `uri`, `product`, `category`, `domain`, `bbox`."""
        import pandas as pd

        table = catalog.table
        rows = pd.DataFrame({"image": table["image"], "uri": [catalog.uri(image) for image in table["image"]]})
        for column in ("product", "category", "domain", "bbox"):
            rows[column] = table[column].astype(str) if column in table else ""
        return rows

    def check_searchable(self, config: Mapping[str, Any], folder: Path) -> None:
        """Raises an InputError where a model's features cannot be indexed."""

    # Evaluation

    @abstractmethod
    def constant(self, predictions: AnyPredictions) -> AnyPredictions:
        """The predictions of a constant model for the same rows: the commonest label, or a random order."""

    @abstractmethod
    def hits(self, predictions: AnyPredictions) -> "dict[str, Hits]":
        """What `decides` is the mean of, by target; `unit` is the row (or listing) of the predictions."""

    def sample(self, predictions: AnyPredictions, rows: "Catalog") -> "Sample":
        """`hits`, drawn by what is independent of each other: products, listings or photos."""
        from vitrine.evaluation.sample import sample_of, units_of

        return sample_of(self.hits(predictions), *units_of(rows.table))

    @abstractmethod
    def metrics(self, predictions: AnyPredictions) -> dict[str, float]:
        """The flat figures of metrics.json, fractions 0..1, with `count` and `seconds_per_1000_images`.

        Raises:
            InputError: if nothing can be measured.
        """

    def further_metrics(
        self, predictions: AnyPredictions, net: Any, config: Mapping[str, Any], rows: "Catalog"
    ) -> dict[str, float]:
        """Figures of an evaluation that ask the net once more; the gate, which compares two models, does without."""
        return {}

    @abstractmethod
    def baseline(
        self, frozen: "FrozenNet", config: Mapping[str, Any], catalog: "Catalog", rows: "Catalog"
    ) -> AnyPredictions | str:
        """The predictions of the frozen net that training started from for `rows`, or why there are none."""

    @abstractmethod
    def page(
        self,
        predictions: AnyPredictions,
        rows: "Catalog",
        metrics: Mapping[str, float],
        config: Mapping[str, Any],
        title: str,
        compared: Sequence[AnyPredictions] = (),
    ) -> "Page":
        """The page of an evaluation.

        Args:
            predictions: Of `rows`.
            rows: What was measured.
            metrics: All figures, the baseline's too.
            config: Of the model.
            title: Of the page.
            compared: Predictions of further models for the same rows.
        """

    @abstractmethod
    def confusion(self, predictions: AnyPredictions) -> dict[str, Any]:
        """`question`, `categories`, `matrix` and `roc`, as KFP's `ClassificationMetrics` wants them."""

    @abstractmethod
    def examples(self, predictions: AnyPredictions, rows: "Catalog", count: int) -> list[dict[str, object]]:
        """A few predictions for summary pages: `thumbnail`, `caption`, `tone`."""

    def signals(self, predictions: AnyPredictions) -> "PhotoPredictions":
        """The predictions photo by photo, as drift detection compares them."""
        return predictions  # type: ignore[return-value]


def check_variant(task: Task[Any], variant: str) -> str:
    """The variant to train, the task's default for "".

    Raises:
        InputError: for an unknown variant, naming the did_you_mean known one.
    """
    variant = variant or task.default
    if variant not in task.variants:
        raise InputError(f"{task.name} has no variant {variant!r}; {did_you_mean(variant, task.variants)}")
    return variant
