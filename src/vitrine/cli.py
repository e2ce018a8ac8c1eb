"""The command line. Exit codes: 0 done; 1 ran, and the answer is no; 2 unusable input or arguments;
3 failed: what was asked is not known.

A command imports its room only when it runs, so that `--help` answers at once.
"""

import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vitrine import __version__
from vitrine.errors import InputError
from vitrine.progress import Progress
from vitrine.untrusted import json_line, printable
from vitrine.words import counted

PATH = click.Path(path_type=Path)
MAX_LEFT_OUT = click.option(
    "--max-left-out",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of the rows that may be unusable; left_out.csv names them.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vitrine")
def cli() -> None:
    """Turn a marketplace's product photos into trained, evaluated, promoted models."""


@cli.command()
@click.argument("out", type=PATH)
@click.option("--listings", default=300, show_default=True, help="Listings to render.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option("--defects", is_flag=True, help="Plant faults, and write what they are to defects.csv.")
def synth(out: Path, listings: int, seed: int, defects: bool) -> None:
    """Render a demo catalog into the new folder OUT."""
    from vitrine.synth import render_catalog

    render_catalog(out, listings=listings, seed=seed, defects=defects)
    _say(f"{out}: a catalog of {counted(listings, 'listing')}")


@cli.command()
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
        _say(line)


@cli.command()
@click.argument("catalog")
@click.argument("out", type=PATH)
@click.option("--revision", default="", help="DVC hash of the folder; default: the one in the .dvc file.")
@click.option("--remote", default="", help="DVC remote of a .dvc file: a folder or s3://bucket/prefix.")
def fetch(catalog: str, out: Path, revision: str, remote: str) -> None:
    """Fetch one revision of CATALOG (a folder, s3:// prefix or .dvc file); OUT names its photos."""
    from vitrine.catalog.fetch import fetch as run

    fetched = run(catalog, out, revision, remote)
    _say(f"{out}: {counted(len(fetched), 'row')} at {fetched.data_version}; photos in {fetched.root}")


PHOTOS = click.option("--photos", type=PATH, multiple=True, help="Folder that `vitrine scan` wrote; one per shard.")


@cli.command()
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
    _say(f"{out}: {counted(done, 'photo')}")


@cli.command()
@click.argument("catalog")
@click.option("--report", type=PATH, required=True, help="New folder for report.html and results.json.")
@click.option("--rules", type=PATH, help="Settings on top of configs/quality.yaml.")
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
            _say(f"{result.severity}: {result.title}: {result.count} ({100 * result.share:.1f} %)")
    _say(f"{'passed' if validation.passed else 'failed'}; see {report / 'report.html'}")
    return 0 if validation.passed else 1


@cli.command()
@click.argument("catalog")
@click.argument("out", type=PATH)
@click.option("--min-class-count", default=20, show_default=True, help="Photos a class needs.")
@click.option("--near-duplicates/--keep-near-duplicates", default=True, help="Drop near duplicates too.")
@click.option("--drop-views-below", default=0, show_default=True, help="Photos a listing needs; the paper's is 6.")
@click.option("--drop-disordered", is_flag=True, help="Drop listings whose views are out of order or repeated.")
@click.option("--drop-suspects", is_flag=True, help="Drop rows with a label that the photo contradicts.")
@click.option("--rules", type=PATH, help="Settings on top of configs/quality.yaml.")
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
            _say(f"dropped {count}: {name}")
    _say(f"kept {done.kept} of {counted(done.before, 'row')}; see {out / 'report.html'}")


@cli.command()
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
    _say(", ".join(f"{name} {count}" for name, count in counts.items()))
    if "gallery" in counts:
        _say("The gallery (shop photos) is of no split and serves all of them; --no-gallery deals it too.")


class _WithSettings(click.Command):
    """A command whose help ends with every setting; what knows them is loaded only then."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from vitrine.tasks.described import help_lines

        for line in help_lines():
            formatter.write(f"{line}\n")


@cli.command(cls=_WithSettings)
@click.argument("task")
@click.argument("catalog")
@click.argument("out", type=PATH)
@click.option("--variant", default="", help="A variant of the task, by its paper's name.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A setting; may be repeated.")
@click.option("--resume", is_flag=True, help="Go on from where a stopped training got to.")
def train(task: str, catalog: str, out: Path, variant: str, overrides: tuple[str, ...], resume: bool) -> None:
    """Train TASK on a split catalog into OUT."""
    from vitrine.catalog import read_catalog, versioned
    from vitrine.train import train as run

    run(task, variant, versioned(read_catalog(catalog)), out, overrides, resume=resume)
    _say(f"{out}: a model; see {out / 'card.md'}")


@cli.command()
@click.argument("model", type=PATH)
@click.argument("catalog")
@click.argument("out", type=PATH)
@click.option("--split", "which", default="test", show_default=True, type=click.Choice(["train", "validation", "test"]))
@click.option(
    "--corrupted", is_flag=True, help="Ask about corrupted copies of the photos too (15 kinds, 5 severities)."
)
@click.option("--against", type=PATH, multiple=True, help="Another model to compare with class by class; repeatable.")
def evaluate(model: Path, catalog: str, out: Path, which: str, corrupted: bool, against: tuple[Path, ...]) -> None:
    """Measure a model on the photos of one split."""
    from vitrine.catalog import read_catalog, versioned
    from vitrine.evaluate import evaluate as run

    rows = versioned(read_catalog(catalog))
    with Progress("corrupting", "set") as progress:
        metrics = run(model, rows, out, which, on_corrupted=corrupted, against=against, progress=progress)
    for name, value in metrics.items():
        _say(f"{name} {value:.4f}")
    _say(f"see {out / 'report.html'}")


@cli.command()
@click.argument("names", nargs=-1, required=True, metavar="MODEL IMAGE... | SOURCE --model MODEL --out TABLE")
@click.option("-k", "--top", type=int, help="Labels to name per question; default 5, in a table 1.")
@click.option("--explain", type=PATH, help="New folder for pictures of where a salient-sensitive net looked.")
@click.option("--model", "address", default="", help="Model folder, s3:// prefix, or champion:TASK of --registry.")
@click.option("--registry", default="runs/registry", show_default=True, help="Folder or s3:// prefix of the registry.")
@click.option("--out", default="", help="New table: .parquet, .csv or .jsonl, a row a photo; resumed where it stopped.")
def predict(
    names: tuple[str, ...], top: int | None, explain: Path | None, address: str, registry: str, out: str
) -> int:
    """Print what a model says about each photo, one JSON line each. Where it judges listings, IMAGES are their folders.

    With --model and --out, write what it says about all photos of SOURCE: a catalog, a folder, a list of paths, or -.

    Photos that cannot be read are named on the error output (in a table, in their rows), the others answered, and the
    exit code is 2.
    """
    if address or out:
        return _score(names, 1 if top is None else top, explain, address, registry, out)
    from vitrine.catalog.photos import PhotoError
    from vitrine.predict import predict as run

    if len(names) < 2:
        raise InputError(f"{names[0]}: name the photos to ask this model about")
    unreadable: dict[int, PhotoError] = {}
    for line in run(Path(names[0]), names[1:], 5 if top is None else top, explain, unreadable):
        click.echo(json_line(line))
    for place in sorted(unreadable):
        click.echo(printable(str(unreadable[place])), err=True)
    return 2 if unreadable else 0


def _score(names: tuple[str, ...], top: int, explain: Path | None, address: str, registry: str, out: str) -> int:
    from vitrine.scoring import score

    if not address or not out:
        raise InputError("a table needs both --model and --out")
    if len(names) != 1 or explain is not None:
        raise InputError("a table is of one SOURCE, a catalog, a folder or a list, and has no --explain")
    with Progress("asking", "photo") as progress:
        done = score(names[0], address, out, registry, top, progress)
    earlier = f", {done.resumed:,} of them by an earlier run" if done.resumed else ""
    _say(f"{out}: {done.photos:,} photos{earlier}; {done.unreadable:,} cannot be read")
    return 2 if done.unreadable else 0


@cli.command()
@click.argument("model", type=PATH)
@click.argument("out", type=PATH, required=False)
@click.option("--onnx", "as_onnx", is_flag=True, required=True, help="As ONNX: the one format there is.")
@click.option("--int8", "catalog", default="", help="In 8 bits, calibrated and measured on a CATALOG with splits.")
@click.option("--max-loss", default=0.01, show_default=True, help="How far the figure that decides may fall in 8 bits.")
def export(model: Path, out: Path | None, as_onnx: bool, catalog: str, max_loss: float) -> int:
    """Write MODEL as one file for other runtimes, OUT, and compare it with torch.

    OUT is MODEL/model.onnx (model.int8.onnx) where it is not named.

    With --int8, exit code 1: it loses too much and is not written.
    """
    from vitrine.export import export_onnx

    target = out or model / ("model.int8.onnx" if catalog else "model.onnx")
    if catalog:
        from vitrine.catalog import read_catalog
        from vitrine.quantized import export_int8

        kept = export_int8(model, read_catalog(catalog), target, max_loss)
        _say(f"{target}: {kept.decision.reason} ({kept.bytes:,} bytes)")
        return 0 if kept.decision.promote else 1
    largest = export_onnx(model, target)
    _say(f"{target}: differs from torch by {largest:.1e} at most")
    return 0


@cli.command("add-label")
@click.argument("model", type=PATH)
@click.argument("out", type=PATH)
@click.argument("images", nargs=-1, required=True)
@click.option("--type", "kind", required=True, help="Attribute type that gets the label.")
@click.option("--label", required=True, help="The new label.")
def add_label(model: Path, out: Path, images: tuple[str, ...], kind: str, label: str) -> None:
    """Teach MODEL (with label embeddings) one label more from a few IMAGES, without training; OUT is the new model."""
    from vitrine import tasks

    added = tasks.of_model(model).add_label(model, out, kind, label, images)
    _say(f"{out}: {kind} knows {label} now, {added}")


@cli.command()
@click.argument("model", type=PATH)
@click.argument("catalog")
@click.argument("out", type=PATH)
@click.option("--add", is_flag=True, help="OUT is an index of this model: add to it.")
@click.option(
    "--split",
    "which",
    type=click.Choice(["train", "validation", "test"]),
    help="Only rows of one split, and the gallery.",
)
def index(model: Path, catalog: str, out: Path, add: bool, which: str | None) -> None:
    """Make an index of a catalog's photos, for `vitrine search`. Where users' photos ask, of its shop photos."""
    from vitrine.catalog import read_catalog, with_gallery
    from vitrine.visual_search import add_to_index, make_index

    source = read_catalog(catalog)
    if which is not None:
        source = with_gallery(source, which)
        if not len(source):
            raise InputError(f"{catalog}: no row has split {which!r}")
    with Progress("embedding", "photo") as progress:
        count = add_to_index(out, source, model, progress) if add else make_index(model, source, out, progress)
    _say(f"{out}: {counted(count, 'photo')} {'added' if add else 'indexed'}")


@cli.command()
@click.argument("index", type=PATH)
@click.argument("names", nargs=-1)
@click.option("--images", is_flag=True, help="NAMES are photos, not products.")
@click.option("--compact", is_flag=True, help="Afterwards, write what is left into one piece.")
def unindex(index: Path, names: tuple[str, ...], images: bool, compact: bool) -> None:
    """Take products (all of their photos) out of an index."""
    from vitrine.retrieval.index import Index

    opened = Index(index)
    gone = opened.remove(images=names) if images else opened.remove(products=names)
    if not gone:
        what = "photos" if images else "products (--images names photos)"
        raise InputError(f"{index}: holds none of these {what}: {', '.join(names[:5])}")
    if compact:
        opened.compact()
    _say(f"{index}: {counted(gone, 'photo')} removed, {len(opened):,} left")


@cli.command()
@click.argument("index", type=PATH)
@click.argument("images", nargs=-1, required=True)
@click.option("-k", "k", default=20, show_default=True, help="Answers wanted.")
@click.option("--category", default="", help="Search below this node of the category tree only.")
@click.option("--exact", is_flag=True, help="Compare with every photo, instead of nearly all.")
@click.option("--html", "out", type=PATH, help="New folder for a page that shows what was found, as photos.")
def search(index: Path, images: tuple[str, ...], k: int, category: str, exact: bool, out: Path | None) -> None:
    """Print the most similar indexed photos of each IMAGE, one JSON line each."""
    from vitrine.visual_search import search_page, search_photos

    if out is not None and out.exists():
        raise InputError(f"{out}: exists already; name a new folder")
    answers = search_photos(index, images, k, category, exact)
    for line in answers:
        click.echo(json_line(line))
    if out is not None:
        click.echo(printable(f"see {search_page(index, answers, out)}"), err=True)


@cli.command()
@click.argument("models", nargs=-1, metavar="[[NAME=]MODEL]...")
@click.option("--registry", default="", help="Folder or s3:// prefix of a model registry, whose champions are served.")
@click.option("--task", "wanted", multiple=True, help="Whose champion; may be repeated. Default: all.")
@click.option("--index", type=PATH, help="Index that `vitrine index` wrote, to be searched.")
@click.option(
    "--engine",
    default="torch",
    show_default=True,
    type=click.Choice(["torch", "onnx", "auto"]),
    help="What asks the nets; auto measures both and takes the faster.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 is all.")
@click.option("--port", default=8080, show_default=True)
@click.option("--token-file", "token", type=PATH, help="File with a token that clients must present.")
@click.option("--every", default=30.0, show_default=True, help="Seconds between looks for new champions and photos.")
@click.option("--batch", default=32, show_default=True, help="Photos that a net is asked about at once, at most.")
@click.option(
    "--limit", "limits", multiple=True, metavar="KEY=VALUE", help="Of requests (docs/serving.md); repeatable."
)
def serve(models: tuple[str, ...], host: str, port: int, limits: tuple[str, ...], **plan: Any) -> None:
    """Answer over HTTP with MODELs (folders, ONNX files, s3:// prefixes, champion:TASK) and a registry's champions."""
    from vitrine.serving.limits import parse_limits
    from vitrine.serving.run import Plan, Server

    Server(Plan(models=models, limits=parse_limits(limits), **plan), host, port).run()


@cli.command()
@click.argument("reference")
@click.argument("current")
@click.argument("out", type=PATH)
@click.option("--model", type=PATH, help="The reference's model, if it is not where the reference says.")
@click.option("--clean/--as-is", "tidy", default=True, help="Clean CURRENT first, as the photos of a reference were.")
@click.option("--map", "as_map", is_flag=True, help="Show the photos of both sides as a map, as the model sees them.")
@click.option("--evidently", "full", is_flag=True, help="Also Evidently's page of every signal; doubles the time.")
def drift(reference: str, current: str, out: Path, model: Path | None, tidy: bool, as_map: bool, full: bool) -> int:
    """Compare the photos of CURRENT with a drift reference or a catalog.

    Exit code 1: drift. 3: none found, but a signal could not be computed.
    """
    import tempfile

    from vitrine.catalog import read_catalog, versioned
    from vitrine.monitoring.drift import cleaned, compare_with_model

    with tempfile.TemporaryDirectory() as folder:
        photos = versioned(read_catalog(current, check_rows=not tidy))
        if tidy:
            photos = cleaned(photos, Path(folder) / "cleaned", reference)
        found = compare_with_model(reference, photos, out, model, as_map=as_map, full=full)
    _say(found.reason)
    _say(f"see {out / 'report.html'}")
    return found.exit_code


@cli.group()
def models() -> None:
    """List the versions of the models, and choose the one in use."""


REGISTRY = click.option(
    "--registry", default="runs/registry", show_default=True, help="Folder or s3:// prefix of the model registry."
)
MODEL_REGISTRY = click.option("--model-registry", default="", help="Address of a Kubeflow Model Registry to tell.")
SERVING = click.option(
    "--serving", default="", help="Also roll out deployment/NAME or inferenceservice/NAME, in $VITRINE_NAMESPACE."
)
REASON = click.option("--reason", default="Chosen by hand.", show_default=True, help="Kept in the history.")


@models.command("list")
@click.argument("task", default="")
@REGISTRY
@click.option("--history", is_flag=True, help="Every promotion, rollback and refusal instead, with its reason.")
def models_list(task: str, registry: str, history: bool) -> int:
    """Print the versions of TASK's models, or of all; * is in use. Exit code 1: there are none."""
    from vitrine.files import is_s3
    from vitrine.registry.listing import list_decisions, list_versions

    lines = list(list_decisions(registry, task) if history else list_versions(registry, task))
    for line in lines:
        _say(line)
    if not lines and not is_s3(registry) and not Path(registry).is_dir():
        raise InputError(f"{registry}: no such registry")
    if not lines:
        _say(f"{registry}: {'no decision' if history else 'no version'}{f' of {task}' if task else ''} yet")
    return 0 if lines else 1


@models.command("promote")
@click.argument("task")
@click.argument("model")
@REGISTRY
@click.option("--evaluation", type=PATH, help="Of a model folder: what `vitrine evaluate` wrote about it.")
@click.option("--reference", type=PATH, help="Of a model folder: its drift reference.")
@REASON
@MODEL_REGISTRY
@SERVING
def models_promote(
    task: str,
    model: str,
    registry: str,
    evaluation: Path | None,
    reference: Path | None,
    reason: str,
    model_registry: str,
    serving: str,
) -> None:
    """Put MODEL, a stored version or a model folder, in use for TASK, whatever the gate would say."""
    from vitrine.registry import Registry
    from vitrine.registry.store import promote_folder

    store = Registry(registry)
    if (Path(model) / "config.json").is_file():
        champion = promote_folder(store, task, Path(model), evaluation, reference, reason)
    elif evaluation or reference:
        raise InputError(f"{model}: not a model folder; --evaluation and --reference are of one")
    else:
        champion = store.bring_back(task, model, reason)
    _say(f"{task}: {champion.version} is in use now")
    _announce(model_registry, champion, serving)


@models.command("rollback")
@click.argument("task")
@REGISTRY
@REASON
@MODEL_REGISTRY
@SERVING
def models_rollback(task: str, registry: str, reason: str, model_registry: str, serving: str) -> None:
    """Put the version before the one in use back in use for TASK. Again goes to the one before that."""
    from vitrine.registry import Registry

    champion = Registry(registry).rollback(task, reason)
    _say(f"{task}: {champion.version} is in use again")
    _announce(model_registry, champion, serving)


@models.command("prune")
@click.argument("task")
@REGISTRY
@click.option("--keep", default=10, show_default=True, help="Newest versions that stay.")
def models_prune(task: str, registry: str, keep: int) -> None:
    """Delete old versions of TASK's models; the one in use and the one before it stay."""
    from vitrine.registry import Registry

    if keep < 1:
        raise InputError(f"--keep {keep}: at least 1")
    gone = Registry(registry).prune(task, keep)
    _say(f"{task}: {counted(len(gone), 'version')} deleted{': ' if gone else ''}{', '.join(gone)}")


@models.command("announce")
@click.argument("task")
@REGISTRY
@click.option("--model-registry", required=True, help="Address of a Kubeflow Model Registry.")
def models_announce(task: str, registry: str, model_registry: str) -> None:
    """Tell a Kubeflow Model Registry which model is in use for TASK; again where it is known already."""
    from vitrine.registry import Registry

    champion = Registry(registry).champion(task)
    if champion is None:
        raise InputError(f"{registry}: no model is in use for {task!r}")
    _announce(model_registry, champion)


def _announce(address: str, champion: Any, serving: str = "") -> None:
    if serving:
        from pipelines.rollout import roll_out_from_here

        roll_out_from_here(serving, champion)
    if address:
        from pipelines.model_registry import ModelRegistry

        version = ModelRegistry(address).announce(champion)
        _say(f"{address}: vitrine-{champion.task} {champion.version} is version {version}, in use")


@cli.group()
def pipeline() -> None:
    """Compile the Kubeflow pipelines, run them on this machine, or publish, run and schedule them on a cluster."""


@pipeline.command("list")
def pipeline_list() -> None:
    """Name the pipelines."""
    from pipelines import PIPELINES

    for name, summary in PIPELINES.items():
        _say(f"{name}\t{summary}" if sys.stdout.isatty() else name)


@pipeline.command("show")
@click.argument("name")
def pipeline_show(name: str) -> None:
    """Print a pipeline's parameters and settings, with default, range and meaning."""
    from pipelines.show import show

    for line in show(name):
        _say(line)


NO_CLAIM = click.option(
    "--claim/--no-claim", default=True, help="Checkpoints on a volume claim, or only on a training pod's own disk."
)


@pipeline.command("compile")
@click.argument("name")
@click.argument("out", type=PATH)
@click.option("--image", default="", help="Image of every step, best by its digest; default: this version's.")
@NO_CLAIM
def pipeline_compile(name: str, out: Path, image: str, claim: bool) -> None:
    """Write a package that the Kubeflow UI takes."""
    from pipelines.packages import compile_pipeline

    compile_pipeline(name, out, image, claim=claim)
    _say(f"{out}: upload it in the Kubeflow UI under Pipelines")


@pipeline.command("run")
@click.argument("name")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A pipeline parameter; may be repeated.")
@click.option("--parameters", type=PATH, help="YAML file of parameters; --set wins.")
@click.option("--runner", default="subprocess", show_default=True, type=click.Choice(["subprocess", "docker"]))
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Folder for everything runs leave.")
@click.option("--cache/--no-cache", default=True, help="Reuse the steps that finished before with the same input.")
@click.option("--verbose", is_flag=True, help="Show the runner's own log too.")
def pipeline_run(
    name: str, overrides: tuple[str, ...], parameters: Path | None, runner: str, runs: Path, cache: bool, verbose: bool
) -> int:
    """Run a pipeline on this machine. Exit code 1: a step failed."""
    from pipelines.local import run_pipeline

    return run_pipeline(name, overrides, runs, parameters, runner=runner, cache=cache, verbose=verbose)


SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A parameter; may be repeated.")
PARAMETERS = click.option("--parameters", type=PATH, help="YAML file of parameters; --set wins.")


def _on_cluster(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """The options that publishing, running and scheduling share."""
    for option in (
        click.option("--endpoint", default="", help="Kubeflow Pipelines API; default: $KF_PIPELINES_ENDPOINT."),
        click.option("--ui", default="", help="Address of the UI, for links; default: $KF_PIPELINES_UI_ENDPOINT."),
        click.option("--namespace", default="", help="Where Kubeflow has several users; default: $VITRINE_NAMESPACE."),
        click.option("--experiment", default="vitrine", show_default=True),
        click.option("--account", default="", help="Service account of the pods; default: the cluster's."),
        click.option("--image", default="", help="Image of every step, best by its digest; default: this version's."),
        click.option("--version", default="", help="Name of the pipeline version; default: the commit."),
        NO_CLAIM,
        PARAMETERS,
        SET,
    ):
        command = option(command)
    return command


@pipeline.command("submit")
@click.argument("name")
@_on_cluster
@click.option("--name", "title", default="", help="Of the run; default: pipeline, data revision, figure to beat.")
@click.option("--publish-only", is_flag=True, help="Start no run.")
@click.option("--wait", is_flag=True, help="Until the run ends. Exit code 1: it failed.")
@click.option("--timeout", default=24.0, show_default=True, help="Hours to wait at most.")
def pipeline_submit(
    name: str, title: str, publish_only: bool, wait: bool, timeout: float, version: str, image: str, **asked: Any
) -> int:
    """Publish a pipeline on a cluster (once per commit) and start a run of it."""
    from pipelines.submit import follow, submit

    started, cluster = submit(name, image, version, title, start=not publish_only, tell=_say, **asked)
    if started is None or not wait:
        return 0
    given = asked["parameters"], asked["overrides"]
    return 0 if follow(cluster, started, name, *given, timeout * 3600, _say) else 1


@pipeline.command("check")
@click.argument("name")
@_on_cluster
def pipeline_check(
    name: str, image: str, endpoint: str, namespace: str, account: str, parameters: Path | None, claim: bool,
    overrides: tuple[str, ...], **_: Any,
) -> int:  # fmt: skip
    """Say whether what a run needs is on the cluster. Exit code 1: something is missing."""
    from pipelines.submit import check_pipeline

    whole = check_pipeline(name, image, endpoint, namespace, account, parameters, overrides, claim=claim, tell=_say)
    return 0 if whole else 1


@pipeline.command("schedule")
@click.argument("name")
@_on_cluster
@click.option("--cron", default="0 6 * * *", show_default=True, help="Five fields, or six with seconds first; UTC.")
@click.option("--name", "title", default="", help="Of the schedule; default: the pipeline's.")
@click.option("--off", is_flag=True, help="Delete the schedule.")
def pipeline_schedule(name: str, title: str, cron: str, off: bool, version: str, image: str, **asked: Any) -> None:
    """Publish a pipeline on a cluster and run it by the clock: one run at a time, without catching up."""
    from pipelines.submit import schedule

    schedule(name, image, version, title, cron, off=off, tell=_say, **asked)


@cli.command()
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Folder for everything runs leave.")
def demo(runs: Path) -> int:
    """Render the demo catalog into data/ (once) and run the retrain pipeline on it."""
    from pipelines.local import run_pipeline

    data = Path("data")
    if not data.exists():
        from vitrine.synth import render_catalog

        _say("Rendering the demo catalog into data/ ...")
        render_catalog(data)
    return run_pipeline("retrain", ("data_catalog=data", "batch_size=32"), runs)


def _say(text: str) -> None:
    click.echo(printable(text))


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")  # of a traceback
        return "\n".join(map(printable, lines))


def main() -> None:
    """Entry point: runs a command, and turns what the user did wrong into one line and exit code 2."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("botocore", "great_expectations", "matplotlib", "evidently", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        code = cli.main(prog_name="vitrine", standalone_mode=False)
    except InputError as error:
        _fail(str(error))
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "vitrine"
        _fail(f"{where}: {error.format_message()}")
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except SystemExit:  # click's word for a closed pipe, with the exit code that here means "no"
        sys.exit(141)
    except OSError as error:  # no space, no permission, a file where a folder should be
        _fail(f"{error.filename or 'vitrine'}: {error.strerror or error}")
    except Exception:  # Python's own exit code for this, 1, is here the answer "no"
        traceback.print_exc()
        sys.exit(3)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    print(printable(" ".join(message.split())), file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
