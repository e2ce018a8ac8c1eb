"""The models that answer, and following a registry: a new champion takes over between two batches.

A model is immutable once it serves. A request holds on to the one it began with, so none mixes two; the dictionary of
names is replaced whole, so none finds a name missing.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitrine import tasks
from vitrine.data.pixels import Query
from vitrine.errors import InputError
from vitrine.export import FILE, opened
from vitrine.memory import give_back_freed_memory
from vitrine.predict import Model
from vitrine.predictions import Output, Reply
from vitrine.registry.address import champion_of, local_copy
from vitrine.registry.store import Registry
from vitrine.serving.engines import ONNX, Load
from vitrine.serving.limits import RefusedError, busy
from vitrine.serving.metrics import Metrics

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Served:
    """A model that answers under a name.

    Attributes:
        name: In addresses; of a champion its task.
        version: Of the registry, or the hash of its weights and settings.
        engine: `torch` or `onnx`.
        model: Loaded and warm.
    """

    name: str
    version: str
    engine: str
    model: Model

    @property
    def task(self) -> str:
        """What it is for."""
        return self.model.task.name

    @property
    def output(self) -> Output:
        """What it says, see `Task.output`."""
        return self.model.task.output

    @property
    def size(self) -> int:
        """Pixels of a photo's edge, as the net sees it."""
        return int(self.model.config["image_size"])

    def reply(self, queries: Sequence[Query]) -> list[Reply]:
        """See `Model.reply`."""
        return self.model.reply(queries)

    def warm_up(self, photos: int) -> None:
        """Asks about a grey photo, and about as many as a batch may hold, so that no client pays for the first time."""
        most = 1 if self.output == "verdict" else photos
        for count in (1, most):
            grey = np.full((count, self.size, self.size, 3), 128, np.uint8)
            self.reply([Query(grey, [f"warm-up {i}" for i in range(count)], 1)])


class Shelf:
    """Models by name.

    Args:
        metrics: Told which version answers.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._models: Mapping[str, Served] = {}
        self.complete = False  # whether all that were asked for are there

    @property
    def models(self) -> Mapping[str, Served]:
        """As they are now."""
        return self._models

    def put(self, model: Served) -> None:
        """Adds a model, or replaces the one of its name for all requests from now on."""
        before = self._models.get(model.name)
        if before is not None:
            self._metrics.model.remove(before.name, before.task, before.version, before.engine)
            self._metrics.swaps.labels(model.name).inc()
        self._metrics.model.labels(model.name, model.task, model.version, model.engine).set(1)
        self._models = {**self._models, model.name: model}

    def get(self, name: str, version: str = "") -> Served:
        """The model of a name.

        Raises:
            RefusedError: 404 if there is none (503 while the server is starting), or another version answers.
        """
        model = self._models.get(name)
        if model is None:
            raise self._missing(f"no model {name!r} here; there are: {', '.join(sorted(self._models)) or 'none'}")
        if version and version != model.version:
            raise RefusedError(404, f"model {name!r} is at version {model.version}, not {version}")
        return model

    def naming(self, name: str) -> Served:
        """The model of a name; of "", the first that names labels.

        Raises:
            RefusedError: as `get`, or if it names none.
        """
        if not name:
            naming = [model for model in self._models.values() if model.output == "labels"]
            if not naming:
                raise self._missing("no model here names labels")
            return max(naming, key=lambda model: model.model.task.precedence)
        model = self.get(name)
        if model.output != "labels":
            route = "/search" if model.output == "embedding" else "/verify"
            raise RefusedError(400, f"model {name!r} names no labels of photos; ask {route}")
        return model

    def judging(self, name: str) -> Served:
        """The model of a name that judges listings; of "", the first one.

        Raises:
            RefusedError: as `get`, or if it judges none.
        """
        for model in [self.get(name)] if name else self._models.values():
            if model.output == "verdict":
                return model
        raise self._missing(f"model {name!r} judges no listings" if name else "no model here judges listings")

    def _missing(self, reason: str) -> RefusedError:
        return RefusedError(404, reason) if self.complete else busy("models are still being loaded")


class Champions:
    """Takes over the champions of a registry.

    Args:
        shelf: Where they go.
        registry: A folder or s3:// prefix.
        wanted: Tasks; none: all that have a champion.
        load: What makes a model folder answer.
        warm: Photos of the largest batch.
    """

    def __init__(self, shelf: Shelf, registry: str, wanted: Sequence[str], load: Load, warm: int) -> None:
        for task in wanted:
            tasks.get(task)
        self._shelf = shelf
        self._registry = registry
        self._wanted = wanted
        self._load = load
        self._warm = warm

    def take(self) -> None:
        """Loads the champions that are not serving yet.

        Raises:
            InputError: if a task that is wanted has none, or a champion cannot be loaded.
        """
        failures = []
        for task in self._wanted or tasks.names():
            try:
                self._take(task)
            except InputError as error:  # the other tasks' champions are taken all the same
                failures.append(error)
        if failures:
            raise failures[0]
        if not self._wanted and not self._shelf.models:
            raise InputError(f"{self._registry}: no model is in use for any task")

    def _take(self, task: str) -> None:
        champion = champion_of(self._registry, task) if self._wanted else Registry(self._registry).champion(task)
        if champion is None:
            return
        serving = self._shelf.models.get(task)
        if serving is None or serving.version != champion.version:
            self._shelf.put(fetched(f"champion:{task}", task, self._load, self._warm, self._registry))
            give_back_freed_memory()
            _log.info("%s: %s answers now", task, champion.version)


def fetched(address: str, name: str, load: Load, warm: int, registry: str = "") -> Served:
    """A model by its address (see `vitrine.registry.address`) or the ONNX file it was exported to, loaded and warm."""
    if address.endswith(FILE):
        (model, version), engine = opened(Path(address)), ONNX
    else:
        with local_copy(address, registry) as copy:
            (model, engine), version = load(copy.folder), copy.version
    served = Served(name or model.task.name, version, engine, model)
    served.warm_up(warm)
    return served
