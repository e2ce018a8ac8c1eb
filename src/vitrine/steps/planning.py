"""What a catalog allows to be trained, and which decisions a run is to come to."""

from pathlib import Path

from vitrine import tasks
from vitrine.catalog import learnable, read_catalog
from vitrine.errors import InputError
from vitrine.journal import Note, publish_note


def find_tasks(table: Path) -> str:
    """Names of the tasks that the labels allow, joined by `+`.

    Raises:
        InputError: if none.
    """
    catalog = read_catalog(table)
    names = [name for name in tasks.names() if tasks.get(name).labels_allow(catalog)]
    if not names:
        raise InputError(
            f"{catalog.address}: no attribute type and no category has two labels; there is nothing to train"
        )
    return "+".join(names)


def teachable(table: Path) -> list[str]:
    """The attribute types that a teacher can learn."""
    from vitrine.data.truth import teachable_types

    return teachable_types(read_catalog(table))


def plan(table: Path, run: str) -> str:
    """As `find_tasks`; publishes what the steps so far decided, and which models the run is to come to."""
    allowed = find_tasks(table)
    names = allowed.split("+")
    decided = [f"{' and '.join(tasks.get(name).title for name in names)}."]
    due = [_decision(name) for name in names]
    publish_note(Note("tasks", "What can be trained", decided, due=due), run, [table])
    return allowed


def examine(task: str, variant: str, table: Path, run: str, **settings: object) -> dict[str, float]:
    """What a training has; publishes what the steps so far decided.

    Args:
        task: What to learn.
        variant: How; "" = the task's default.
        table: Folder of the catalog.
        run: Folder or `s3://` prefix of the run's pages.
        settings: Of the training; those that the task does not have are passed over.

    Raises:
        InputError: if there is nothing to learn, or no test photo to measure on.
    """
    from vitrine.settings import parse_settings

    chosen = tasks.get(task)
    kind = chosen.settings(variant or chosen.default)
    given = [f"{name}={value}" for name, value in settings.items() if name in kind.model_fields]
    catalog = learnable(read_catalog(table))
    counts = chosen.examine(catalog, variant or chosen.default, parse_settings(kind, given))
    decided = [", ".join(f"{count:,} {name}" for name, count in counts.items()) + "."]
    due = [_decision(task), *([f"index-{task}"] if chosen.indexed else [])]
    publish_note(Note("examine", "What there is to learn", decided, due=due), run, [table])
    return {name: float(count) for name, count in counts.items()}


def _decision(task: str) -> str:
    """The steps one of which says what became of a task's model."""
    return f"promote-{task}|refuse-{task}"
