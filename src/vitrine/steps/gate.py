"""Evaluating a candidate, comparing it with the champion, and what becomes of it."""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitrine import files, tasks
from vitrine.errors import InputError
from vitrine.evaluation import EXAMPLES, METRICS, REPORT, SAMPLES
from vitrine.journal import Note, draw_curves, publish_note, write_note
from vitrine.model import CURVES
from vitrine.registry import Champion, Registry, content_hash
from vitrine.report import percent
from vitrine.steps.data import open_table
from vitrine.steps.reuse import rows_digest, work_key
from vitrine.tasks.task import Task
from vitrine.words import counted

DRAWN = "curves.uri"  # beside an evaluation: the training's, drawn


def evaluate(model: Path, table: Path, out: Path, kept: str = "") -> dict[str, float]:
    """Figures and a page of a model on the test photos.

    Args:
        model: The model folder.
        table: Folder of the catalog.
        out: The new folder.
        kept: Folder or `s3://` prefix where evaluations are kept by the model, the rows (which name their photos by
            content) and the code that they are of: the same is not measured twice. "" = measure, and keep nothing.
    """
    place = files.join(kept, work_key(content_hash(model), rows_digest(table))) if kept else ""
    if place and files.exists(files.join(place, SAMPLES)):  # what `copy_folder` writes last, or with all others
        files.fetch_folder(place, out)
        found: dict[str, float] = files.read_json(out / METRICS)
        return found
    from vitrine.evaluate import evaluate as run

    figures = run(model, open_table(table), out)
    if curves := _curves(model):
        (out / DRAWN).write_text(draw_curves(curves), encoding="utf-8")
    if place:
        with contextlib.suppress(InputError):  # another run kept the same meanwhile
            files.copy_folder(out, place)
    return figures


def compare(
    task: str,
    model: Path,
    evaluation: Path,
    table: Path,
    registry: str,
    out: Path,
    min_gain: float,
    max_drop: float,
    only_compare: bool = False,
    allow_below_baseline: bool = False,
    min_value: float = 0.0,
    too_few: str = "promote",
) -> str:
    """`promote` or `refuse`: the candidate against the champion on the same test photos.

    With `only_compare` the answer is always `refuse`, and the reason says what it would have been.
    """
    from vitrine.registry.challenge import challenge

    asked = model, evaluation, open_table(table), Registry(registry), out
    decision = challenge(
        *asked,
        min_gain=min_gain,
        max_drop=max_drop,
        floor=min_value,
        too_few=too_few,
        only_compare=only_compare,
        allow_below_baseline=allow_below_baseline,
    )
    first = decision.comparisons[0] if decision.comparisons else None
    figures = {f"{task}: {first.key}": f"{first.candidate:.3f}"} if first and first.candidate is not None else {}
    chosen, drawn = tasks.get(task), evaluation / DRAWN
    measured = Note(
        f"evaluate-{task}",
        f"Evaluate: {chosen.title}",
        _headlines(chosen, evaluation),
        figures=figures,
        photos=files.read_json(evaluation / EXAMPLES),
        curves=_curves(model),
        drawn=drawn.read_text(encoding="utf-8") if drawn.exists() else "",
    )
    write_note(out, measured, evaluation / REPORT, inherit=[table])
    tone = "good" if decision.promote else "warn"
    write_note(out, Note(f"gate-{task}", f"Gate: {chosen.title}", [decision.reason], tone), out / "report.html")
    return "promote" if decision.promote else "refuse"


def promote(
    task: str,
    model: Path,
    evaluation: Path,
    decision: Path,
    reference: Path,
    registry: str,
    run: str,
    keep: int = 0,
    announce: Callable[[Champion, Sequence[str]], None] | None = None,
) -> None:
    """The candidate becomes the champion, its drift reference beside it; old versions are deleted.

    Args:
        task: What it answers.
        model: The candidate.
        evaluation: Its evaluation.
        decision: The gate's.
        reference: Its drift reference.
        registry: Folder or `s3://` prefix of the model registry.
        run: Folder or `s3://` prefix of the run's pages.
        keep: Newest versions that stay; 0 = all.
        announce: Tells others of the champion and of deleted versions. If it cannot, the promotion stands.

    Raises:
        InputError: if the champion is no longer the one that the gate compared with, or a model cannot be stored.
    """
    from vitrine.registry.challenge import DECISION

    decided = files.read_json(decision / DECISION)
    store = Registry(registry)
    figures = files.read_json(evaluation / METRICS)
    champion = store.promote(
        task,
        model,
        figures,
        decided["reason"],
        extra={"drift": reference},
        about=_about(decided, run),
        compared_with=decided["champion_version"] or "",
    )
    sentences, tone = [f"is now version {champion.version}, in {store.root}."], "good"
    gone: list[str] = []
    try:
        gone = store.prune(task, keep)
        sentences += [f"Deleted {counted(len(gone), 'old version')}: {', '.join(gone)}."] if gone else []
        if announce:
            announce(champion, gone)
    except InputError as error:  # what was promoted is in use all the same
        sentences, tone = [*sentences, f"What comes after could not be done: {error}."], "warn"
    publish_note(Note(f"promote-{task}", tasks.get(task).title, sentences, tone), run, [decision])


def refuse(task: str, evaluation: Path, decision: Path, registry: str, run: str) -> None:
    """The champion stays; the reason is kept."""
    from vitrine.registry.challenge import DECISION

    decided = files.read_json(decision / DECISION)
    figures = files.read_json(evaluation / METRICS)
    Registry(registry).refuse(task, str(decided["reason"]), figures, _about(decided, run))
    note = Note(f"refuse-{task}", tasks.get(task).title, ["was refused; the champion stays."], "warn")
    publish_note(note, run, [decision])


def _about(decided: Mapping[str, Any], run: str) -> dict[str, Any]:
    """What the history keeps of a gate: the run, and the champion's figures on the same photos."""
    against = {name: value for name, value in (decided["champion"] or {}).items() if math.isfinite(value)}
    return {"run": run.rstrip("/").rpartition("/")[2], "against": against}


def _curves(model: Path) -> Mapping[str, Any]:
    curves: Mapping[str, Any] = files.read_json(model / "config.json").get(CURVES, {})
    return curves


def _headlines(task: Task[Any], evaluation: Path) -> Sequence[str]:
    metrics = files.read_json(evaluation / METRICS)
    shown = ", ".join(f"{key} {metrics[key]:.3f}" for key in task.headlines if key in metrics)
    seconds = f"{metrics['seconds_per_1000_images']:.1f} s per 1,000 photos"
    measured = f"{shown} on {metrics['count']:.0f} test {task.counted}, {seconds}."
    if "decided_accuracy" not in metrics:
        return [measured]
    return [
        f"asks about {percent(metrics['asked'])}, right about {percent(metrics['decided_accuracy'])} of the rest.",
        measured,
    ]
