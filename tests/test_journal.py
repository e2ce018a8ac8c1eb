"""Notes go along with the table; the summary says what became of a run and shows hostile text as text."""

import json
import re
from pathlib import Path

import pytest

from vitrine import files
from vitrine.journal import Note, draw_curves, publish, summarise, write_note

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(params=["local", "s3"])
def run(request, tmp_path):
    """Where a run's pages go."""
    return str(tmp_path / "run") if request.param == "local" else f"{request.getfixturevalue('bucket')}/runs/7"


def page_of(address: str) -> str:
    return files.read_bytes(address).decode()


def text_of(page: str) -> str:
    body = page.partition("</style>")[2]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def notes(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "journal").iterdir())


def test_notes_are_inherited_along_a_chain(tmp_path, capsys):
    page = tmp_path / "report.html"
    page.write_text("a page")
    write_note(tmp_path / "a", Note("fetch", "Fetch", ["12 rows."]))
    write_note(tmp_path / "b", Note("clean", "Clean", ["kept 10.", "Dropped 2."]), page, inherit=[tmp_path / "a"])
    write_note(tmp_path / "c", Note("split", "Split", ["7, 1, 2."]), inherit=[tmp_path / "b", tmp_path / "none"])
    assert notes(tmp_path / "a") == ["fetch.json"]
    assert notes(tmp_path / "c") == ["clean.html", "clean.json", "fetch.json", "split.json"]
    assert (tmp_path / "c" / "journal" / "clean.html").read_text() == "a page"
    assert capsys.readouterr().out.splitlines() == [
        "» Fetch: 12 rows.",
        "» Clean: kept 10.",
        "» Clean: Dropped 2.",
        "» Split: 7, 1, 2.",
    ]


def test_two_branches_meet_in_one_run(tmp_path, run):
    write_note(tmp_path / "front", Note("clean", "Clean", ["kept 10."], at="2026-01-01T00:00:00"))
    for hour, task in enumerate(("attributes", "taxonomy"), 1):
        note = Note(f"gate-{task}", f"Gate {task}", ["passed."], at=f"2026-01-01T0{hour}:00:00")
        write_note(tmp_path / task, note, inherit=[tmp_path / "front"])
        publish(tmp_path / task, run)
    assert files.list_folder(run) == ["clean.json", "gate-attributes.json", "gate-taxonomy.json"]
    text = text_of(page_of(summarise(run, "SUCCEEDED")))
    assert text.count("kept 10.") == 1
    order = [text.index(part) for part in ("kept 10.", "Gate attributes", "Gate taxonomy")]
    assert order == sorted(order)
    assert "2026-01-01 02:00 UTC" in text


def test_the_summary_links_only_pages_that_are_there(tmp_path, run):
    page = tmp_path / "report.html"
    page.write_text("a page")
    write_note(tmp_path / "t", Note("clean", "Clean", ["kept 10."], figures={"photos kept": "10"}), page)
    write_note(tmp_path / "t", Note("split", "Split", ["7, 1, 2."]))
    publish(tmp_path / "t", run)
    html = page_of(summarise(run, "SUCCEEDED", title="monitor"))
    assert re.findall(r'href="([^"]+)"', html) == ["clean.html"]
    assert "Run of monitor" in html
    assert "photos kept" in html
    assert "summary.html" in files.list_folder(run)


@pytest.mark.parametrize(
    ("state", "steps", "verdict"),
    [
        ("SUCCEEDED", ["clean", "promote-taxonomy"], "Promoted: Promote-Taxonomy"),
        ("SUCCEEDED", ["promote-attributes", "refuse-taxonomy"], "Promoted: Promote-Attributes"),
        ("SUCCEEDED", ["clean", "refuse-taxonomy"], "Nothing promoted; the champions stay"),
        ("SUCCEEDED", ["clean"], "Nothing to train in this catalog"),
        ("FAILED", ["clean", "promote-taxonomy"], "Failed"),
        ("CANCELLED", [], "Failed"),
    ],
)
def test_verdicts(tmp_path, state, steps, verdict):
    for step in steps:
        write_note(tmp_path / "t", Note(step, step.title(), ["so it is."]))
    if steps:
        publish(tmp_path / "t", str(tmp_path / "run"))
    text = text_of(page_of(summarise(str(tmp_path / "run"), state, "it broke" if state != "SUCCEEDED" else "")))
    assert verdict in text
    assert ("it broke" in text) == (state != "SUCCEEDED")
    assert ("Failed" in text) == (state != "SUCCEEDED")


# What a cluster says to a run's last step, whatever became of the others.
SAID = ("RUNNING", "COMPLETE", "CACHED", "RUNTIME_STATE_UNSPECIFIED", "")


@pytest.mark.parametrize("state", SAID)
def test_the_verdict_is_that_of_what_the_steps_left(tmp_path, run, state):
    write_note(tmp_path / "t", Note("tasks", "Tasks", ["both."], due=["promote-a|refuse-a", "promote-b|refuse-b"]))
    publish(tmp_path / "t", run)
    text = text_of(page_of(summarise(run, state, due=["tasks"])))
    assert "Failed" in text
    assert "It did not come to: promote-a or refuse-a, promote-b or refuse-b." in text
    write_note(tmp_path / "t", Note("promote-a", "A", ["is now version 1."]))
    publish(tmp_path / "t", run)
    text = text_of(page_of(summarise(run, state, due=["tasks"])))
    assert "Failed" in text
    assert "It did not come to: promote-b or refuse-b." in text
    write_note(tmp_path / "t", Note("refuse-b", "B", ["was refused."]))
    publish(tmp_path / "t", run)
    text = text_of(page_of(summarise(run, state, due=["tasks"])))
    assert "Promoted: A" in text
    assert "Failed" not in text
    assert "did not come to" not in text
    assert "Failed" in text_of(page_of(summarise(run, "FAILED", due=["tasks"])))
    assert "Failed: it was terminated" in text_of(page_of(summarise(run, "CANCELING", due=["tasks"])))


@pytest.mark.parametrize("state", SAID)
def test_a_run_that_left_nothing_of_what_was_due_failed(run, state):
    text = text_of(page_of(summarise(run, state, due=["drift"])))
    assert "Failed" in text
    assert "It did not come to: drift." in text


def test_unknown_is_said_only_where_nothing_is_known(run):
    assert "Unknown" in page_of(summarise(run, "RUNNING"))
    assert "Unknown" not in page_of(summarise(run, "COMPLETE"))


def test_the_monitors_verdict_is_its_own_though_a_reused_step_has_a_clock_that_was_ahead(tmp_path, run):
    write_note(tmp_path, Note("validate", "Validate", ["passed."], "good", at="2031-01-01T00:00:00"))
    write_note(tmp_path, Note("retraining", "Retraining", ["a retraining is due."], "bad", at="2030-01-02T00:00:00"))
    write_note(tmp_path, Note("drift", "Drift", ["brightness moved."], "bad", at="2030-01-01T00:00:00"))
    publish(tmp_path, run)
    assert '<span class="verdict bad">a retraining is due.</span>' in page_of(summarise(run, "SUCCEEDED"))


def test_a_run_that_left_nothing_has_a_summary_too(run):
    assert "Failed" in page_of(summarise(run, "FAILED", "data-version: no such folder"))


def test_hostile_text_stays_text(tmp_path, run):
    photo = {"thumbnail": None, "caption": [HOSTILE], "tone": "bad"}
    note = Note("clean", HOSTILE, [HOSTILE], figures={HOSTILE: HOSTILE}, photos=[photo])
    page = tmp_path / "report.html"
    page.write_text("a page")
    write_note(tmp_path / "t", note, page)
    publish(tmp_path / "t", run)
    html = page_of(summarise(run, "FAILED", HOSTILE, title=HOSTILE))
    assert HOSTILE not in html
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 8


def test_text_of_any_script_survives(tmp_path):
    write_note(tmp_path / "t", Note("clean", "Čistění", ["衬衫 5 ✓"]))
    publish(tmp_path / "t", str(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "clean.json").read_text(encoding="utf-8"))["decided"] == ["衬衫 5 ✓"]
    assert "衬衫 5 ✓" in page_of(summarise(str(tmp_path / "run"), "SUCCEEDED"))


def test_a_failed_run_ends_with_what_its_step_said_last(tmp_path, run):
    write_note(tmp_path / "t", Note("clean", "Clean", ["kept 10."]))
    publish(tmp_path / "t", run)
    lines = ["loading", "RuntimeError: <b>out of memory</b>"]
    html = page_of(summarise(run, "FAILED", "step train failed", last_lines={"train": lines}))
    assert text_of(html).index("The full reports") < text_of(html).index("What train said last")
    assert "<pre>loading\nRuntimeError: &lt;b&gt;out of memory&lt;/b&gt;</pre>" in html


def test_the_page_says_how_long_steps_took_and_draws_their_trainings(tmp_path, run):
    curves = {"taxonomy $x$": {"loss": [2.0, 1.0], "score": [None, 0.5], "scored": "leaf top1"}}
    write_note(tmp_path / "t", Note("evaluate", "Evaluate", ["0.5."], seconds=5000.0, curves=curves))
    write_note(tmp_path / "t", Note("clean", "Clean", ["kept 10."]))
    publish(tmp_path / "t", run)
    html = page_of(summarise(run, "SUCCEEDED"))
    assert "1 h 23 min" in text_of(html)
    assert "Evaluate: pass by pass" in text_of(html)
    assert html.count('alt="loss and validation figure of each pass"') == 1
    kept = json.loads((tmp_path / "t/journal/clean.json").read_text())
    assert kept["seconds"] > 0


def test_a_training_that_was_drawn_is_not_drawn_again(tmp_path, run, monkeypatch):
    curves = {"taxonomy": {"loss": [2.0, 1.0], "score": [None, 0.5], "scored": "leaf top1"}}
    drawn = draw_curves(curves)
    write_note(tmp_path / "t", Note("evaluate", "Evaluate", ["0.5."], curves=curves, drawn=drawn))
    publish(tmp_path / "t", run)
    monkeypatch.setattr("vitrine.journal.draw_curves", lambda curves: pytest.fail("drawn again"))
    assert drawn.startswith("data:image/png;base64,")
    assert f'src="{drawn}"' in page_of(summarise(run, "SUCCEEDED"))
