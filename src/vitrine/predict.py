"""Predictions of a model folder of any task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitrine import tasks
from vitrine.catalog import Catalog
from vitrine.errors import InputError
from vitrine.predictions import Predictions
from vitrine.tasks.task import Task

if TYPE_CHECKING:
    from vitrine.catalog.photos import PhotoError
    from vitrine.data.pixels import Query
    from vitrine.predictions import Reply


@dataclass(frozen=True)
class Model:
    """A model folder, loaded.

    Attributes:
        task: What it is for.
        net: On the GPU if there is one, in evaluation mode.
        config: Its config.json.
    """

    task: Task[Any]
    net: Any
    config: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "Model":
        """That of a folder.

        Raises:
            InputError: if it is no model folder, a damaged one, or of a task that is not known here.
        """
        task = tasks.of_model(folder)
        return cls(task, *task.load(folder))

    def predict(self, catalog: Catalog, **options: Any) -> Predictions:
        """About every photo of a catalog, or its listings: see `Task.predict`.

        Raises:
            InputError: if there are no photos or one cannot be decoded.
        """
        if not len(catalog):
            raise InputError(f"{catalog.address}: no rows to ask the model about")
        predictions: Predictions = self.task.predict(self.net, self.config, catalog, **options)
        return predictions

    def reply(self, queries: "Sequence[Query]") -> "list[Reply]":
        """To queries of photos in memory: see `Task.reply`."""
        return self.task.reply(self.net, self.config, queries)


def load_model(folder: Path) -> tuple[Any, Mapping[str, Any]]:
    """The net of a model folder and its config: see `Model.load`."""
    model = Model.load(folder)
    return model.net, model.config


def apply(folder: Path, catalog: Catalog) -> Predictions:
    """A model folder's predictions: see `Model`."""
    return Model.load(folder).predict(catalog)


def predict(
    folder: Path,
    images: Sequence[str],
    top: int = 5,
    explain: Path | None = None,
    unreadable: "dict[int, PhotoError] | None" = None,
) -> list[dict[str, Any]]:
    """A model's predictions for single photos, or folders of listings: see `Task.records`.

    Raises:
        InputError: if the model or (without `unreadable`) a photo cannot be read, it predicts nothing of the kind, or
            `top` is below 1.
    """
    if top < 1:
        raise InputError(f"top={top}: at least 1")
    model = Model.load(folder)
    return model.task.records(model.net, model.config, images, top, explain, unreadable) if images else []
