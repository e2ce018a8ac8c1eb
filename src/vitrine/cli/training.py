"""Commands that make and measure models."""

from pathlib import Path

import click

from vitrine.cli.options import PATH, SPLIT
from vitrine.cli.output import say
from vitrine.progress import Progress


class _WithSettings(click.Command):
    """A command whose help ends with every setting; what knows them is loaded only then."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from vitrine.tasks.described import help_lines

        for line in help_lines():
            formatter.write(f"{line}\n")


@click.command(cls=_WithSettings)
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
    say(f"{out}: a model; see {out / 'card.md'}")


@click.command()
@click.argument("model", type=PATH)
@click.argument("catalog")
@click.argument("out", type=PATH)
@click.option("--split", "which", default="test", show_default=True, type=SPLIT)
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
        say(f"{name} {value:.4f}")
    say(f"see {out / 'report.html'}")


@click.command()
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
        say(f"{target}: {kept.decision.reason} ({kept.bytes:,} bytes)")
        return 0 if kept.decision.promote else 1
    largest = export_onnx(model, target)
    say(f"{target}: differs from torch by {largest:.1e} at most")
    return 0


@click.command("add-label")
@click.argument("model", type=PATH)
@click.argument("out", type=PATH)
@click.argument("images", nargs=-1, required=True)
@click.option("--type", "kind", required=True, help="Attribute type that gets the label.")
@click.option("--label", required=True, help="The new label.")
def add_label(model: Path, out: Path, images: tuple[str, ...], kind: str, label: str) -> None:
    """Teach MODEL (with label embeddings) one label more from a few IMAGES, without training; OUT is the new model."""
    from vitrine import tasks

    added = tasks.of_model(model).add_label(model, out, kind, label, images)
    say(f"{out}: {kind} knows {label} now, {added}")
