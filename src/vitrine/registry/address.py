"""Naming a model: a folder, or whatever is in use for a task.

MODEL                     a model folder, or an s3:// prefix that holds one
REGISTRY/champion/TASK    what is in use for a task, of a registry in a folder or under an s3:// prefix
champion:TASK             the same, of a registry that is named elsewhere
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vitrine import files, tasks
from vitrine.errors import InputError
from vitrine.registry.store import Champion, Registry, content_hash

SHORT = "champion:"
PLACE = "/champion/"


@dataclass(frozen=True)
class Found:
    """A model folder on this machine.

    Attributes:
        folder: Where it is, for as long as the block goes on that found it.
        version: Of the registry; of a folder the hash of its weights and settings.
        champion: What the registry says of it, if it is of one.
    """

    folder: Path
    version: str
    champion: Champion | None = None


@contextmanager
def local_copy(address: str | Path, registry: str | Path = "") -> Iterator[Found]:
    """The model folder that an address names; what is fetched is deleted when the block ends.

    Args:
        address: See above.
        registry: The one that `champion:TASK` is of.

    Raises:
        InputError: if the address names nothing, or no model is in use for the task.
    """
    text = str(address)
    root, task = _champion_of(text, str(registry))
    with tempfile.TemporaryDirectory(prefix="vitrine-model-") as folder:
        if task:
            champion = champion_of(root, task)
            yield Found(Registry(root).fetch(champion, Path(folder) / "model"), champion.version, champion)
        elif files.is_s3(text):
            files.fetch_folder(text, Path(folder) / "model")
            yield Found(Path(folder) / "model", _content(Path(folder) / "model", text))
        else:
            yield Found(Path(text), _content(Path(text), text))


def champion_of(root: str, task: str) -> Champion:
    """What is in use for a task.

    Raises:
        InputError: if nothing is, or there is no such task.
    """
    tasks.get(task)
    champion = Registry(root).champion(task)
    if champion is None:
        raise InputError(f"{root}: no model is in use for {task!r}")
    return champion


def _champion_of(address: str, registry: str) -> tuple[str, str]:
    """The registry and the task that an address names; ("", "") for a model folder."""
    if address.startswith(SHORT):
        if not registry:
            raise InputError(f"{address}: name the registry too")
        return registry, address.removeprefix(SHORT)
    root, place, task = address.rstrip("/").rpartition(PLACE)
    return (root, task) if place and "/" not in task and not Path(address, "config.json").is_file() else ("", "")


def _content(folder: Path, address: str) -> str:
    try:
        return content_hash(folder)
    except OSError as error:
        raise InputError(f"{address}: not a model folder (no {Path(str(error.filename)).name})") from error
