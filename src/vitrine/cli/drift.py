"""The command that compares photos with those of earlier."""

from pathlib import Path

import click

from vitrine.cli.options import PATH
from vitrine.cli.output import say


@click.command()
@click.argument("reference")
@click.argument("current")
@click.argument("out", type=PATH)
@click.option("--model", type=PATH, help="The reference's model, if it is not where the reference says.")
@click.option("--clean/--as-is", "tidy", default=True, help="Clean CURRENT first, as the photos of a reference were.")
@click.option("--map", "as_map", is_flag=True, help="Show the photos of both sides as a map, as the model sees them.")
@click.option("--evidently", "full", is_flag=True, help="Also Evidently's page of every signal; doubles the time.")
def drift(reference: str, current: str, out: Path, model: Path | None, tidy: bool, as_map: bool, full: bool) -> int:
    """Compare the photos of CURRENT with a drift reference or a catalog.

    Exit code 1: drift. 3: none found, but nothing could be compared, or a signal not be computed.
    """
    import tempfile

    from vitrine.catalog import read_catalog, versioned
    from vitrine.monitoring.drift import cleaned, compare_with_model

    with tempfile.TemporaryDirectory() as folder:
        photos = versioned(read_catalog(current, check_rows=not tidy))
        if tidy:
            photos = cleaned(photos, Path(folder) / "cleaned", reference)
        found = compare_with_model(reference, photos, out, model, as_map=as_map, full=full)
    say(found.reason)
    say(f"see {out / 'report.html'}")
    return found.exit_code
