"""One look of the monitor: every champion with a reference is compared, one decision is made, looks add up."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from vitrine.catalog import Catalog
from vitrine.errors import InputError
from vitrine.evaluation.shift import Finding
from vitrine.journal import Note, write_note
from vitrine.monitoring import watch as watching
from vitrine.monitoring.drift import Drift
from vitrine.monitoring.watch import DECISION, find_references, history, watch
from vitrine.registry import Registry

PHOTOS = Catalog("/photos", pd.DataFrame({"image": [f"{i}.jpg" for i in range(8)]}), "v-7")


def finding(signal, distance):
    return Finding(signal, "statistic", distance, 0.1, 0.5, distance > 0.1, "mean 1 before, 2 now")


QUIET = Drift(False, "No drift: none of 2 signals moved.", (finding("contrast", 0.05), finding("tint", 0.01)))
MOVED = Drift(True, "Drift: brightness.", (finding("brightness", 0.4), finding("tint", 0.01)))


@pytest.fixture
def registry(tmp_path):
    """Champions of two tasks, one of them without a reference, and a third with one."""
    registry = Registry(tmp_path / "registry")
    for task in ("taxonomy", "attributes", "authenticity"):
        model = tmp_path / task
        model.mkdir()
        (model / "config.json").write_text(json.dumps({"task": task}))
        for name in ("model.safetensors", "metrics.json", "card.md"):
            (model / name).write_text("{}")
        (tmp_path / f"{task}-reference").mkdir()
        (tmp_path / f"{task}-reference/reference.json").write_text("{}")
        extra = {} if task == "authenticity" else {"drift": tmp_path / f"{task}-reference"}
        registry.promote(task, model, {}, "Promoted.", version=task, extra=extra)
    return registry.root


@pytest.fixture
def look(registry, tmp_path, monkeypatch):
    """One look with what the comparisons come to; returns its answer and what was asked of them."""
    (tmp_path / "before").mkdir()
    write_note(tmp_path / "before", Note("clean", "Clean", ["kept 8."]))
    count = 0

    def run(found, task=""):
        nonlocal count
        count += 1
        asked = []

        def compared(reference, photos, out, *, looks):
            name = reference.split("/versions/")[1].partition("/")[0]
            out.mkdir()
            (out / "report.html").write_text(f"<p>{name}</p>")
            asked.append((name, looks))
            return found[name]

        monkeypatch.setattr(watching, "compare_with_model", compared)
        out = tmp_path / f"out-{count}"
        answer = watch(PHOTOS, registry, task, str(tmp_path / "reports"), f"run-{count}", tmp_path / "before", out)
        return answer, asked, out

    return run


def test_one_champion_that_drifts_decides(look, tmp_path):
    (answer, figures), asked, out = look({"attributes": QUIET, "taxonomy": MOVED})
    assert answer == "drift"
    assert figures == pytest.approx({"attributes": 0.5, "taxonomy": 4.0})
    assert sorted(asked) == [("attributes", 2), ("taxonomy", 2)]  # they share the false alarm rate
    assert json.loads((out / DECISION).read_text()) == {
        "drifted": True,
        "reason": "Drift: brightness. (taxonomy)",
        "photos": "/photos",
    }
    assert len((out / "label.csv").read_text().splitlines()) == 1 + len(PHOTOS)
    (only,) = history(str(tmp_path / "reports"))
    assert (only.run, only.data_version, only.photos, only.drifted) == ("run-1", "v-7", 8, True)
    published = tmp_path / "reports/run-1"
    assert (published / "taxonomy/report.html").read_text() == "<p>taxonomy</p>"
    assert {path.name for path in published.iterdir()} >= {"clean.json", "drift.json", "drift.html"}


def test_looks_add_up(look, tmp_path):
    quiet = {"attributes": QUIET, "taxonomy": QUIET}
    for found in (quiet, {"attributes": QUIET, "taxonomy": MOVED}, quiet):
        (answer, _), _, out = look(found)
    assert answer == "no drift"
    assert [look.drifted for look in history(str(tmp_path / "reports"))] == [False, True, False]
    page = (out / "report.html").read_text()
    assert "No drift" in page
    assert "brightness" in page  # of the look before
    assert page.count("v-7") >= 3


def test_a_line_of_the_history_may_hold_any_character(look, tmp_path):
    odd = Drift(True, "Drift: level1 has labels a\u2028b\x85c.", MOVED.findings)
    for _ in range(2):
        look({"attributes": QUIET, "taxonomy": odd})
    assert [look.reason for look in history(str(tmp_path / "reports"))] == [f"{odd.reason} (taxonomy)"] * 2


def test_the_furthest_signal_is_told_wherever_it_stands(look):
    """New labels stand before all others, however few they are."""
    new = Finding("level1", "new labels", 1.0, 45.0, 0.9, False, "never in the reference: x (1)")
    (_, figures), _, _ = look({"taxonomy": replace(MOVED, findings=(new, *MOVED.findings))}, task="taxonomy")
    assert figures == pytest.approx({"taxonomy": 4.0})


def test_nothing_compared_is_not_passed_over(look):
    nothing = Drift(False, "Nothing could be compared (readable: too few photos).", ())
    _, _, out = look({"attributes": QUIET, "taxonomy": nothing})
    assert json.loads((out / DECISION).read_text())["reason"] == nothing.reason


def test_one_task_alone(look):
    (answer, figures), asked, _ = look({"attributes": QUIET}, task="attributes")
    assert (answer, list(figures), asked) == ("no drift", ["attributes"], [("attributes", 1)])


def test_without_a_reference_there_is_nothing_to_look_at(look, registry, tmp_path):
    assert list(find_references(registry, ["taxonomy", "authenticity", "matching"])) == ["taxonomy"]
    with pytest.raises(InputError, match="no champion of authenticity with a drift reference"):
        look({}, task="authenticity")
    assert not (tmp_path / "out-1").exists()
    with pytest.raises(InputError, match="no champion with a drift reference"):
        watch(PHOTOS, str(tmp_path / "none"), "", str(tmp_path / "reports"), "r", tmp_path / "before", tmp_path / "o")


def test_a_history_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor/history.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="cannot be read"):
        history(str(tmp_path))
