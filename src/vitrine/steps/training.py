"""Trainings: their settings, a model, or the teachers of several attribute types."""

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from vitrine import files, tasks
from vitrine.journal import SIGN
from vitrine.launch import Run, launch, launch_on_nodes
from vitrine.steps.data import open_table
from vitrine.steps.reuse import rows_digest, work_key


def check_settings(task: str, variant: str, settings: Mapping[str, object]) -> None:
    """Whether a training would take these settings, before anything of it starts.

    Raises:
        InputError: if not.
    """
    from vitrine.settings import parse_settings
    from vitrine.tasks.task import check_variant

    chosen = tasks.get(task)
    parse_settings(chosen.settings(check_variant(chosen, variant)), _overrides(settings))


def train(
    task: str,
    variant: str,
    table: Path,
    out: Path,
    checkpoints: str,
    settings: Mapping[str, object],
    processes: int = 0,
    nodes: Run | None = None,
) -> dict[str, float]:
    """A model folder, by one process per GPU. What was stopped goes on from the checkpoint of the same training.

    Args:
        task: What to learn.
        variant: How.
        table: Folder of the catalog.
        out: The model folder to make.
        checkpoints: Folder of checkpoints.
        settings: Of the training.
        processes: How many train together; 0 = one per GPU.
        nodes: What trains on several nodes; None = this one alone.

    Returns:
        Figures on the validation photos.
    """
    from vitrine.train import train as run

    overrides = _overrides(settings)
    folder = Path(checkpoints) / work_key(task, variant, rows_digest(table), sorted(overrides))
    if nodes:  # they fetch the photos, this step only watches
        launch_on_nodes(nodes, task, variant, table, out, overrides, folder)
    else:
        catalog, processes = open_table(table), processes or _gpus()
        if processes > 1:
            launch(processes, task, variant, table, out, overrides, folder)
        else:
            run(task, variant, catalog, out, overrides, resume=True, checkpoints=folder)
    with contextlib.suppress(OSError):
        folder.rmdir()
    metrics: dict[str, float] = files.read_json(out / "metrics.json")
    shown = {name: value for name, value in metrics.items() if not name.endswith("/count")}
    figures = [f"{name.removeprefix('validation/')} {value:.3f}" for name, value in shown.items()]
    print(f"{SIGN} Train {variant}: {', '.join(figures) or 'no validation photo'} (validation).", flush=True)
    return metrics


def train_models(
    task: str,
    variant: str,
    table: Path,
    out: Path,
    checkpoints: str,
    settings: Mapping[str, object],
    *,
    types: Sequence[str] = (),
    teachers: Sequence[Path] = (),
    nodes: Run | None = None,
) -> dict[str, float]:
    """What one training step of a pipeline trains: a model, or the teachers of several types, one after the other.

    A teacher that is finished is kept beside the checkpoints until all are, so that a step that was stopped does not
    train it again.

    Args:
        task: See `train`.
        variant: See `train`.
        table: See `train`.
        out: The model folder to make; of teachers a folder of model folders, in the order of `types`.
        checkpoints: See `train`.
        settings: See `train`; numbers and booleans may be text.
        types: Of the teachers; empty = no teachers are asked for.
        teachers: Folders of teachers' model folders, for a student.
        nodes: See `train`.

    Returns:
        Figures on the validation photos.
    """
    if not types:
        given = ",".join(str(model) for group in teachers for model in sorted(group.iterdir()))
        whole = {**settings, **({"teachers": given} if teachers else {})}
        return train(task, variant, table, out, checkpoints, whole, nodes=nodes)
    key = work_key(task, variant, rows_digest(table), list(types), sorted(_overrides(settings)))
    finished = Path(checkpoints) / f"{key}-finished"
    figures: dict[str, float] = {}
    for number, name in enumerate(types):
        kept = finished / f"{number:03}"
        if not (kept / "metrics.json").is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            train(task, variant, table, kept, checkpoints, {**settings, "type": name}, nodes=nodes)
        figures |= files.read_json(kept / "metrics.json")
    shutil.copytree(finished, out, dirs_exist_ok=True)
    shutil.rmtree(finished, ignore_errors=True)
    return figures


def _overrides(settings: Mapping[str, object]) -> list[str]:
    """Settings as `key=value`: whole numbers without a fraction, which Kubeflow hands over as 7.0."""
    plain = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in settings.items()}
    return [f"{name}={value}" for name, value in plain.items()]


def _gpus() -> int:
    import torch

    return max(1, torch.cuda.device_count())
