"""Commands about catalogs: made, checked, cleaned and split."""

from pathlib import Path

import click

from vitrine.cli.options import AT_LEAST_ONE, MAX_LEFT_OUT, PATH, PHOTOS, RULES
from vitrine.cli.output import say
from vitrine.errors import InputError
from vitrine.progress import Progress
from vitrine.words import counted


@click.command()
@click.argument("out", type=PATH)
@click.option("--listings", default=300, show_default=True, type=AT_LEAST_ONE, help="Listings to render.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option("--defects", is_flag=True, help="Plant faults, and write what they are to defects.csv.")
def synth(out: Path, listings: int, seed: int, defects: bool) -> None:
    """Render a demo catalog into the new folder OUT."""
    from vitrine.synth import render_catalog

    render_catalog(out, listings=listings, seed=seed, defects=defects)
    say(f"{out}: a catalog of {counted(listings, 'listing')}")


@click.command()
@click.argument("source")
@click.argument("out", type=PATH)
@click.option("--format", "name", required=True, help="folder, table (with --map), or a known data set.")
@click.option("--map", "mapping", type=PATH, help="Mapping file of a table (configs/ingest/README.md).")
@click.option("--skip-bad-lines", is_flag=True, help="Leave out lines of a table that cannot be read, and count them.")
@MAX_LEFT_OUT
def ingest(source: str, out: Path, name: str, mapping: Path | None, skip_bad_lines: bool, max_left_out: float) -> None:
    """Make a catalog of the photos in SOURCE, a folder or s3:// prefix."""
    from vitrine.catalog.ingest import ingest as run

    done = run(source, out, name, mapping, skip_bad_lines=skip_bad_lines, max_left_out=max_left_out)
    for line in done.lines():
        say(line)


@click.command()
@click.argument("catalog")
@click.argument("out", type=PATH)
@click.option("--revision", default="", help="DVC hash of the folder; default: the one in the .dvc file.")
@click.option("--remote", default="", help="DVC remote of a .dvc file: a folder or s3://bucket/prefix.")
def fetch(catalog: str, out: Path, revision: str, remote: str) -> None:
    """Fetch one revision of CATALOG (a folder, s3:// prefix or .dvc file); OUT names its photos."""
    from vitrine.catalog.fetch import fetch as run

    fetched = run(catalog, out, revision, remote)
    say(f"{out}: {counted(len(fetched), 'row')} at {fetched.data_version}; photos in {fetched.root}")


@click.command()
@click.argument("catalog")
@click.argument("out", type=PATH)
@click.option("--shard", default="1/1", show_default=True, help="Which part of the photos: 2/8 is the second of eight.")
def scan(catalog: str, out: Path, shard: str) -> None:
    """Look at every photo of a catalog once; the others take the result with --photos."""
    from vitrine.catalog import read_catalog
    from vitrine.quality.scan import parse_shard, write_photo_table

    part = parse_shard(shard)
    with Progress("scanning", "photo") as progress:
        done = write_photo_table(read_catalog(catalog, check_rows=False), out, part, progress=progress)
    say(f"{out}: {counted(done, 'photo')}")


@click.command()
@click.argument("catalog")
@click.option("--report", type=PATH, required=True, help="New folder for report.html and results.json.")
@RULES
@click.option("--suite", type=PATH, help="A Great Expectations suite of your own, JSON or YAML.")
@click.option("--previous", default="", help="Report folder of an earlier validation, to show what changed since.")
@click.option("--earlier", default="", help="Catalog that --previous is about, to show what became of single rows.")
@click.option(
    "--map",
    "as_map",
    is_flag=True,
    help="Show the photos as a map, by a published net, and hold labels against that net too.",
)
@PHOTOS
def validate(
    catalog: str,
    report: Path,
    rules: Path | None,
    suite: Path | None,
    previous: str,
    earlier: str,
    as_map: bool,
    photos: tuple[Path, ...],
) -> int:
    """Check a catalog and its photos. Exit code 1: rules failed."""
    from vitrine.catalog import read_catalog, versioned
    from vitrine.quality.validate import validate_catalog

    if earlier and not previous:
        raise InputError("--earlier: name the report of that catalog with --previous too")
    source = versioned(read_catalog(catalog, check_rows=False))
    earlier_catalog = read_catalog(earlier, check_rows=False) if earlier else None
    with Progress("scanning", "photo") as progress:
        validation = validate_catalog(
            source,
            report,
            rules,
            suite=suite,
            previous=previous,
            earlier=earlier_catalog,
            photos=photos,
            as_map=as_map,
            progress=progress,
        )
    for result in validation.results:
        if not result.passed and result.severity != "info":
            say(f"{result.severity}: {result.title}: {result.count} ({100 * result.share:.1f} %)")
    say(f"{'passed' if validation.passed else 'failed'}; see {report / 'report.html'}")
    return 0 if validation.passed else 1


@click.command()
@click.argument("catalog")
@click.argument("out", type=PATH)
@click.option(
    "--min-class-count", default=20, show_default=True, type=click.IntRange(min=0), help="Photos a class needs."
)
@click.option("--near-duplicates/--keep-near-duplicates", default=True, help="Drop near duplicates too.")
@click.option(
    "--drop-views-below",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Photos a listing needs; the paper's is 6.",
)
@click.option("--drop-disordered", is_flag=True, help="Drop listings whose views are out of order or repeated.")
@click.option("--drop-suspects", is_flag=True, help="Drop rows with a label that the photo contradicts.")
@RULES
@MAX_LEFT_OUT
@PHOTOS
def clean(
    catalog: str,
    out: Path,
    min_class_count: int,
    near_duplicates: bool,
    drop_views_below: int,
    drop_disordered: bool,
    drop_suspects: bool,
    rules: Path | None,
    max_left_out: float,
    photos: tuple[Path, ...],
) -> None:
    """Drop the rows that would spoil training, each with its reason."""
    from vitrine.catalog import read_catalog, versioned
    from vitrine.quality.clean import clean_catalog

    source = versioned(read_catalog(catalog, check_rows=False))
    with Progress("scanning", "photo") as progress:
        done = clean_catalog(
            source,
            out,
            min_class_count,
            near_duplicates,
            drop_views_below,
            drop_disordered,
            drop_suspects,
            rules=rules,
            max_left_out=max_left_out,
            photos=photos,
            progress=progress,
        )
    for name, count in done.dropped.items():
        if count:
            say(f"dropped {count}: {name}")
    say(f"kept {done.kept} of {counted(done.before, 'row')}; see {out / 'report.html'}")


@click.command()
@click.argument("catalog")
@click.argument("out", type=PATH)
@click.option("--ratios", default="0.7,0.1,0.2", show_default=True, help="Shares of train, validation, test.")
@click.option("--seed", default=0, show_default=True)
@click.option("--respect/--anew", default=True, help="Keep the splits that rows come with.")
@click.option("--measured", default="", help="Column to measure by, such as verdict; what has none goes to train.")
@click.option(
    "--gallery/--no-gallery",
    default=None,
    help="Shop photos belong to no split and serve all. Default: where user photos show what they show.",
)
@PHOTOS
def split(
    catalog: str,
    out: Path,
    ratios: str,
    seed: int,
    respect: bool,
    measured: str,
    gallery: bool | None,
    photos: tuple[Path, ...],
) -> None:
    """Deal the rows into train, validation and test; copies and listings stay together."""
    from vitrine.catalog import read_catalog, versioned
    from vitrine.quality.ratios import parse_ratios
    from vitrine.quality.split import split_catalog

    shares = parse_ratios(ratios)
    source = versioned(read_catalog(catalog))
    with Progress("scanning", "photo") as progress:
        counts = split_catalog(
            source, out, shares, respect, seed, measured=measured, gallery=gallery, photos=photos, progress=progress
        )
    say(", ".join(f"{name} {count}" for name, count in counts.items()))
    if "gallery" in counts:
        say("The gallery (shop photos) is of no split and serves all of them; --no-gallery deals it too.")
