"""What each step of a run decided, kept where the next step finds it, and the summary page made of it.

A table that goes from step to step carries the notes of the steps before it in a folder beside it (`journal/`): one
JSON file and one page for each. So the notes arrive wherever the table does, on a laptop or through an object store,
and a step served from a cache brings its notes along.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vitrine import files
from vitrine.progress import lasting
from vitrine.report import Page, Photo, Tile, draw
from vitrine.untrusted import parse_json, plain

FOLDER = "journal"
BEGAN = time.monotonic()  # of this process, which in a pipeline is a step's
SIGN = "»"  # begins the lines of a log that are for people
WELL = ("SUCCEEDED", "COMPLETE", "CACHED")  # how the Pipelines API and ML Metadata call a good end
BADLY = ("FAILED", "ERROR")
TERMINATED = ("CANCELING", "CANCELED", "CANCELLED")


@dataclass(frozen=True)
class Note:
    """One step's account.

    Attributes:
        step: Its name, unique within a run, e.g. `clean` or `compare-TASK`.
        title: In plain words.
        decided: Sentences, the important one first.
        tone: "", "good", "warn" or "bad".
        figures: For the summary's tiles.
        photos: Thumbnails with captions, for the summary.
        data_version: Of the data it brought in, for the summary's head.
        at: When, UTC.
        due: Steps that the run has to come to after this one; `a|b` is either.
        seconds: From the beginning of its process on.
        curves: Of a training, by its parts: `loss` and `score` of each pass, and what is `scored`.
        drawn: The same, as `draw_curves` draws it; "" = the summary does.
    """

    step: str
    title: str
    decided: Sequence[str]
    tone: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
    photos: Sequence[Mapping[str, object]] = ()
    data_version: str = ""
    at: str = ""
    due: Sequence[str] = ()
    seconds: float = 0.0
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    drawn: str = ""


def write_note(folder: Path, note: Note, report: Path | None = None, inherit: Sequence[Path] = ()) -> None:
    """Adds a note (and its page) to `folder`/journal, after the notes of what the step was made from.

    The sentences are printed too, so that a log tells the same story.
    """
    journal = Path(folder) / FOLDER
    journal.mkdir(parents=True, exist_ok=True)
    for source in inherit:
        if (Path(source) / FOLDER).is_dir():
            shutil.copytree(Path(source) / FOLDER, journal, dirs_exist_ok=True)
    stamped = asdict(note) | {"at": note.at or datetime.now(UTC).isoformat(timespec="milliseconds")}
    stamped["seconds"] = note.seconds or round(time.monotonic() - BEGAN, 1)
    (journal / f"{note.step}.json").write_text(json.dumps(stamped, ensure_ascii=False), encoding="utf-8")
    if report is not None:
        shutil.copyfile(report, journal / f"{note.step}.html")
    tell(note.title, note.decided)


def tell(title: str, sentences: Iterable[str]) -> None:
    """Prints what a step decided, for those who read its log."""
    for sentence in sentences:
        print(f"{SIGN} {title}: {sentence}", flush=True)


def publish(folder: Path, run: str) -> None:
    """Copies a step's journal to a run's folder or `s3://` prefix, where `summarise` reads it."""
    for path in sorted((Path(folder) / FOLDER).iterdir()):
        files.write_bytes(files.join(run, path.name), path.read_bytes())


def publish_note(note: Note, run: str, inherit: Sequence[Path] = (), report: Path | None = None) -> None:
    """Publishes a note (and its page), after the notes of what the step was made from, to a run's folder or prefix."""
    with tempfile.TemporaryDirectory() as folder:
        write_note(Path(folder), note, report, inherit)
        publish(Path(folder), run)


def run_folder(reports: str, run_id: str) -> str:
    """Where one run's pages are."""
    return files.join(reports, run_id)


def summarise(
    run: str,
    state: str,
    error: str = "",
    title: str = "retrain",
    due: Sequence[str] = (),
    last_lines: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Writes the run's one page, `summary.html` beside its journal, and returns its address.

    On a cluster nobody tells a run's last step how the others ended: its state is `RUNNING` however they did. So the
    verdict is that of the journal: whether all steps that were due left their notes.

    Args:
        run: The run's folder or `s3://` prefix.
        state: What is said of the run's end, in the words of Kubeflow or of ML Metadata.
        error: What is known of the failure.
        title: The pipeline's name.
        due: Steps that the run has to come to, beside those that its notes name; see `Note`.
        last_lines: What each step that failed said last, by its name; the page ends with it.
    """
    notes = _read_notes(run)
    missing = not_reached(notes, due)
    promoted = [note for note in notes if note.step.startswith("promote")]
    refused = [note for note in notes if note.step.startswith("refuse")]
    scored = [note for note in notes if note.step == "score"]
    watched = [note for step in ("drift", "retraining") for note in notes if note.step == step]
    versions = [f"data version {note.data_version}" for note in notes if note.data_version]
    page = Page(f"Run of {title}", " · ".join([_when(notes), *versions]))
    if state in TERMINATED:
        page.verdict, page.tone = "Failed: it was terminated", "bad"
    elif state in BADLY or missing:
        page.verdict, page.tone = "Failed", "bad"
    elif not notes and state not in WELL:
        page.verdict, page.tone = "Unknown: it left nothing, and nobody says how it ended", "warn"
    elif watched:
        # Not of the newest note: a step that was reused may have run while the clock was ahead.
        page.verdict, page.tone = watched[-1].decided[0], watched[-1].tone
    elif scored:
        page.verdict, page.tone = "Scored", scored[-1].tone
    elif promoted:
        page.verdict, page.tone = "Promoted: " + ", ".join(note.title for note in promoted), "good"
    elif refused:
        page.verdict, page.tone = "Nothing promoted; the champions stay", "warn"
    else:
        page.verdict, page.tone = "Nothing to train in this catalog", "warn"
    if error:
        page.text(error)
    if missing:
        page.text(f"It did not come to: {', '.join(step.replace('|', ' or ') for step in missing)}.")
    page.tiles(Tile(label, value, note.tone) for note in notes for label, value in note.figures.items())
    for note in notes:
        if note.photos:
            page.heading(note.title, "Photos of the test split, which no model was trained on.")
            page.photos(Photo(photo["thumbnail"], photo["caption"], photo["tone"]) for photo in note.photos)  # type: ignore[arg-type]
    page.heading(
        "What each step decided",
        "In the order the steps ran. Seconds count from the beginning of a step's process; those that decide several "
        "things, such as evaluating and promoting, name each.",
    )
    page.table(
        ["step", "decision", "ended, UTC", "took"],
        [[note.title, " ".join(note.decided), note.at[:19].replace("T", " "), lasting(note.seconds)] for note in notes],
    )
    for note in notes:
        if note.curves:
            page.heading(
                f"{note.title}: pass by pass", "Loss on the training photos, and the figure of the validation photos."
            )
            page.drawn(note.drawn or draw_curves(note.curves), "loss and validation figure of each pass")
    page.heading("The full reports")
    names = {name.rpartition("/")[2] for name in _names(run)}
    page.links(
        (note.title, f"{note.step}.html", note.decided[0] if note.decided else "")
        for note in notes
        if f"{note.step}.html" in names
    )
    for step, lines in (last_lines or {}).items():
        page.heading(f"What {step} said last")
        page.code(lines)
    address = files.join(run, "summary.html")
    files.write_bytes(address, page.render().encode())
    return address


def draw_curves(curves: Mapping[str, Mapping[str, Any]]) -> str:
    """Losses on the left, validation figures on the right, a line for each part of the training; a `data:` address."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    loss, score = figure.subplots(1, 2)
    for title, curve in curves.items():
        passes = range(1, len(curve["loss"]) + 1)
        name = title[:40]
        loss.plot(passes, curve["loss"], marker="o", markersize=3, label=plain(name))
        points = [(place, value) for place, value in zip(passes, curve["score"], strict=True) if value is not None]
        if points:
            score.plot(
                *zip(*points, strict=True),
                marker="o",
                markersize=3,
                label=plain(f"{name}: {curve['scored'][:30]}"),
            )
    for axes, what in ((loss, "loss"), (score, "validation")):
        axes.set(xlabel="pass", ylabel=what)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False, fontsize=7)
    return draw(figure)


def decisions(run: str) -> list[str]:
    """What the steps of a run decided, a line each, in the order they ran."""
    return [f"{note.title}: {sentence}" for note in _read_notes(run) for sentence in note.decided]


def not_reached(notes: Sequence[Note], due: Sequence[str] = ()) -> list[str]:
    """The steps that were due, by `due` or by a note, and left no note."""
    reached = {note.step for note in notes}
    asked = dict.fromkeys([*due, *(step for note in notes for step in note.due)])
    return [step for step in asked if reached.isdisjoint(step.split("|"))]


def _read_notes(run: str) -> list[Note]:
    pages = [name for name in _names(run) if "/" not in name.removeprefix(files.join(run, ""))]  # folders hold reports
    notes = [Note(**parse_json(files.read_bytes(name))) for name in pages if name.endswith(".json")]
    return sorted(notes, key=lambda note: note.at)


def _names(run: str) -> list[str]:
    if not files.is_s3(run) and not Path(run).is_dir():
        return []
    return [files.join(run, name) for name in files.list_folder(run)]


def _when(notes: Sequence[Note]) -> str:
    return f"{notes[-1].at[:16].replace('T', ' ')} UTC" if notes else ""
