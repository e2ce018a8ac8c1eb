"""Drift: what new photos are compared with, comparing them, and the retraining that it asks for."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from vitrine import files
from vitrine.errors import InputError
from vitrine.journal import Note, publish_note, run_folder
from vitrine.registry import Registry
from vitrine.steps.data import open_table


def drift_reference(model: Path, table: Path, out: Path) -> None:
    """What later photos are compared with: statistics and answers of the model on photos that it was not trained on.

    The labels that are no news are those of the training photos. The registry keeps it in a folder of the model's own,
    so the model is found one folder up.
    """
    from vitrine.evaluation.shift import LEAST_PHOTOS
    from vitrine.monitoring.drift import build_reference
    from vitrine.predict import Model
    from vitrine.quality.clean import RARE_LABELS
    from vitrine.registry.store import content_hash

    loaded = Model.load(model)
    catalog = open_table(table)
    learnt = catalog.of_split("train")
    held_out = catalog.with_table(catalog.table[catalog.table["split"].isin(["validation", "test"])])
    shown = held_out if len(held_out) >= 2 * LEAST_PHOTOS else learnt  # a split may hold next to nothing out
    rare = files.read_json(table / RARE_LABELS) if (table / RARE_LABELS).is_file() else {}
    answers, content = loaded.predict(shown), content_hash(model)
    build_reference(shown, out, answers, model="..", rare=rare, learnt=learnt, content=content)


def detect_drift(
    table: Path, registry: str, task: str, reports: str, run_id: str, out: Path
) -> tuple[str, dict[str, float]]:
    """New photos against the drift reference of each champion; publishes what the steps so far decided.

    Every look is added to `monitor/history.jsonl` below `reports`.

    Returns:
        `drift` or `no drift`, and figures.

    Raises:
        InputError: if there is no champion with a reference.
    """
    from vitrine.monitoring.watch import watch

    return watch(open_table(table), registry, task, reports, run_id, table, out)


def learns_from(catalog: str, revision: str) -> str:
    """The version of the data that a training on a catalog would learn from; "" where it cannot be read from here."""
    from vitrine.catalog.fetch import asked_version, fetch

    try:
        if catalog.endswith(".dvc"):
            return asked_version(catalog, revision)
        with tempfile.TemporaryDirectory() as folder:
            return fetch(catalog, Path(folder) / "table", revision, photos=False).data_version
    except (InputError, OSError):
        return ""


def request_retraining(
    drift: Path,
    state: str,
    registry: str,
    reports: str,
    run_id: str,
    start: Callable[[], str] | None,
    busy: Callable[[], str],
    failed: Callable[[str], bool] = lambda run: False,
    data: str = "",
    trained: Sequence[str] = (),
) -> str:
    """Starts a retraining that drift asks for, at most one at a time and one for each state of the data.

    Where there is nothing new to learn from, the run's pages hold photos to label instead.

    Args:
        drift: What `detect_drift` wrote.
        state: The state of the data that drifted.
        registry: Folder or `s3://` prefix of the model registry.
        reports: Folder or `s3://` prefix of the runs' pages.
        run_id: The monitor's run.
        start: Starts the run and returns its name; None where there is no cluster.
        busy: Names a retraining that is still going, or "".
        failed: Whether a run ended without success.
        data: Version of the data that the retraining would learn from; "" starts it whatever was learnt.
        trained: The tasks that it trains.

    Returns:
        What became of it.
    """
    from vitrine.monitoring import labelling
    from vitrine.monitoring.retraining import request
    from vitrine.monitoring.watch import DECISION

    run, decision = run_folder(reports, run_id), files.read_json(drift / DECISION)
    learnt = {best.data_version for task in trained if (best := Registry(registry).champion(task))}
    asked = request(
        registry, state, str(decision["reason"]), run_id, start, busy, failed=failed, data=data, learnt=learnt
    )
    note = Note("retraining", "Retraining", [asked.reason], "good" if asked.started else "warn")
    if not asked.known:
        publish_note(note, run, [drift])
        return asked.reason
    sheet = drift / labelling.LABEL
    files.write_bytes(files.join(run, sheet.name), sheet.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        labelling.page(sheet, str(decision["photos"]), asked.reason).write(page)
        publish_note(note, run, [drift], page)
    return asked.reason
