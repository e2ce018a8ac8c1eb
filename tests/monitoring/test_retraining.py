"""One retraining at a time and one per state of the data, in a folder and on S3."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from vitrine import files
from vitrine.errors import InputError
from vitrine.monitoring.retraining import CLAIM_LASTS, KEPT, request, retrainings
from vitrine.registry import pointer

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture(params=["local", "s3"])
def registry(request, tmp_path):
    return str(tmp_path / "registry") if request.param == "local" else f"{request.getfixturevalue('bucket')}/models"


class Runs:
    """Starts runs and says which one is going."""

    def __init__(self):
        self.started, self.busy = [], ""

    def start(self):
        self.started.append(f"run-{len(self.started) + 1}")
        return self.started[-1]


@pytest.fixture
def runs():
    return Runs()


@pytest.fixture
def ask(registry, runs):
    def run(state="s1", monitor="m1", now=NOW, **other):
        given = {"start": runs.start, "busy": lambda: runs.busy, **other}
        return request(registry, state, "Drift: brightness.", monitor, now=now, **given)

    return run


def test_one_for_each_state_and_none_while_one_is_going(ask, runs, registry):
    assert ask().started
    assert runs.started == ["run-1"]
    again = ask(monitor="m2")
    assert (again.started, again.reason) == (False, "this state of the data was retrained on before, by run run-1.")
    runs.busy = "retrain of yesterday"
    going = ask("s2")
    assert (going.started, "retrain of yesterday is still going" in going.reason) == (False, True)
    runs.busy = ""
    assert ask("s2").reason == "started run run-2."
    assert [(entry.state, entry.run, entry.at) for entry in retrainings(registry)] == [
        ("s1", "run-1", "2026-11-25T12:00:00+00:00"),
        ("s2", "run-2", "2026-11-25T12:00:00+00:00"),
    ]


def test_a_retraining_that_failed_is_asked_for_again_twice(ask, runs, registry):
    failed = {"run-1", "run-2", "run-3"}
    for number in (1, 2, 3):
        assert ask(failed=failed.__contains__).reason == f"started run run-{number}."
    last = ask(failed=failed.__contains__)
    assert (last.started, last.known) == (False, False)
    assert last.reason == "3 retrainings on this state of the data failed, the last is run run-3."
    assert "by run run-3" in ask(failed={"run-1", "run-2"}.__contains__).reason
    assert len(runs.started) == len(retrainings(registry)) == 3


def test_data_are_learnt_from_once(ask, runs):
    """Other photos drift, and what would be trained on is what it was."""
    known = ask(data="v1", learnt={"v1"})
    assert (known.started, known.known) == (False, True)
    assert ask(data="v2", learnt={"v1"}).started
    again = ask("s2", data="v2", learnt={"v1"})  # its models were refused
    assert (again.started, again.known) == (False, True)
    assert again.reason == "run run-1 learnt from this data before (version v2)."
    assert ask("s2", data="v2", failed={"run-1"}.__contains__).started
    assert ask("s3").started  # told to, whatever was learnt
    assert runs.started == ["run-1", "run-2", "run-3"]


def test_what_was_written_before_data_were_noted_is_read(ask, registry):
    old = {"state": "s1", "reason": "", "monitor": "m0", "at": NOW.isoformat(), "run": "r0"}
    pointer.replace(files.join(registry, "retraining.json"), json.dumps([old]).encode(), "")
    assert "by run r0" in ask().reason
    assert ask("s2", data="v1").started


def test_of_two_at_once_one_starts(ask, runs, registry):
    """The second asks after the first has read the list and before it writes."""
    inner = []

    def busy():
        inner.append(ask("s1", "m2"))
        return ""

    outer = ask(busy=busy)
    assert (inner[0].started, outer.started) == (True, False)
    assert outer.reason == "another monitor is starting a retraining at this moment."
    assert runs.started == ["run-1"]
    assert [entry.monitor for entry in retrainings(registry)] == ["m2"]


def test_while_one_is_starting_no_other_does(ask, runs):
    inner = []

    def start():
        inner.append(ask("s2", "m2", now=NOW + timedelta(minutes=1)))
        return "slow"

    assert ask(start=start).reason == "started run slow."
    assert inner[0].reason == "monitor m1 is starting a retraining at this moment."
    assert runs.started == []


def test_a_monitor_that_was_killed_gives_way_after_a_while(ask, registry):
    def killed():
        raise SystemExit

    with pytest.MonkeyPatch.context() as patch:
        # Killed: it could not take its claim back.
        real, writes = pointer.replace, []
        patch.setattr(pointer, "replace", lambda *given: writes.append(given) or (len(writes) == 1 and real(*given)))
        with pytest.raises(SystemExit):
            ask(start=killed)
    assert retrainings(registry) == []
    assert not ask(monitor="m2", now=NOW + CLAIM_LASTS / 2).started
    assert ask(monitor="m3", now=NOW + CLAIM_LASTS * 1.1).started


@pytest.mark.parametrize("year", [timedelta(days=365), timedelta(days=-365)])
def test_a_claim_by_a_clock_that_was_wrong_holds_nobody_up(ask, registry, year):
    claim = {"state": "s0", "reason": "", "monitor": "m0", "at": (NOW + year).isoformat(), "run": ""}
    pointer.replace(files.join(registry, "retraining.json"), json.dumps([claim]).encode(), "")
    assert ask().started


def test_what_could_not_be_started_is_no_claim(ask, registry):
    def refused():
        raise InputError("403")

    with pytest.raises(InputError, match="403"):
        ask(start=refused)
    assert json.loads(files.read_bytes(files.join(registry, "retraining.json"))) == []
    assert ask().started


def test_the_list_stays_short(ask, registry):
    old = [{"state": f"o{i}", "reason": "", "monitor": "", "at": NOW.isoformat(), "run": f"r{i}"} for i in range(600)]
    pointer.replace(files.join(registry, "retraining.json"), json.dumps(old).encode(), "")
    assert ask().started
    assert len(retrainings(registry)) == KEPT + 1
    files.write_bytes(files.join(registry, "retraining.json"), b"[3]")
    with pytest.raises(InputError, match="does not list retrainings"):
        ask("s3")
