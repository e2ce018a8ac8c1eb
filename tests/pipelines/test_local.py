import io
import json
import threading

import pytest
from google.protobuf import json_format
from kfp.local.orchestrator import task_executor
from kfp.local.status import Status
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PipelineTaskSpec

from pipelines.local import _retried, _Sieve, share_cores
from pipelines.packages import load
from pipelines.side_by_side import Interruption


def threads(spec: PipelineSpec) -> dict[str, str]:
    executors = json_format.MessageToDict(spec.deployment_spec)["executors"]
    return {name: own["container"]["env"][0]["value"] for name, own in executors.items() if "env" in own["container"]}


def copy_of(name: str) -> PipelineSpec:
    spec = PipelineSpec()
    spec.CopyFrom(load(name).pipeline_spec)
    return spec


def test_only_steps_of_loops_share_the_machine() -> None:
    spec = copy_of("retrain")
    share_cores(spec, 8)
    assert threads(spec) == {"exec-scan": "4", "exec-train": "4"}


def test_one_core_is_a_thread_each() -> None:
    spec = copy_of("authenticate")
    share_cores(spec, 1)
    assert threads(spec) == {"exec-scan": "1"}


def loaded(tmp_path):
    terminal, record = io.StringIO(), io.BytesIO()
    return _Sieve(terminal, record, tmp_path, False, tmp_path / "last.json"), terminal


@pytest.mark.parametrize("waits", [False, True])
def test_a_step_is_told_of_once_it_has_room(tmp_path, waits):
    sieve, terminal = loaded(tmp_path)
    sieve.waits = waits
    sieve.write("07:00:00.000 - INFO - Executing task 'train-2'\n")
    assert terminal.getvalue() == ("" if waits else "> train-2\n")
    if waits:
        sieve.starts()
        assert terminal.getvalue() == "> train-2\n"


class Steps:
    """`execute_single_task` of kfp.local, whose steps say something and fail."""

    def __init__(self, sieve, lines, fails):
        self.sieve, self.lines, self.left, self.count = sieve, lines, fails, 0

    def __call__(self, task_name, task_spec, *rest, **known):
        assert not task_spec.HasField("retry_policy")
        self.count += 1
        self.left -= 1
        for line in self.lines:
            self.sieve.write(f"    {line}\n")
        status = Status.FAILURE if self.left >= 0 else Status.SUCCESS
        self.sieve.write(f"07:00:00.000 - INFO - Task '{task_name}' finished with status {status.name}\n")
        return {}, status


@pytest.mark.parametrize(
    ("lines", "fails", "tried", "waited"),
    [
        (["killed"], 9, 3, [30.0, 60.0]),
        (["killed"], 1, 2, [30.0]),
        (["vitrine.errors.InputError: --set lr: unknown key"], 9, 1, []),
        (["OSError: [Errno 28] No space left on device"], 9, 1, []),
    ],
)
def test_an_error_of_input_is_not_tried_again(tmp_path, monkeypatch, lines, fails, tried, waited):
    sieve, _ = loaded(tmp_path)
    steps, slept = Steps(sieve, lines, fails), []
    monkeypatch.setattr("pipelines.local.interrupted.wait", slept.append)
    run_retried(steps, monkeypatch)
    assert (steps.count, slept) == (tried, waited)


def test_a_run_that_is_ended_does_not_wait_for_another_try(tmp_path, monkeypatch):
    sieve, _ = loaded(tmp_path)
    steps, interruption = Steps(sieve, ["killed"], 9), Interruption()
    monkeypatch.setattr("pipelines.local.interrupted", interruption)
    threading.Timer(0.1, interruption.set).start()
    with pytest.raises(KeyboardInterrupt):
        run_retried(steps, monkeypatch)  # half a minute before the next try
    assert steps.count == 1


def run_retried(steps, monkeypatch):
    monkeypatch.setattr(task_executor, "execute_single_task", steps)
    spec = PipelineTaskSpec()
    spec.retry_policy.max_retry_count = 2
    spec.retry_policy.backoff_duration.seconds = 30
    spec.retry_policy.backoff_factor = 2.0
    steps.__name__ = "execute_single_task"
    with _retried(steps.sieve):
        task_executor.execute_single_task("train", spec)


def test_the_last_lines_of_a_step_that_failed_are_kept(tmp_path):
    """Its own words, without the runner's, also where another step's pass between them."""
    sieve, _ = loaded(tmp_path)
    other = threading.Thread(target=lambda: (sieve.begin(), sieve.write("    of another step\n")))
    sieve.begin()
    for number in range(20):
        sieve.write(f"    line {number}\n")
    other.start()
    other.join()
    sieve.write("07:00:00.000 - INFO - Streamed logs:\n\n    [KFP Executor 2026-11-29 INFO]: Got executor_input:\n")
    sieve.write("07:00:00.000 - INFO - Task 'train' finished with status FAILURE\n")
    assert json.loads((tmp_path / "last.json").read_text()) == {"train": [f"line {n}" for n in range(8, 20)]}
