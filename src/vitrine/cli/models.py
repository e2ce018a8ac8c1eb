"""Commands about the versions of models in a registry."""

from pathlib import Path
from typing import Any

import click

from vitrine.cli.options import AT_LEAST_ONE, PATH
from vitrine.cli.output import say
from vitrine.errors import InputError
from vitrine.words import counted


@click.group()
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
    from vitrine.registry.listing import list_decisions, list_versions

    _check_there(registry, task)
    lines = list(list_decisions(registry, task) if history else list_versions(registry, task))
    for line in lines:
        say(line)
    if not lines:
        say(f"{registry}: {'no decision' if history else 'no version'}{f' of {task}' if task else ''} yet")
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
    say(f"{task}: {champion.version} is in use now")
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
    say(f"{task}: {champion.version} is in use again")
    _announce(model_registry, champion, serving)


@models.command("prune")
@click.argument("task")
@REGISTRY
@click.option("--keep", default=10, show_default=True, type=AT_LEAST_ONE, help="Newest versions that stay.")
def models_prune(task: str, registry: str, keep: int) -> None:
    """Delete old versions of TASK's models; the one in use and the one before it stay."""
    from vitrine.registry import Registry

    _check_there(registry, task)
    gone = Registry(registry).prune(task, keep)
    say(f"{task}: {counted(len(gone), 'version')} deleted{': ' if gone else ''}{', '.join(gone)}")


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


def _check_there(registry: str, task: str) -> None:
    from vitrine.files import is_s3
    from vitrine.registry.listing import known_tasks

    known_tasks(task)
    if not is_s3(registry) and not Path(registry).is_dir():
        raise InputError(f"{registry}: no such registry")


def _announce(address: str, champion: Any, serving: str = "") -> None:
    if serving:
        from pipelines.rollout import roll_out_from_here

        roll_out_from_here(serving, champion)
    if address:
        from pipelines.model_registry import ModelRegistry

        version = ModelRegistry(address).announce(champion)
        say(f"{address}: vitrine-{champion.task} {champion.version} is version {version}, in use")
