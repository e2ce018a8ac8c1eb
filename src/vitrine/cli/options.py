"""What arguments and options of several commands have in common."""

from pathlib import Path

import click

AT_LEAST_ONE = click.IntRange(min=1)
PATH = click.Path(path_type=Path)
SPLIT = click.Choice(["train", "validation", "test"])

MAX_LEFT_OUT = click.option(
    "--max-left-out",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of the rows that may be unusable; left_out.csv names them.",
)
PHOTOS = click.option("--photos", type=PATH, multiple=True, help="Folder that `vitrine scan` wrote; one per shard.")
RULES = click.option("--rules", type=PATH, help="Settings on top of configs/quality.yaml.")
