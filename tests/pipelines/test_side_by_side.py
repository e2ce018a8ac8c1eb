"""The order that tasks of a DAG are run in on this machine, and how many at a time."""

import contextvars
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from kfp.local.io import IOStore
from kfp.local.status import Status
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineTaskSpec

from pipelines import side_by_side
from pipelines.packages import load
from pipelines.side_by_side import (
    NEEDED,
    Rounds,
    Slots,
    _run_all,
    cores_of_one,
    free_memory,
    has_company,
    longest_behind,
    unordered,
)


def tasks(**needs: str) -> dict[str, PipelineTaskSpec]:
    """Tasks by the names of those they wait for."""
    return {name: PipelineTaskSpec(dependent_tasks=before.split()) for name, before in needs.items()}


class Run:
    """Notes what was run, when, and beside what."""

    def __init__(self, fails: str = "", seconds: float = 0.0) -> None:
        self.fails, self.seconds = fails, seconds
        self.lock, self.now, self.seen = threading.Lock(), set(), []
        self.beside: dict[str, set[str]] = {}
        self.company: dict[str, bool] = {}

    def __call__(self, name: str, task: PipelineTaskSpec) -> bool:
        with self.lock:
            self.seen.append(name)
            self.now.add(name)
            self.company[name] = has_company()
        time.sleep(self.seconds)
        with self.lock:
            self.beside[name] = self.now - {name}
            self.now.remove(name)
        return name != self.fails


DIAMOND = tasks(start="", scan="start", clean="scan", validate="scan", plan="clean validate")


def test_a_task_runs_once_all_that_it_waits_for_is_done_and_beside_those_it_does_not_know():
    run = Run(seconds=0.2)
    assert not _run_all(DIAMOND, IOStore(), run)
    assert run.seen[:2] == ["start", "scan"]
    assert set(run.seen[2:4]) == {"clean", "validate"}
    assert run.seen[4:] == ["plan"]
    assert run.beside["start"] == run.beside["scan"] == run.beside["plan"] == set()
    assert run.beside["clean"] == {"validate"} or run.beside["validate"] == {"clean"}
    assert run.company == {"start": False, "scan": False, "clean": True, "validate": True, "plan": False}


def test_what_waits_for_a_task_that_failed_is_left_out_and_all_else_is_run():
    run, store = Run(fails="clean"), IOStore()
    assert _run_all(DIAMOND, store, run)
    assert sorted(run.seen) == ["clean", "scan", "start", "validate"]
    assert store.get_task_status("plan") == "FAILED"


def test_a_task_that_asks_for_it_runs_behind_one_that_failed():
    some = tasks(a="", b="a", c="b")
    some["b"].trigger_policy.strategy = side_by_side.ALWAYS
    run = Run(fails="a")
    assert _run_all(some, IOStore(), run)
    assert run.seen == ["a", "b", "c"]


@pytest.mark.parametrize(("value", "seen"), [("both", ["attributes", "taxonomy"]), ("taxonomy", ["taxonomy"])])
def test_a_branch_that_is_not_taken_is_no_company(value, seen):
    some = tasks(plan="", attributes="plan", taxonomy="plan")
    for name, other in (("attributes", "taxonomy"), ("taxonomy", "attributes")):
        some[name].trigger_policy.condition = f"inputs.parameter_values['pipelinechannel--tasks'] != '{other}'"
    store, run = IOStore(), Run()
    store.put_parent_input("pipelinechannel--tasks", value)
    assert not _run_all(some, store, run)
    assert sorted(run.seen[1:]) == seen
    assert {run.company[name] for name in seen} == {len(seen) > 1}


def test_an_error_of_the_runner_ends_the_run():
    def broken(name: str, task: PipelineTaskSpec) -> bool:
        raise KeyError(name)

    with pytest.raises(KeyError, match="start"):
        _run_all(DIAMOND, IOStore(), broken)


def test_once_a_person_ends_the_run_no_other_step_begins_and_those_at_work_are_told(monkeypatch):
    interruption, slots, begun, ended = side_by_side.Interruption(), Slots(lambda: NEEDED), [], []
    interruption.end_steps = lambda: ended.append(True)
    monkeypatch.setattr(side_by_side, "interrupted", interruption)
    some = tasks(loop="", beside="")

    def run(name: str, task: PipelineTaskSpec) -> bool:
        if name == "loop":
            raise KeyboardInterrupt  # as the main thread has it while it waits
        side_by_side.interrupted.wait(10)
        with slots.one():
            begun.append(name)
        return True

    with pytest.raises(KeyboardInterrupt):
        _run_all(some, IOStore(), run)
    assert side_by_side.interrupted.is_set()
    assert not begun
    assert ended


def test_order_reaches_over_tasks_between():
    assert unordered(tasks(a="", b="a", c="b", d="a", e="")) == {
        "a": {"e"},
        "b": {"d", "e"},
        "c": {"d", "e"},
        "d": {"b", "c", "e"},
        "e": {"a", "b", "c", "d"},
    }


def test_in_retrain_checking_and_cleaning_run_side_by_side_and_so_do_both_trainings():
    parts = load("retrain").pipeline_spec.components
    inner = unordered(dict(parts["comp-exit-handler-1"].dag.tasks))
    assert inner["validate"] == {"clean-and-split"}
    assert inner["start"] == inner["plan"] == set()
    branches = [name for name in inner if name.startswith("condition")]
    assert [inner[name] for name in branches] == [{branches[1]}, {branches[0]}]


@pytest.mark.parametrize(("free", "most"), [(NEEDED, 2), (NEEDED - 1, 1)])
def test_no_more_processes_than_slots_and_one_where_memory_is_short(free, most):
    slots, lock, now, seen = Slots(lambda: free), threading.Lock(), [0], []

    def work() -> None:
        with slots.one():
            with lock:
                now[0] += 1
                seen.append(now[0])
            time.sleep(0.05)
            with lock:
                now[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(seen), max(seen)) == (6, most)


def test_what_most_wait_for_comes_first_whichever_came_first():
    """Two branches: a net and its judging, and three teachers, their student and its judging."""
    slots, begun = Slots(lambda: NEEDED - 1), []  # one at a time

    def step(name: str) -> None:
        with slots.one():
            begun.append(name)
            time.sleep(0.05)

    def branch(*names: str):
        def run(name: str, task: PipelineTaskSpec) -> bool:
            if name != "teachers":
                step(name)
                return True
            with ThreadPoolExecutor(3) as pool:
                for number in range(3):
                    pool.submit(contextvars.copy_context().run, step, f"teacher {number}")
            return True

        return not _run_all(tasks(**dict(zip(names, ("", *names), strict=False))), IOStore(), run)

    def both(name: str, task: PipelineTaskSpec) -> bool:
        return branch("net", "judge 2") if name == "b" else branch("teachers", "student", "judge")

    assert not _run_all(tasks(b="", a=""), IOStore(), both)
    assert sorted(begun[:3]) == ["teacher 0", "teacher 1", "teacher 2"]
    assert set(begun[3:5]) == {"student", "net"}
    assert set(begun[5:]) == {"judge", "judge 2"}


def test_how_many_wait_one_behind_the_other():
    assert longest_behind(DIAMOND) == {"start": 3, "scan": 2, "clean": 1, "validate": 1, "plan": 0}
    assert longest_behind(tasks(a="", b="", c="a b", d="a")) == {"a": 1, "b": 1, "c": 0, "d": 0}


def test_rounds_of_a_loop_all_wait_for_room_and_know_what_waits_for_them(monkeypatch):
    seen, together = [], threading.Barrier(5, timeout=10)

    def execute(task_name: str, **given: object) -> tuple[dict[str, object], Status]:
        seen.append((has_company(), given["components"]))
        together.wait()
        return {"model": task_name.upper()}, Status.SUCCESS

    monkeypatch.setattr(side_by_side.orchestrator, "execute_task", execute)
    store, rounds = IOStore(), [(f"round-iteration-{i}", PipelineTaskSpec()) for i in range(5)]
    token = side_by_side._beside.set(True)
    try:
        outputs, status = Rounds().execute_parallel_tasks(
            tasks=rounds, io_store=store, fail_stack=[], components="their own"
        )
    finally:
        side_by_side._beside.reset(token)
    assert status == Status.SUCCESS
    assert list(outputs) == [name for name, _ in rounds]
    assert seen == [(True, "their own")] * 5
    assert store.get_task_output("round-iteration-3", "model") == "ROUND-ITERATION-3"


def test_a_round_that_fails_fails_the_loop_once_the_others_have_ended(monkeypatch):
    ended = []

    def execute(task_name: str, **_: object) -> tuple[dict[str, object], Status]:
        ended.append(task_name)
        return {}, Status.FAILURE if task_name == "b" else Status.SUCCESS

    monkeypatch.setattr(side_by_side.orchestrator, "execute_task", execute)
    rounds, failed = [(name, PipelineTaskSpec()) for name in "abc"], ["before"]
    _, status = Rounds().execute_parallel_tasks(
        tasks=rounds, io_store=IOStore(), fail_stack=failed, parallelism_limit=1
    )
    assert status == Status.FAILURE
    assert failed == ["before", "b"]
    assert ended == ["a", "b", "c"]


def test_memory_and_cores_are_those_of_the_machine():
    assert 1 << 20 < free_memory() < 1 << 62
    assert [cores_of_one(cores) for cores in (1, 2, 3, 16)] == [1, 1, 1, 8]
