"""Running the DAGs on this machine."""

import builtins
import collections
import contextlib
import fcntl
import io
import logging
import os
import re
import shutil
import sys
import threading
import time
import unittest.mock
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from kfp import local
from kfp.local import logging_utils, subprocess_task_handler
from kfp.local.io import IOStore
from kfp.local.orchestrator import enhanced_dag_orchestrator, task_executor, task_spec_utils
from kfp.local.status import Status
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PipelineTaskSpec

from pipelines import forked
from pipelines.containers import CATALOGS, in_containers, local_weights
from pipelines.form import ADDRESSES, FORM, SETTINGS
from pipelines.last_lines import LAST_LINES, told
from pipelines.packages import complete, load, parameters
from pipelines.side_by_side import Slots, cores_of_one, free_memory, has_company, interrupted, run_dag
from pipelines.stages import ANEW, LAST_LINES_OF
from vitrine.catalog import read_catalog
from vitrine.errors import InputError
from vitrine.files import absolute, exists, write_json
from vitrine.journal import SIGN
from vitrine.untrusted import printable
from vitrine.words import comma_separated

STARTS = re.compile(r"Executing task '([\w-]+)'")
REUSED = re.compile(r"Task ([\w-]+) cache hit")
EPOCH = re.compile(r"^\s*(.+: epoch \d+/\d+.*)$")
SAID = re.compile(rf"^\s*{SIGN} (.+)$")
SUMMARY = re.compile(r"^\s*Summary: (.+)$")
WRONG = re.compile(r"^\s*vitrine\.[\w.]+\.(?:Input|Photo)Error: (.+)$")
PASSING = re.compile(r"^\s*vitrine\.[\w.]+\.(?:Passing|Damaged)Error: (.+)$")  # worth another try
SYSTEM = re.compile(r"^\s*OSError: \[Errno \d+\] ([^:]+)(?:: '(.+)')?$")  # no space, a read-only disk
ENDED = re.compile(r"(Task|Pipeline) '([\w-]+)' finished with status (FAILURE|SUCCESS)")
AGAIN = re.compile(r"Task ([\w-]+) failed \(attempt .*Retrying in ([\d.]+)s")


def run_pipeline(
    name: str,
    overrides: Iterable[str],
    runs: Path,
    path: Path | None = None,
    *,
    runner: str = "subprocess",
    cache: bool = True,
    verbose: bool = False,
) -> int:
    """Runs a pipeline on this machine and prints what each step decided, then where the summary is.

    Runs of one pipeline in one folder wait for one another, and the later one reuses what the earlier one finished.

    Args:
        name: The pipeline.
        overrides: Parameters, `key=value`; paths may be relative.
        runs: Folder for artifacts, cache, checkpoints, registry and summaries.
        path: File of parameters, which `overrides` win over.
        runner: `subprocess` or `docker`.
        cache: Reuse steps that finished before with the same inputs.
        verbose: Show the runner's own log.

    Returns:
        0 if every step ended well, else 1.
    """
    runs = Path(absolute(runs))
    load(name)
    now = f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    arguments: dict[str, Any] = {"out_registry": str(runs / "registry"), "out_reports": str(runs / "summaries")}
    if "out_scores" in FORM[name]:
        arguments["out_scores"] = str(runs / "scores" / "%Y-%m-%d")
    arguments |= parameters(name, overrides, path)
    arguments |= {key: absolute(arguments[key]) for key in ADDRESSES if arguments.get(key)}
    # Without an endpoint drift only says that a retraining is due.
    local_settings = {"checkpoints": str(runs / "checkpoints"), "endpoint": ""}
    settings: dict[str, Any] = {key: value for key, value in local_settings.items() if key in SETTINGS[name]}
    settings |= arguments.get("settings", {})
    if settings.get("checkpoints"):
        settings["checkpoints"] = absolute(settings["checkpoints"])
    further: list[str] = []
    for key in CATALOGS:
        if others := [absolute(other) for other in comma_separated(settings.get(key, ""))]:
            settings[key] = ",".join(others)
            further += others
    for key in ("rules", "suite"):
        if settings.get(key):
            settings[key] = absolute(settings[key])
    if weights := local_weights(settings.get("weights", "")):
        if not Path(weights).is_file():
            raise InputError(f"weights={weights}: no such file")
        settings["weights"] = absolute(settings["weights"])
    arguments["settings"] = settings
    catalog = arguments.get("data_catalog", "")
    if not catalog:
        raise InputError("--set data_catalog=...: name the folder of a catalog (`vitrine synth data` renders one)")
    if "%" in catalog:
        pass  # the first step fills a period in
    elif not catalog.endswith(".dvc"):
        further.insert(0, catalog)
    elif not exists(catalog):
        raise InputError(f"{catalog}: no such file")
    photos: set[str] = set()
    for other in further:  # unusable input is said before anything starts
        found = read_catalog(other, check_rows=False)
        photos |= {found.root, found.remote}
    arguments["settings"] = complete(name, arguments)["settings"]
    for folder in ("artifacts", "cache", "logs"):
        (runs / folder).mkdir(parents=True, exist_ok=True)
    log = runs / "logs" / f"{now}.log"
    said_last = log.with_suffix(".json")
    with (
        _alone(name, runs) as alone,
        _named_outputs(),
        log.open("wb", buffering=0) as record,
        # The lines are for the step that ends the run.
        unittest.mock.patch.dict(os.environ, {LAST_LINES_OF: str(said_last), **({} if cache else {ANEW: "1"})}),
        _sieved(record, runs, verbose, said_last) as sieve,
        _retried(sieve),
        contextlib.ExitStack() as stack,
    ):
        started = time.monotonic()
        if alone:
            remove_left(runs / "artifacts", name)
        pipeline, where = (load(name), local.SubprocessRunner(use_venv=False))
        if runner == "docker":
            pipeline, where = in_containers(name, arguments, runs, photos)
        else:
            stack.enter_context(_side_by_side(record, sieve))
        if forked.THREADS not in os.environ:
            share_cores(pipeline.pipeline_spec, os.cpu_count() or 1)
        local.init(
            runner=where,
            pipeline_root=str(runs / "artifacts"),
            raise_on_error=False,
            enable_caching=cache,
            cache_root=str(runs / "cache"),
        )
        pipeline(**arguments)
    ended = f"Failed ({', '.join(sieve.failed)})" if sieve.failed else "Done"
    print(f"{ended} in {time.monotonic() - started:.0f} s. Log: {log}")
    print(f"Summary: {sieve.summary or 'none; the log says why'}")
    if sieve.failed and sieve.wrong_input:
        raise InputError(sieve.wrong_input)
    return 1 if sieve.failed else 0


def share_cores(spec: PipelineSpec, cores: int) -> None:
    """Gives the steps inside loops, which run two at once, half of the cores each.

    With a thread per core both would wait for one another most of the time (docs/decisions.md). Other steps have all of
    the machine, but those with `has_company`, which have half of it too.
    """
    dags = [(spec.root.dag, False)]
    while dags:
        dag, looped = dags.pop()
        for task in dag.tasks.values():
            inside = looped or task.WhichOneof("iterator") is not None
            part = spec.components[task.component_ref.name]
            if part.HasField("dag"):
                dags.append((part.dag, inside))
            elif inside:
                container = spec.deployment_spec["executors"][part.executor_label]["container"]
                container["env"] = [{"name": forked.THREADS, "value": str(cores_of_one(cores))}]


@contextlib.contextmanager
def _side_by_side(record: BinaryIO, sieve: "_Sieve") -> Iterator[None]:
    """Makes kfp.local 2.17.0 run steps side by side that do not wait for one another, each as a fork where it is safe.

    Its own contexts around a step replace the root logger's handlers and `print` and put back what they found, which is
    another step's where several are at work; here both stay as they are for the whole run.

    Args:
        record: The run's log.
        sieve: Is told when a step has room.
    """
    handler = logging.StreamHandler(sys.stdout)
    layout = "%(asctime)s - %(levelname)s - %(message)s"
    handler.setFormatter(logging_utils.MillisecondFormatter(fmt=layout, datefmt="%H:%M:%S.%f"))
    logger = logging.getLogger()
    logger.handlers[:] = [handler]  # `_sieved` puts them back
    logger.setLevel(logging.INFO)
    anew, cores = subprocess_task_handler.run_local_subprocess, os.cpu_count() or 1
    slots = Slots(free_memory)
    interrupted.clear()
    sieve.waits = True

    with contextlib.ExitStack() as stack:
        parent = stack.enter_context(forked.Parent(record)) if forked.AVAILABLE else None
        if parent:
            stack.enter_context(unittest.mock.patch.object(interrupted, "end_steps", parent.interrupt))

        def start(full_command: list[str], env_vars: Mapping[str, str] | None = None) -> int:
            own = dict(env_vars or {})
            if has_company() and forked.THREADS not in os.environ:
                own.setdefault(forked.THREADS, str(cores_of_one(cores)))
            with slots.one():
                sieve.starts()
                if parent and forked.runs_step(full_command):
                    with contextlib.suppress(forked.Gone):  # out of memory, say; then as elsewhere
                        return parent.run(full_command, os.environ | own, lambda line: sys.stdout.write(f"    {line}"))
                return anew(full_command, own)

        for module, name, other in (
            (enhanced_dag_orchestrator, "run_enhanced_dag", run_dag),
            (logging_utils, "local_logger_context", contextlib.nullcontext),
            (logging_utils, "indented_print", contextlib.nullcontext),
            (subprocess_task_handler, anew.__name__, start),
        ):
            stack.enter_context(unittest.mock.patch.object(module, name, other))
        yield


def remove_left(artifacts: Path, name: str) -> None:
    """Deletes what steps of killed runs of a pipeline had half written; none of its runs may be at work."""
    for left in artifacts.glob(f"{name}-*/**/.*.tmp"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(name: str, runs: Path) -> Iterator[bool]:
    """Waits until no other run of a pipeline is at work in a folder; whatever ends that one ends the waiting.

    Yields:
        False on a volume without locks, where nobody knows.
    """
    alone = True
    with (runs / "logs" / f".{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another run of {name} is at work in {runs}: waiting for its end (--runs names another folder).")
            sys.stdout.flush()
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            alone = False
        yield alone


@contextlib.contextmanager
def _named_outputs() -> Iterator[None]:
    """Makes conditions and loops of kfp.local 2.17.0 take named outputs of steps as those of a cluster do.

    It looks for `pipelinechannel--plan-groups` among the inputs of the DAG only, and would skip the branch. And it
    hands the item of a loop over in place of all else that the loop takes from steps beside it.
    """
    inputs, iteration = IOStore.get_parent_input, task_spec_utils.create_parameter_loop_iteration_task_spec

    def found(self: IOStore, key: str) -> Any:
        try:
            return inputs(self, key)
        except ValueError:
            reference = key.removeprefix("pipelinechannel--")
            for at in (match.start() for match in re.finditer("-", reference)):
                with contextlib.suppress(ValueError):
                    return self.get_task_output(reference[:at], reference[at + 1 :])
            raise

    def of_one(task: PipelineTaskSpec, item: Any, name: str) -> PipelineTaskSpec:
        made = iteration(task, item, name)
        for key, given in task.inputs.parameters.items():
            if given.HasField("task_output_parameter"):
                made.inputs.parameters[key].CopyFrom(given)
        return made

    with (
        unittest.mock.patch.object(IOStore, "get_parent_input", found),
        unittest.mock.patch.object(task_spec_utils, iteration.__name__, of_one),
    ):
        yield


@contextlib.contextmanager
def _retried(sieve: "_Sieve") -> Iterator[None]:
    """Makes kfp.local 2.17.0 try a step again as the step's policy says, unless its input cannot be used.

    It would train three times, with a minute and a half of waiting, to say the same.
    """
    once = task_executor.execute_single_task

    def tried(task_name: str, task_spec: PipelineTaskSpec, *rest: Any, **known: Any) -> Any:
        policy, single = task_spec.retry_policy, PipelineTaskSpec()
        single.CopyFrom(task_spec)
        single.ClearField("retry_policy")
        attempts = max(0, policy.max_retry_count) + 1
        for attempt in range(1, attempts + 1):
            if interrupted.is_set():  # the next round of a loop, say: not to be said to begin
                raise KeyboardInterrupt
            sieve.begin()
            outputs, status = once(task_name, single, *rest, **known)
            if status == Status.SUCCESS or attempt == attempts or sieve.refused() or interrupted.is_set():
                return outputs, status
            delay = policy.backoff_duration.seconds * (policy.backoff_factor or 2.0) ** (attempt - 1)
            delay = min(delay, policy.backoff_max_duration.seconds or 3600)
            logging.info(f"Task {task_name} failed (attempt {attempt}/{attempts}). Retrying in {delay:.1f}s...")
            interrupted.wait(delay)
        raise AssertionError("a step is tried at least once")

    with unittest.mock.patch.object(task_executor, once.__name__, tried):
        yield


@contextlib.contextmanager
def _sieved(record: BinaryIO, runs: Path, verbose: bool, said_last: Path) -> Iterator["_Sieve"]:
    """Everything the runner prints goes to the log; a person sees what steps decided, and the epochs pass by.

    The runner replaces `print` and the root logger's handlers, and with parallel tasks does not put them back.
    """
    sieve = _Sieve(sys.stdout, record, runs, verbose, said_last)
    plain_print, logger = builtins.print, logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sieve), contextlib.redirect_stderr(sieve):
            warnings.simplefilter("ignore")
            logger.handlers[:] = [logging.StreamHandler(sieve)]
            yield sieve
    finally:
        builtins.print, logger.handlers[:] = plain_print, handlers
        logger.setLevel(level)
        sieve.end()


@dataclass(eq=False)
class _Try:
    """One try of a step: steps of a loop have one name, and run side by side.

    Attributes:
        lines: What it said last; None outside of steps.
        refused: Whether it said that another try is no use.
    """

    lines: collections.deque[str] | None = None
    refused: bool = False


class _Sieve(io.TextIOBase):
    """A stream that logs all it is given and lets the lines through that tell a person something."""

    def __init__(self, terminal: TextIO, record: BinaryIO, runs: Path, verbose: bool, said_last: Path) -> None:
        self._terminal, self._record, self._runs, self._verbose = terminal, record, runs, verbose
        self._said_last = said_last
        self._rest = ""
        self._passing = False
        self._lock = threading.Lock()
        self._own = threading.local()  # steps of a loop run in threads of their own, as do their lines
        self._outside = _Try()
        self._failures: list[tuple[_Try, str, list[str] | None]] = []  # with the step's name and its last lines
        self._reasons: dict[_Try, str] = {}
        self.summary = ""
        self.waits = False  # whether a step that kfp.local has begun with still waits for room

    @property
    def failed(self) -> list[str]:
        """The steps that failed for good, or the pipeline where none did."""
        return [name for _, name, _ in self._failures]

    @property
    def wrong_input(self) -> str:
        """Why an input cannot be used, or a disk takes no more, as it was said last; "" where nobody said so."""
        return next(reversed(self._reasons.values()), "")

    def write(self, text: str) -> int:
        with self._lock:
            with contextlib.suppress(OSError):  # a full disk: what the steps say of it must be seen
                self._record.write(text.encode(errors="replace"))
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._line(printable(re.sub(r"\x1b\[\d+m", "", line)))
            self._terminal.flush()
        return len(text)

    def begin(self) -> None:
        """Says that this thread begins a step."""
        self._own.now = _Try(collections.deque(maxlen=LAST_LINES))

    def starts(self) -> None:
        """Says that the step of this thread, which kfp.local has begun with, has room."""
        with self._lock:
            if not self._verbose:
                self._say(f"> {self._own.task}")
                self._terminal.flush()

    def refused(self) -> bool:
        """Whether the step of this thread said that its input cannot be used, or that a disk takes no more."""
        return self._now().refused

    def end(self) -> None:
        """Clears a progress line that is still shown."""
        if self._passing:
            self._terminal.write("\r\x1b[2K")

    def _now(self) -> _Try:
        now: _Try = getattr(self._own, "now", self._outside)
        return now

    def _ended(self, what: str, name: str, status: str) -> None:
        now = self._now()
        if status == "FAILURE" and (what == "Task" or not self._failures):
            self._failures.append((now, name, list(now.lines) if what == "Task" and now.lines is not None else None))
            self._keep_last_lines()
        elif status == "SUCCESS" and what == "Task":
            self._reasons.pop(now, None)

    def _forget(self, name: str) -> None:
        """The step of this thread is tried again: whatever was wrong may be so no more."""
        now = self._now()
        self._failures = [failure for failure in self._failures if failure[:2] != (now, name)]
        self._reasons.pop(now, None)
        self._keep_last_lines()

    def _keep_last_lines(self) -> None:
        with contextlib.suppress(OSError):  # a full disk
            write_json(self._said_last, {name: lines for _, name, lines in self._failures if lines is not None})

    def _refuse(self, reason: str, *, passing: bool = False) -> None:
        now = self._now()
        now.refused |= not passing
        self._reasons.pop(now, None)
        self._reasons[now] = reason  # as the last

    def _line(self, line: str) -> None:
        now, ended, again = self._now(), ENDED.search(line), AGAIN.search(line)
        if ended:
            self._ended(*ended.groups())
        elif now.lines is not None and told(line):
            now.lines.append(line.strip())
        if again:
            self._forget(again[1])
        if starts := STARTS.search(line):
            self._own.task = starts[1]
        if summary := SUMMARY.match(line):
            self.summary = summary[1]
        if wrong := WRONG.match(line):
            self._refuse(wrong[1])
        if passing := PASSING.match(line):
            self._refuse(passing[1], passing=True)
        if system := SYSTEM.match(line):
            self._refuse(f"{system[2] or self._runs}: {system[1]}")
        if self._verbose:
            self._terminal.write(line + "\n")
        elif epoch := EPOCH.match(line):
            if self._terminal.isatty():
                self._terminal.write(f"\r\x1b[2K  {epoch[1][:100]}")
                self._passing = True
        elif matched := SAID.match(line):
            self._say(f"  {matched[1]}")
        elif again:
            self._say(f"  {again[1]} failed; it is tried again in {float(again[2]):.0f} s")
        elif starts and not self.waits:
            self._say(f"> {starts[1]}")
        elif reused := REUSED.search(line):
            self._say(f"> {reused[1]} (done before)")

    def _say(self, line: str) -> None:
        self._terminal.write(("\r\x1b[2K" if self._passing else "") + line + "\n")
        self._passing = False
