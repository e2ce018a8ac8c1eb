"""What a user sees of a run on this machine whose disk is full or read-only, whose training is killed for memory, that
is started twice at once, or that goes on after the clock jumped; killed runs are in test_whole_runs."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from vitrine_command import environment

from pipelines.local import _Sieve, remove_left
from vitrine.catalog import read_catalog, write_catalog
from vitrine.registry import Registry
from vitrine.synth import render_catalog

SMALL = (
    *("train_epochs=2", "image_size=16", "weights=none", "batch_size=32", "min_class_count=5"),
    "allow_below_baseline=true",
)
YEAR = 365 * 24 * 3600


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalog")
    render_catalog(folder / "rendered", listings=30)
    rendered = read_catalog(folder / "rendered")
    write_catalog(rendered.with_table(rendered.table[["image", "listing", "product", "category"]]), folder / "data")
    return folder / "data"


def start(catalog: Path, runs: Path, pipeline: str = "represent", **settings: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vitrine.cli", "pipeline", "run", pipeline, "--runs", str(runs)]
    pairs = [f"data_catalog={catalog}", *SMALL, *(f"{key}={value}" for key, value in settings.items())]
    return subprocess.Popen(
        [*command, *(f"--set={pair}" for pair in pairs)],
        env=environment(catalog.parent / "cache"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a background job of a shell ignores it
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=900)
    return process.returncode, out, err


def steps_of(out: str) -> tuple[set[str], set[str]]:
    """The steps that ran and those that were reused."""
    found = re.findall(r"^> ([\w-]+)( \(done before\))?$", out, re.M)
    return {name for name, reused in found if not reused}, {name for name, reused in found if reused}


def kill_step(run: subprocess.Popen[str], function: str) -> None:
    """SIGKILLs the process that runs a step, once there is one, as the kernel does when memory runs out."""
    while run.poll() is None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                said = (process / "cmdline").read_bytes().decode().split("\0")
                if os.getsid(int(process.name)) == run.pid and "kfp.dsl.executor_main" in said and function in said:
                    os.kill(int(process.name), signal.SIGKILL)
                    return
            except (OSError, ProcessLookupError):
                continue
        time.sleep(0.1)
    pytest.fail(f"the run ended without {function}")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a step is found in /proc")
class TestTwoRunsInOneFolder:
    """The first has its training killed; the second is started beside it; the third a year ago."""

    @pytest.fixture(scope="class")
    def runs(self, tmp_path_factory):
        return tmp_path_factory.mktemp("twice") / "runs"

    @pytest.fixture(scope="class")
    def ended(self, catalog, runs):
        first = start(catalog, runs)
        while not list(runs.glob("logs/*.log")):
            assert first.poll() is None
            time.sleep(0.1)
        second = start(catalog, runs)
        kill_step(first, "train")
        both = [finish(first), finish(second)]
        for path in runs.rglob("*"):
            os.utime(path, (time.time() + YEAR, time.time() + YEAR))
        return [*both, finish(start(catalog, runs))]

    def test_a_training_killed_for_memory_is_tried_again_and_the_run_is_done(self, ended):
        code, out, err = ended[0]
        assert (code, err) == (0, ""), out + err
        assert "  train failed; it is tried again in 30 s\n" in out
        assert re.search(r"^Done in ", out, re.M)
        assert "Promoted: the first model" in out

    def test_the_second_run_waits_and_reuses_what_the_first_did(self, ended, runs):
        code, out, err = ended[1]
        assert (code, err) == (0, ""), out + err
        assert out.splitlines()[0] == (
            f"Another run of represent is at work in {runs}: waiting for its end (--runs names another folder)."
        )
        assert {"train", "scan", "validate", "clean-and-split"} <= steps_of(out)[1]
        assert "the candidate is the champion itself" in out

    def test_a_clock_that_was_set_back_makes_nothing_old_or_new(self, ended):
        code, out, err = ended[2]
        assert (code, err) == (0, ""), out + err
        assert steps_of(out) == steps_of(ended[1][1])

    def test_there_is_one_champion_and_nothing_is_left_over(self, ended, runs):
        registry = Registry(runs / "registry")
        assert [entry["decision"] for entry in registry.history("representation")] == ["promoted", "refused", "refused"]
        assert len(registry.versions("representation")) == 1
        assert not [path for path in runs.rglob("*") if path.name.endswith(".tmp")]
        assert not list((runs / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_one_line_and_the_same_command_goes_on_once_it_does(catalog, small_disk):
    disk = small_disk("size=16m,ro")
    code, out, err = finish(start(catalog, disk / "runs"))
    assert (code, err) == (2, f"{disk / 'runs'}: Read-only file system\n"), out
    small_disk("rw,size=300k")
    code, out, err = finish(start(catalog, disk / "runs"))
    assert code == 2, out + err
    assert re.fullmatch(rf"{disk}/runs\S*: No space left on device\n", err), err
    assert re.search(r"^Failed \([\w, -]+\) in ", out, re.M), out
    assert not [path for path in disk.rglob("*") if path.name.endswith(".tmp")]
    assert not (disk / "runs/registry").exists()
    done = steps_of(out)[0]
    small_disk("rw,size=500m")
    code, out, err = finish(start(catalog, disk / "runs"))
    assert (code, err) == (0, ""), out + err
    assert "Promoted: the first model" in out
    assert steps_of(out)[1] <= done  # what was done was not done again


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
@pytest.mark.parametrize("tell", [os.killpg, os.kill])
def test_a_run_that_a_person_interrupts_ends_with_all_of_its_processes(tell, catalog):
    """As a terminal does it, and as an editor does. Two trainings of hours are at work, others wait for room; nothing
    begins any more.

    The second goes on in the first one's folder.
    """
    run = start(catalog.parent / "rendered", catalog.parent / "interrupted", "retrain", train_epochs=1_000_000)
    assert run.stdout
    seen: list[str] = []
    while sum(line.startswith("> train") for line in seen) < 2:
        seen.append(run.stdout.readline())
        assert seen[-1], seen
    tell(run.pid, signal.SIGINT)
    rest, _ = run.communicate(timeout=300)
    assert run.returncode == 130
    assert not re.search(r"^> ", rest, re.M)
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            left += [process.name] if os.getsid(int(process.name)) == run.pid else []
        except ProcessLookupError:
            continue
    assert not left


@pytest.mark.slow
def test_a_file_in_the_place_of_the_folder_is_one_line(catalog, tmp_path):
    (tmp_path / "runs").touch()
    code, out, err = finish(start(catalog, tmp_path / "runs"))
    assert code == 2, out + err
    assert re.fullmatch(rf"{tmp_path}/runs\S*: (Not a directory|File exists)\n", err), err


def test_what_killed_steps_had_half_written_goes(tmp_path):
    step = tmp_path / "match-2026-11-26/for-loop-1/scan"
    (step / ".photos.ab12.tmp").mkdir(parents=True)
    for name in (".photos.ab12.tmp/photos.parquet", ".note.json.cd34.tmp", "executor_output.json"):
        (step / name).write_text("{")
    (tmp_path / "monitor-2026-11-26/scan/.photos.ef56.tmp").mkdir(parents=True)
    remove_left(tmp_path, "match")
    assert [path.name for path in step.iterdir()] == ["executor_output.json"]
    assert list(tmp_path.glob("monitor-*/scan/.*.tmp"))  # another pipeline's may be in the making


@pytest.fixture
def sieve(tmp_path):
    with (tmp_path / "log").open("wb", buffering=0) as record, (tmp_path / "seen").open("w") as terminal:
        yield _Sieve(terminal, record, tmp_path / "runs", verbose=False, said_last=tmp_path / "last.json")


def test_a_step_that_failed_twice_and_then_did_not_is_no_failure(sieve):
    sieve.write("ERROR - Task 'train' finished with status FAILURE\n")
    sieve.write("    OSError: [Errno 28] No space left on device: '/a/b'\n")
    assert (sieve.failed, sieve.wrong_input) == (["train"], "/a/b: No space left on device")
    sieve.write("INFO - Task train failed (attempt 1/3). Retrying in 30.0s...\n")
    assert (sieve.failed, sieve.wrong_input) == ([], "")
    sieve.write("INFO - Task 'train' finished with status SUCCESS\n")
    assert not sieve.failed


def test_a_run_that_broke_off_without_a_failed_step_has_failed_all_the_same(sieve):
    sieve.write("ERROR - Pipeline 'match' finished with status FAILURE. Inner task failed: 'x'.\n")
    assert sieve.failed == ["match"]


def test_a_reason_without_a_place_is_of_the_runs_folder(sieve, tmp_path):
    sieve.write("    OSError: [Errno 30] Read-only file system\n")
    assert sieve.wrong_input == f"{tmp_path / 'runs'}: Read-only file system"
