"""Handing results to the Kubeflow UI, and what a pod finds ready in its image."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Metrics

FONTS = "share/vitrine/matplotlib"  # below the environment of the image


def bring_fonts() -> None:
    """Puts the image's list of fonts where matplotlib looks for it, and would else make it anew in each pod."""
    folder = os.environ.get("MPLCONFIGDIR") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    target = Path(folder) if "MPLCONFIGDIR" in os.environ else Path(folder) / "matplotlib"
    made = Path(sys.prefix) / FONTS
    if made.is_dir() and not target.exists():
        with contextlib.suppress(OSError):  # then matplotlib makes it
            shutil.copytree(made, target)


def quicken() -> None:
    """Has Python spare itself what it does in vain while a step loads its libraries."""
    from vitrine.memory import collect_seldom

    collect_seldom()


def stamp(source: Path | str, *artifacts: Artifact) -> None:
    """Shows in the metadata of artifacts which data (and code) a table or a model was made with."""
    from vitrine.steps.data import lineage

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
    matrix = json.loads(confusion.read_text(encoding="utf-8"))
    artifact.log_confusion_matrix(matrix["categories"], matrix["matrix"])
    artifact.log_roc_curve(**matrix["roc"])
    _write(artifact.path, matrix)


def _write(path: str, value: object) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(value), encoding="utf-8")


bring_fonts()
quicken()
