"""Commands that ask models about photos, and search by photos."""

from pathlib import Path
from typing import Any

import click

from vitrine.cli.options import AT_LEAST_ONE, PATH, SPLIT
from vitrine.cli.output import say
from vitrine.errors import InputError
from vitrine.progress import Progress
from vitrine.untrusted import json_line
from vitrine.words import counted


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="MODEL IMAGE... | SOURCE --model MODEL --out TABLE")
@click.option("-k", "--top", type=AT_LEAST_ONE, help="Labels to name per question; default 5, in a table 1.")
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
        say(str(unreadable[place]), err=True)
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
    say(f"{out}: {done.photos:,} photos{earlier}; {done.unreadable:,} cannot be read")
    return 2 if done.unreadable else 0


@click.command()
@click.argument("model", type=PATH)
@click.argument("catalog")
@click.argument("out", type=PATH)
@click.option("--add", is_flag=True, help="OUT is an index of this model: add to it.")
@click.option("--split", "which", type=SPLIT, help="Only rows of one split, and the gallery.")
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
    say(f"{out}: {counted(count, 'photo')} {'added' if add else 'indexed'}")


@click.command()
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
    say(f"{index}: {counted(gone, 'photo')} removed, {len(opened):,} left")


@click.command()
@click.argument("index", type=PATH)
@click.argument("images", nargs=-1, required=True)
@click.option("-k", "k", default=20, show_default=True, type=AT_LEAST_ONE, help="Answers wanted.")
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
        say(f"see {search_page(index, answers, out)}", err=True)


@click.command()
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
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--token-file", "token", type=PATH, help="File with a token that clients must present.")
@click.option("--every", default=30.0, show_default=True, help="Seconds between looks for new champions and photos.")
@click.option(
    "--batch",
    default=32,
    show_default=True,
    type=AT_LEAST_ONE,
    help="Photos that a net is asked about at once, at most.",
)
@click.option(
    "--limit", "limits", multiple=True, metavar="KEY=VALUE", help="Of requests (docs/serving.md); repeatable."
)
def serve(models: tuple[str, ...], host: str, port: int, limits: tuple[str, ...], **plan: Any) -> None:
    """Answer over HTTP with MODELs (folders, ONNX files, s3:// prefixes, champion:TASK) and a registry's champions."""
    from vitrine.serving.limits import parse_limits
    from vitrine.serving.run import Plan, Server

    Server(Plan(models=models, limits=parse_limits(limits), **plan), host, port).run()
