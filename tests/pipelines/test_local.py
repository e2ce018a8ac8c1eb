import io
import json
import threading

import pandas as pd
import pytest
from google.protobuf import json_format
from kfp.local.orchestrator import task_executor
from kfp.local.status import Status
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PipelineTaskSpec

from pipelines import local
from pipelines.local import _retried, _Sieve, run_pipeline, share_cores
from pipelines.packages import load
from pipelines.side_by_side import Interruption
from vitrine.catalog import Catalog, write_catalog
from vitrine.errors import InputError


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


RETRIED = "07:00:00.000 - INFO - Task train failed (attempt 1/3). Retrying in 30.0s...\n"


def end(sieve, line, status="FAILURE"):
    sieve.write(f"    {line}\n07:00:00.000 - INFO - Task 'train' finished with status {status}\n")


@pytest.mark.parametrize("error", ["PassingError: s3://b/k: SlowDown", "InputError: of no use", "RuntimeError: killed"])
def test_what_a_step_said_that_then_ended_well_is_forgotten(tmp_path, error):
    sieve, _ = loaded(tmp_path)
    sieve.begin()
    end(sieve, f"vitrine.errors.{error}")
    assert list(json.loads((tmp_path / "last.json").read_text())) == ["train"]
    sieve.write(RETRIED)
    sieve.begin()
    end(sieve, "all is well", "SUCCESS")
    assert (sieve.failed, sieve.wrong_input) == ([], "")
    assert json.loads((tmp_path / "last.json").read_text()) == {}
    sieve.begin()
    end(sieve, "RuntimeError: a crash")  # a fault, whatever was wrong before
    assert (sieve.failed, sieve.wrong_input) == (["train"], "")


def test_a_reason_that_a_step_which_ended_well_gave_is_none(tmp_path):
    sieve, _ = loaded(tmp_path)
    sieve.begin()
    end(sieve, "vitrine.errors.InputError: caught", "SUCCESS")
    sieve.begin()
    end(sieve, "RuntimeError: a crash")
    assert (sieve.failed, sieve.wrong_input) == (["train"], "")


def test_a_round_that_is_tried_again_leaves_the_failure_of_another_of_its_name(tmp_path):
    sieve, _ = loaded(tmp_path)
    other = threading.Thread(target=lambda: (sieve.begin(), end(sieve, "vitrine.errors.InputError: of no use")))
    other.start()
    other.join()
    sieve.begin()
    end(sieve, "vitrine.errors.PassingError: s3://b/k: SlowDown")
    assert sieve.failed == ["train", "train"]
    sieve.write(RETRIED)
    sieve.begin()
    end(sieve, "all is well", "SUCCESS")
    assert (sieve.failed, sieve.wrong_input) == (["train"], "of no use")
    assert json.loads((tmp_path / "last.json").read_text()) == {"train": ["vitrine.errors.InputError: of no use"]}


class TestWhatARunIsGiven:
    """Addresses as a step finds them, whatever folder it works in; and places that a container is to see."""

    @pytest.fixture
    def given(self, tmp_path, monkeypatch):
        rows = pd.DataFrame({"image": ["a.png"], "category": ["A"]})
        for name in ("data", "more"):
            write_catalog(Catalog(f"{tmp_path}/photos of {name}", rows), tmp_path / name)
        (tmp_path / "net.pth").touch()
        monkeypatch.chdir(tmp_path)
        seen = {}

        def begun(name, arguments, runs, photos):
            seen.update(arguments["settings"], photos={place for place in photos if place})
            raise KeyboardInterrupt

        monkeypatch.setattr(local, "in_containers", begun)

        def run(*settings):
            run_pipeline("match", ("data_catalog=data", *settings), tmp_path / "runs", runner="docker")

        return run, seen

    def test_they_are_absolute_and_all_photos_are_known(self, given, tmp_path):
        run, seen = given
        with pytest.raises(KeyboardInterrupt):
            run("background=more, data", f"weights=net.pth#sha256={64 * '0'}")
        assert seen["background"] == f"{tmp_path}/more,{tmp_path}/data"
        assert seen["weights"] == f"{tmp_path}/net.pth#sha256={64 * '0'}"
        assert seen["photos"] == {f"{tmp_path}/photos of data", f"{tmp_path}/photos of more"}

    def test_published_weights_are_no_file(self, given):
        run, seen = given
        with pytest.raises(KeyboardInterrupt):
            run("weights=none")
        assert seen["weights"] == "none"

    @pytest.mark.parametrize(
        ("setting", "message"), [("background=nowhere", "nowhere: no such folder"), ("weights=no.pth", "no such file")]
    )
    def test_what_is_not_there_is_said_before_anything_starts(self, given, tmp_path, setting, message):
        with pytest.raises(InputError, match=message):
            given[0](setting)
        assert not (tmp_path / "runs").exists()
