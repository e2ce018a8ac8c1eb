"""One look of the monitor: new photos against every champion's reference, one decision, and how it went over time."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from vitrine import files, tasks
from vitrine.catalog import Catalog
from vitrine.errors import InputError
from vitrine.journal import Note, publish, run_folder, write_note
from vitrine.monitoring.drift import REFERENCE, Drift, compare_with_model
from vitrine.monitoring.labelling import LABEL, write_sheet
from vitrine.registry import Registry, pointer
from vitrine.report import Page, Tile
from vitrine.untrusted import parse_json

DECISION = "decision.json"
HISTORY = "monitor/history.jsonl"
SHOWN = 30  # looks on the page


@dataclass(frozen=True)
class Look:
    """One line of the history.

    Attributes:
        at: UTC, ISO 8601.
        run: The monitor's run.
        data_version: Of the new photos.
        photos: How many there were, after cleaning.
        drifted: Whether any champion's photos moved away.
        reason: The decision in words.
        furthest: Per task the signal furthest beyond its threshold and how far, in thresholds.
    """

    at: str
    run: str
    data_version: str
    photos: int
    drifted: bool
    reason: str
    furthest: dict[str, tuple[str, float]]


def watch(
    photos: Catalog, registry: str, task: str, reports: str, run_id: str, journal: Path, out: Path
) -> tuple[str, dict[str, float]]:
    """Compares new photos with the reference of each champion, and publishes the pages.

    Args:
        photos: The new photos, cleaned as the references' were.
        registry: Folder or `s3://` prefix of the model registry.
        task: Whose champion; "" for every task that has one.
        reports: Folder or `s3://` prefix of the runs' pages.
        run_id: The monitor's run.
        journal: Folder with the notes of the steps before.
        out: New folder: `decision.json`, `report.html`, `label.csv` and per task what `compare` writes.

    Returns:
        `drift` or `no drift`, and per task the furthest signal's distance in thresholds.

    Raises:
        InputError: if there is no champion with a reference, or photos, reference or model cannot be read.
    """
    references = find_references(registry, [task] if task else list(tasks.names()))
    if not references:
        wanted = f"champion of {task}" if task else "champion"
        raise InputError(f"{registry}: no {wanted} with a drift reference; run a training pipeline first")
    with files.new_folder(out) as folder:
        drifts = {
            name: compare_with_model(reference, photos, folder / name, looks=len(references))
            for name, reference in references.items()
        }
        latest = _look(photos, run_id, drifts)
        pointer.append(files.join(reports, HISTORY), json.dumps(asdict(latest), ensure_ascii=False))
        decision = {"drifted": latest.drifted, "reason": latest.reason, "photos": photos.address}
        files.write_json(folder / DECISION, decision)
        write_sheet(photos, folder / LABEL)
        page(latest, drifts, history(reports)).write(folder / "report.html")
    run = run_folder(reports, run_id)
    unsure = any(drift.unsure for drift in drifts.values())
    tone = "bad" if latest.drifted else "warn" if unsure else "good"
    figures = {f"{name}: signals that moved": _moved(drift) for name, drift in drifts.items()}
    note = Note("drift", "Drift", [latest.reason], tone, figures, due=["retraining"] if latest.drifted else ())
    write_note(out, note, out / "report.html", inherit=[journal])
    publish(out, run)
    for name in drifts:  # a summary page links these
        files.copy_folder(out / name, files.join(run, name))
    return "drift" if latest.drifted else "no drift", {name: ratio for name, (_, ratio) in latest.furthest.items()}


def find_references(registry: str, tasks: list[str]) -> dict[str, str]:
    """Where the champions' drift references are, by task; tasks without one are left out."""
    champions = {task: Registry(registry).champion(task) for task in tasks}
    places = {task: files.join(best.model, "drift") for task, best in champions.items() if best}
    return {task: place for task, place in places.items() if files.exists(files.join(place, REFERENCE))}


def history(reports: str) -> list[Look]:
    """Every look so far, oldest first."""
    uri = files.join(reports, HISTORY)
    data, _ = pointer.read(uri)
    try:
        looks = [Look(**parse_json(line)) for line in (data or b"").decode().split("\n") if line]
    except (ValueError, TypeError) as error:
        raise InputError(f"{uri}: cannot be read ({error})") from error
    return looks


def page(latest: Look, drifts: dict[str, Drift], history_of_looks: list[Look]) -> Page:
    """The decision, each task's comparison, and all looks over time."""
    unsure = any(drift.unsure for drift in drifts.values())
    quiet = "No drift" if any(drift.findings for drift in drifts.values()) else "Nothing compared"
    verdict, tone = ("Drift", "bad") if latest.drifted else (quiet, "warn" if unsure else "good")
    result = Page(
        "Monitor", f"{latest.photos:,} new photos · data version {latest.data_version or 'unknown'}", verdict, tone
    )
    result.text(latest.reason)
    result.tiles(Tile(f"{name}: signals that moved", _moved(drift)) for name, drift in drifts.items())
    result.heading("By model", "What was compared, signal by signal, is on the page of each.")
    result.table(["model", "decision"], [(name, drift.reason) for name, drift in drifts.items()])
    result.links((name, f"{name}/report.html", "the full comparison") for name in drifts)
    result.heading("Over time", "The furthest signal of each look, in thresholds: beyond 1 is drift. Bars end at 3.")
    shown = history_of_looks[-SHOWN:]
    worst = [max(other.furthest.values(), key=lambda pair: pair[1], default=("nothing", 0.0)) for other in shown]
    result.bars(
        (
            (f"{other.at[:16]} {signal}", min(ratio, 3.0), f"{ratio:.2f}")
            for other, (signal, ratio) in zip(shown, worst, strict=True)
        ),
        maximum=3.0,
    )
    result.table(
        ["when (UTC)", "data version", "photos", "decision"],
        [
            (other.at[:16].replace("T", " "), other.data_version[:12], other.photos, other.reason)
            for other in shown[::-1]
        ],
    )
    return result


def _look(photos: Catalog, run_id: str, drifts: dict[str, Drift]) -> Look:
    moved = {name: drift for name, drift in drifts.items() if drift.drifted}
    unsure = {name: drift for name, drift in drifts.items() if drift.unsure}
    first = next(iter((moved or unsure or drifts).values()))
    among = f" ({', '.join(moved)})" if moved and len(drifts) > 1 else ""
    worst = {
        name: max(drift.findings, key=lambda finding: finding.ratio) for name, drift in drifts.items() if drift.findings
    }
    furthest = {name: (finding.signal, finding.ratio) for name, finding in worst.items()}
    return Look(
        datetime.now(UTC).isoformat(timespec="seconds"),
        run_id,
        photos.data_version,
        len(photos),
        bool(moved),
        f"{first.reason}{among}",
        furthest,
    )


def _moved(drift: Drift) -> str:
    return f"{sum(finding.moved for finding in drift.findings)} of {len(drift.findings)}"
