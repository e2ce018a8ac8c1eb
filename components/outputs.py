"""Handing results to the Kubeflow UI."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Metrics


def stamp(source: Path | str, *artifacts: Artifact) -> None:
    """Shows in the metadata of artifacts which data (and code) a table or a model was made with."""
    from vitrine.steps import lineage

    for artifact in artifacts:
        artifact.metadata.update(lineage(source))


def show_page(artifact: HTML, page: Path) -> None:
    """Shows a page in the UI."""
    Path(artifact.path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(page, artifact.path)


def show_metrics(artifact: Metrics, figures: Mapping[str, float]) -> None:
    """Shows figures in the UI; the file is written too, because a local cache looks for it."""
    for name, value in figures.items():
        artifact.log_metric(name, value)
    _write(artifact.path, dict(figures))


def show_confusion(artifact: ClassificationMetrics, confusion: Path) -> None:
    """Shows a confusion matrix and a ROC curve in the UI."""
    found = json.loads(confusion.read_text(encoding="utf-8"))
    artifact.log_confusion_matrix(found["categories"], found["matrix"])
    artifact.log_roc_curve(**found["roc"])
    _write(artifact.path, found)


def _write(path: str, value: object) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(value), encoding="utf-8")
