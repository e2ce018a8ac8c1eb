"""The index that products are found in."""

import tempfile
from pathlib import Path

from vitrine.journal import Note, publish_note
from vitrine.registry import Registry
from vitrine.steps.data import open_table
from vitrine.words import counted


def build_index(task: str, table: Path, registry: str, decision: Path, out: Path, run: str) -> int:
    """Indexes the catalog with the model in use, so that new products are found whether or not a new model is.

    Returns:
        How many photos; 0 where there is no model in use, and then `out` is an empty folder.
    """
    from vitrine.visual_search import make_index

    champion = Registry(registry).champion(task)
    count = 0
    if champion is None:
        out.mkdir(parents=True)
        note = Note(f"index-{task}", "Index", ["no model is in use, so there is no index."], "warn")
    else:
        with tempfile.TemporaryDirectory() as folder:
            count = make_index(Registry(registry).fetch(champion, Path(folder) / "champion"), open_table(table), out)
        decided = [f"{counted(count, 'photo')}, embedded by version {champion.version}: `vitrine search {out} PHOTO`."]
        note = Note(f"index-{task}", "Index", decided, figures={"photos in the index": f"{count:,}"})
    publish_note(note, run, [decision])
    return count
