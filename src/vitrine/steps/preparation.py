"""What is left to learn from and to measure on: cleaned rows, with a split each."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from vitrine.journal import Note, write_note
from vitrine.steps.data import open_table
from vitrine.steps.rules import as_files
from vitrine.words import counted


def clean(
    table: Path | str,
    out: Path,
    min_class_count: int,
    near_duplicates: bool = True,
    drop_views_below: int = 0,
    photos: Sequence[Path] = (),
    *,
    max_left_out: float = 1.0,
    drop_suspects: bool = False,
    rules: str = "",
) -> dict[str, float]:
    """The cleaned table; every dropped row with its reason beside it. `rules` is the text of such a file."""
    from vitrine.quality.clean import clean_catalog

    catalog = open_table(table, check_rows=False)
    with as_files({"rules": rules} if rules else {}) as paths:
        done = clean_catalog(
            catalog,
            out,
            min_class_count,
            near_duplicates,
            drop_views_below,
            drop_suspects=drop_suspects,
            rules=paths.get("rules"),
            max_left_out=max_left_out,
            photos=photos,
        )
    dropped = [f"{name.replace('_', ' ')} {count:,}" for name, count in done.dropped.items() if count]
    decided = [f"kept {done.kept:,} of {counted(done.before, 'row')}."]
    decided += [f"Dropped: {', '.join(dropped)}."] if dropped else []
    note = Note("clean", "Clean", decided, figures={"photos kept": f"{done.kept:,}"})
    write_note(out, note, out / "report.html")
    return {name: float(value) for name, value in done.counts().items()}


def split(
    table: Path, out: Path, ratios: str = "0.7,0.1,0.2", measured: str = "", gallery: bool | None = None
) -> dict[str, float]:
    """Train, validation and test, with nothing alike on both sides; see `split_catalog`."""
    from vitrine.quality.clean import RARE_LABELS
    from vitrine.quality.ratios import parse_ratios
    from vitrine.quality.split import split_catalog

    counts = split_catalog(open_table(table), out, parse_ratios(ratios), measured=measured, gallery=gallery)
    if (table / RARE_LABELS).is_file():
        shutil.copyfile(table / RARE_LABELS, out / RARE_LABELS)  # for the drift reference
    decided = [f"{', '.join(f'{count:,} {name}' for name, count in counts.items())}."]
    write_note(out, Note("split", "Split", decided), out / "report.html", inherit=[table])
    return {name: float(count) for name, count in counts.items()}


def check_ratios(ratios: str) -> None:
    """Whether rows can be dealt by these shares.

    Raises:
        InputError: if not.
    """
    from vitrine.quality.ratios import check_ratios as check
    from vitrine.quality.ratios import parse_ratios

    check(parse_ratios(ratios))
