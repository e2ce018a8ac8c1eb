"""Evaluating a model folder on one split of a catalog: figures, a page, and what later steps show of it."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitrine import files, tasks
from vitrine.catalog import Catalog, learnable
from vitrine.data.corruptions import SEVERITIES
from vitrine.errors import InputError
from vitrine.evaluation import CONFUSION, EXAMPLES, METRICS, REPORT, SAMPLES
from vitrine.evaluation.beside import prefixed
from vitrine.evaluation.constant import PREFIX as CONSTANT
from vitrine.evaluation.corrupted import corrupted_metrics
from vitrine.evaluation.sample import Sample, write_samples
from vitrine.predict import Model
from vitrine.predictions import PhotoPredictions, Predictions
from vitrine.tasks.labels import LabelTask

EXAMPLE_PHOTOS = 12


def evaluate(
    model: Path,
    catalog: Catalog,
    out: Path,
    split: str = "test",
    *,
    on_corrupted: bool = False,
    against: Sequence[Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Measures a model on the rows of a split (see `Task.rows`).

    Writes `metrics.json` (flat, fractions 0..1), `report.html`, `confusion.json` (see `Task.confusion`) and
    `examples.json` (a few predictions as thumbnails, for summary pages). `samples.npz` holds the hits behind the
    figure that decides, one by one, and those of the constant model, for the gate.

    Args:
        model: A model folder.
        catalog: With labels.
        out: A new folder.
        split: `train`, `validation` or `test`.
        on_corrupted: Measure on corrupted copies of the photos too (15 kinds, 5 severities): see `corrupted_metrics`.
        against: Further model folders, say the teachers, that the page compares this one with, class by class.
        progress: Told how much of the corrupted copies is done.

    Returns:
        The figures.

    Raises:
        InputError: if `out` exists, the model or a photo cannot be read, no row of the split has a label that is
            predicted, or models of `against` cannot be compared with it.
    """
    files.refuse_existing(out)
    loaded = Model.load(model)
    task = loaded.task
    if against and not isinstance(task, LabelTask):
        raise InputError(f"--against: models for {task.name} name no labels, and are not compared class by class")
    if on_corrupted and not task.corrupted:
        raise InputError(f"{model}: a model for {task.name} is not measured on corrupted photos")
    rows = task.rows(catalog, split)
    predictions = loaded.predict(rows, embeddings=bool(against))
    _check_known(predictions, catalog)
    metrics = compute_metrics(predictions) | task.further_metrics(predictions, loaded.net, loaded.config, rows)
    compared = [_compared(other, rows, predictions) for other in against]
    if on_corrupted:
        metrics |= corrupted(loaded, rows, progress=progress)
    blind = task.constant(predictions)
    metrics |= _constant_metrics(blind)
    with files.new_folder(out) as folder:
        samples = {"own": task.sample(predictions, rows), "constant": task.sample(blind, rows)}
        write_samples(folder / SAMPLES, samples)
        metrics |= _baseline_metrics(loaded.config, catalog, rows)
        files.write_json(folder / METRICS, metrics)
        files.write_json(folder / CONFUSION, task.confusion(predictions))
        files.write_json(folder / EXAMPLES, task.examples(predictions, rows, EXAMPLE_PHOTOS))
        title = f"Evaluation: {task.name} on the {split} {task.counted}"
        task.page(predictions, rows, metrics, loaded.config, title, compared).write(folder / REPORT)
    return metrics


def measure(model: Path, catalog: Catalog, split: str) -> tuple[dict[str, float], Sample]:
    """The figures that two models are compared by, and the hits behind the one that decides."""
    loaded = Model.load(model)
    rows = loaded.task.rows(catalog, split)
    predictions = loaded.predict(rows)
    return compute_metrics(predictions), loaded.task.sample(predictions, rows)


def compute_metrics(predictions: Predictions) -> dict[str, float]:
    """The figures of predictions: see each task's `metrics`.

    Raises:
        InputError: if nothing can be measured.
    """
    return tasks.get(predictions.task).metrics(predictions)


def _check_known(predictions: Predictions, catalog: Catalog) -> None:
    """Raises an InputError where no label of the measured rows is one that the model can predict."""
    targets = predictions.targets if isinstance(predictions, PhotoPredictions) else []
    asked = {target.name: {label for truth in target.truth for label in truth} for target in targets}
    if any(asked.values()) and all(asked[target.name].isdisjoint(target.labels) for target in targets):
        first = next(target for target in targets if asked[target.name])
        has, knows = min(asked[first.name]), ", ".join(sorted(first.labels)[:3])
        raise InputError(
            f"{catalog.address}: has no label that the model knows: {first.name} is {has} ..., the model's {knows} ..."
        )


def _compared(folder: Path, rows: Catalog, beside: Predictions) -> PhotoPredictions:
    other = Model.load(folder)
    if other.task.name != beside.task or not isinstance(beside, PhotoPredictions):
        raise InputError(f"--against {folder}: is not a model for {beside.task}")
    predictions = other.predict(rows, embeddings=True)
    assert isinstance(predictions, PhotoPredictions)
    if not {target.name for target in predictions.targets} & {target.name for target in beside.targets}:
        raise InputError(f"--against {folder}: predicts nothing that the model predicts")
    return predictions


def corrupted(
    model: Model,
    rows: Catalog,
    severities: Sequence[int] = SEVERITIES,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """A model's figures on corrupted copies of photos, made on the fly: see `corrupted_metrics`."""
    from vitrine.inference import corruption

    def measured(name: str, severity: int) -> dict[str, float]:
        change = corruption(name, severity, rows.table["image"].to_numpy())
        return compute_metrics(model.predict(rows, change=change))

    return corrupted_metrics(measured, model.task.corrupted, severities, progress)


def baseline(config: Mapping[str, Any], catalog: Catalog, rows: Catalog) -> Predictions | str:
    """Predictions of the frozen net that a training started from for the photos that a model is measured on.

    Args:
        config: The model's.
        catalog: Whose `train` rows regressions are fitted on, and whose `validation` rows choose their strength.
        rows: The measured ones.

    Returns:
        Predictions as the model gives them, or why there is nothing to compare it with.
    """
    from vitrine.evaluation.frozen import FrozenNet

    frozen = FrozenNet.of(config)
    if isinstance(frozen, str):
        return frozen
    predictions: Predictions | str = tasks.get(config["task"]).baseline(frozen, config, learnable(catalog), rows)
    return predictions


def _constant_metrics(blind: Predictions) -> dict[str, float]:
    """The figures that decide and that journals name, of the constant model."""
    task = tasks.get(blind.task)
    asked = {task.decides, *task.headlines}
    return {
        CONSTANT + key: value
        for key, value in compute_metrics(blind).items()
        if key in asked or key.partition("/")[2] == task.decides
    }


def _baseline_metrics(config: Mapping[str, Any], catalog: Catalog, rows: Catalog) -> dict[str, float]:
    predictions = baseline(config, catalog, rows)
    if isinstance(predictions, str):
        print(f"no baseline: {predictions}", file=sys.stderr, flush=True)
        return {}
    return prefixed(compute_metrics(predictions))
