"""The tasks: what a model can be trained to predict. A new one is a package with a `Task`, and one line here."""

import importlib
from pathlib import Path
from typing import Any

from vitrine.errors import InputError, did_you_mean
from vitrine.tasks.task import Task

TASKS = {  # where the class is: a task's nets and torch are loaded when it is asked for them
    "attributes": "vitrine.tasks.attributes:Attributes",
    "taxonomy": "vitrine.tasks.taxonomy:Taxonomy",
    "authenticity": "vitrine.tasks.authenticity:Authenticity",
    "representation": "vitrine.tasks.representation:Representation",
    "matching": "vitrine.tasks.matching:Matching",
}


def names() -> tuple[str, ...]:
    """The tasks' names."""
    return tuple(TASKS)


def get(name: str) -> Task[Any]:
    """A task by its name.

    Raises:
        InputError: for an unknown one, naming the nearest.
    """
    if name not in TASKS:
        raise InputError(f"task {name!r}: unknown; {did_you_mean(name, TASKS)}")
    module, _, kind = TASKS[name].partition(":")
    task: Task[Any] = getattr(importlib.import_module(module), kind)()
    return task


def of_model(folder: Path) -> Task[Any]:
    """The task that a model folder is for.

    Raises:
        InputError: if it is no model folder, or of a task that is not known here.
    """
    from vitrine.model import load_config

    name = load_config(folder)["task"]
    if name not in TASKS:
        raise InputError(f"{folder}: no task {name!r}; known: {', '.join(TASKS)}")
    return get(name)
