"""What is in a registry, as lines for a person."""

from collections.abc import Iterator

from vitrine import tasks
from vitrine.errors import InputError
from vitrine.registry.store import Champion, Registry, figure


def list_versions(root: str, task: str = "") -> Iterator[str]:
    """A line per version, oldest first: * if in use, its name, figure, data, when it was stored, why.

    Raises:
        InputError: for an unknown task, or what cannot be read.
    """
    registry = Registry(root)
    for name in known_tasks(task):
        champion = registry.champion(name)
        for version in registry.stored(name):
            used = champion is not None and champion.version == version.version
            yield f"{'*' if used else ' '} {name} {_told(version)}"


def list_decisions(root: str, task: str = "") -> Iterator[str]:
    """A line per decision, oldest first.

    Raises:
        InputError: for an unknown task, or what cannot be read.
    """
    registry = Registry(root)
    for name in known_tasks(task):
        for line in registry.history(name):
            yield f"{line['at'][:16]} {name} {line['decision']} {line.get('version') or '-'} {line['reason']}"


def known_tasks(task: str) -> list[str]:
    """The task of that name, or all for "".

    Raises:
        InputError: for an unknown one.
    """
    if task and task not in tasks.names():
        raise InputError(f"task {task!r}: unknown (known: {', '.join(tasks.names())})")
    return [task] if task else list(tasks.names())


def _told(version: Champion) -> str:
    data = f"data {version.data_version[:12]}" if version.data_version else "data unknown"
    return f"{version.version} {figure(version) or 'no figure'}, {data}, {version.promoted_at[:16]}: {version.reason}"
