"""Commands about the Kubeflow pipelines, on this machine and on a cluster."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vitrine.cli.options import PATH
from vitrine.cli.output import say

IMAGE = click.option("--image", default="", help="Image of every step, best by its digest; default: this version's.")
RUNS = click.option(
    "--runs", type=PATH, default=Path("runs"), show_default=True, help="Folder for everything runs leave."
)
PARAMETERS = click.option("--parameters", type=PATH, help="YAML file of parameters; --set wins.")
CLAIM = click.option(
    "--claim/--no-claim", default=True, help="Checkpoints on a volume claim, or only on a training pod's own disk."
)


@click.group()
def pipeline() -> None:
    """Compile the Kubeflow pipelines, run them on this machine, or publish, run and schedule them on a cluster."""


@pipeline.command("list")
def pipeline_list() -> None:
    """Name the pipelines."""
    from pipelines import PIPELINES

    for name, summary in PIPELINES.items():
        say(f"{name}\t{summary}" if sys.stdout.isatty() else name)


@pipeline.command("show")
@click.argument("name")
def pipeline_show(name: str) -> None:
    """Print a pipeline's parameters and settings, with default, range and meaning."""
    from pipelines.show import show

    for line in show(name):
        say(line)


@pipeline.command("compile")
@click.argument("name")
@click.argument("out", type=PATH)
@IMAGE
@CLAIM
def pipeline_compile(name: str, out: Path, image: str, claim: bool) -> None:
    """Write a package that the Kubeflow UI takes."""
    from pipelines.packages import compile_pipeline

    compile_pipeline(name, out, image, claim=claim)
    say(f"{out}: upload it in the Kubeflow UI under Pipelines")


@pipeline.command("run")
@click.argument("name")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A pipeline parameter; may be repeated.")
@PARAMETERS
@click.option("--runner", default="subprocess", show_default=True, type=click.Choice(["subprocess", "docker"]))
@RUNS
@click.option("--cache/--no-cache", default=True, help="Reuse the steps that finished before with the same input.")
@click.option("--verbose", is_flag=True, help="Show the runner's own log too.")
def pipeline_run(
    name: str, overrides: tuple[str, ...], parameters: Path | None, runner: str, runs: Path, cache: bool, verbose: bool
) -> int:
    """Run a pipeline on this machine. Exit code 1: a step failed."""
    from pipelines.local import run_pipeline

    return run_pipeline(name, overrides, runs, parameters, runner=runner, cache=cache, verbose=verbose)


def _on_cluster(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """The options that publishing, running and scheduling share."""
    for option in (
        click.option("--endpoint", default="", help="Kubeflow Pipelines API; default: $KF_PIPELINES_ENDPOINT."),
        click.option("--ui", default="", help="Address of the UI, for links; default: $KF_PIPELINES_UI_ENDPOINT."),
        click.option("--namespace", default="", help="Where Kubeflow has several users; default: $VITRINE_NAMESPACE."),
        click.option("--experiment", default="vitrine", show_default=True),
        click.option("--account", default="", help="Service account of the pods; default: the cluster's."),
        IMAGE,
        click.option("--version", default="", help="Name of the pipeline version; default: the commit."),
        CLAIM,
        PARAMETERS,
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A parameter; may be repeated."),
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

    started, cluster = submit(name, image, version, title, start=not publish_only, tell=say, **asked)
    if started is None or not wait:
        return 0
    given = asked["parameters"], asked["overrides"]
    return 0 if follow(cluster, started, name, *given, timeout * 3600, say) else 1


@pipeline.command("check")
@click.argument("name")
@_on_cluster
def pipeline_check(
    name: str, image: str, endpoint: str, namespace: str, account: str, parameters: Path | None, claim: bool,
    overrides: tuple[str, ...], **_: Any,
) -> int:  # fmt: skip
    """Say whether what a run needs is on the cluster. Exit code 1: something is missing."""
    from pipelines.submit import check_pipeline

    whole = check_pipeline(name, image, endpoint, namespace, account, parameters, overrides, claim=claim, tell=say)
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

    schedule(name, image, version, title, cron, off=off, tell=say, **asked)


@click.command()
@RUNS
def demo(runs: Path) -> int:
    """Render the demo catalog into data/ (once) and run the retrain pipeline on it."""
    from pipelines.local import run_pipeline

    data = Path("data")
    if not data.exists():
        from vitrine.synth import render_catalog

        say("Rendering the demo catalog into data/ ...")
        render_catalog(data)
    return run_pipeline("retrain", ("data_catalog=data", "batch_size=32"), runs)
