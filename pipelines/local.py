"""Running the DAGs on this machine."""

import builtins
import contextlib
import io
import logging
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TextIO

from kfp import local

from pipelines.containers import in_containers
from pipelines.packages import load, parameters
from vitrine.catalog import read_catalog
from vitrine.errors import InputError
from vitrine.files import absolute, exists
from vitrine.journal import SIGN

PATHS = ("catalog", "remote", "registry", "reports", "checkpoints")
TRAININGS = 2  # that kfp.local runs at once at most
STARTS = re.compile(r"Executing task '([\w-]+)'")
REUSED = re.compile(r"Task ([\w-]+) cache hit")
EPOCH = re.compile(r"^\s*(.+: epoch \d+/\d+.*)$")
SAID = re.compile(rf"^\s*{SIGN} (.+)$")
SUMMARY = re.compile(r"^\s*Summary: (.+)$")
WRONG = re.compile(r"^\s*vitrine\.[\w.]+\.(?:Input|Photo)Error: (.+)$")


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
    now = f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    home = {
        "registry": str(runs / "registry"),
        "checkpoints": str(runs / "checkpoints"),
        "reports": str(runs / "summaries"),
        "endpoint": "",  # drift says that a retraining is due
    }
    inputs = load(name).component_spec.inputs
    arguments = {key: value for key, value in home.items() if key in inputs} | parameters(name, overrides, path)
    arguments |= {key: absolute(arguments[key]) for key in PATHS if arguments.get(key)}
    further = [absolute(other.strip()) for other in arguments.get("unlabelled", "").split(",") if other.strip()]
    if further:
        arguments["unlabelled"] = ",".join(further)
    if "catalog" not in arguments:
        raise InputError("--set catalog=...: name the folder of a catalog (`vitrine synth data` renders one)")
    if "%" in arguments["catalog"]:
        pass  # the first step fills a period in
    elif not arguments["catalog"].endswith(".dvc"):  # unusable input is said before anything starts
        read_catalog(arguments["catalog"], check_rows=False)
    elif not exists(arguments["catalog"]):
        raise InputError(f"{arguments['catalog']}: no such file")
    for other in further:
        read_catalog(other, check_rows=False)
    for folder in ("artifacts", "cache", "logs"):
        (runs / folder).mkdir(parents=True, exist_ok=True)
    log = runs / "logs" / f"{now}.log"
    # Two trainings at once with a thread per core each wait for one another most of the time (docs/decisions.md).
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // TRAININGS)))
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as record, _sieved(record, verbose) as sieve:
        pipeline, where = (load(name), local.SubprocessRunner(use_venv=False))
        if runner == "docker":
            pipeline, where = in_containers(name, arguments, runs)
        local.init(
            runner=where,
            pipeline_root=str(runs / "artifacts"),
            raise_on_error=False,
            enable_caching=cache,
            cache_root=str(runs / "cache"),
        )
        pipeline(**arguments)
    print(f"{'Failed' if sieve.failed else 'Done'} in {time.monotonic() - started:.0f} s. Log: {log}")
    print(f"Summary: {sieve.summary or 'none; the log says why'}")
    if sieve.wrong_input:
        raise InputError(sieve.wrong_input)
    return 1 if sieve.failed else 0


@contextlib.contextmanager
def _sieved(record: TextIO, verbose: bool) -> Iterator["_Sieve"]:
    """Everything the runner prints goes to the log; a person sees what steps decided, and the epochs pass by.

    The runner replaces `print` and the root logger's handlers, and with parallel tasks does not put them back.
    """
    sieve = _Sieve(sys.stdout, record, verbose)
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


class _Sieve(io.TextIOBase):
    """A stream that logs all it is given and lets the lines through that tell a person something."""

    def __init__(self, terminal: TextIO, record: TextIO, verbose: bool) -> None:
        self._terminal, self._record, self._verbose = terminal, record, verbose
        self._rest = ""
        self._passing = False
        self._lock = threading.Lock()
        self.failed = False
        self.wrong_input = ""
        self.summary = ""

    def write(self, text: str) -> int:
        with self._lock:
            self._record.write(text)
            self._record.flush()
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._line(re.sub(r"\x1b\[\d+m", "", line))
            self._terminal.flush()
        return len(text)

    def end(self) -> None:
        """Clears a progress line that is still shown."""
        if self._passing:
            self._terminal.write("\r\x1b[2K")

    def _line(self, line: str) -> None:
        if "finished with status FAILURE" in line:
            self.failed = True
        if summary := SUMMARY.match(line):
            self.summary = summary[1]
        if wrong := WRONG.match(line):
            self.failed, self.wrong_input = True, wrong[1]
        if self._verbose:
            self._terminal.write(line + "\n")
        elif epoch := EPOCH.match(line):
            if self._terminal.isatty():
                self._terminal.write(f"\r\x1b[2K  {epoch[1][:100]}")
                self._passing = True
        elif said := SAID.match(line):
            self._say(f"  {said[1]}")
        elif starts := STARTS.search(line):
            self._say(f"> {starts[1]}")
        elif reused := REUSED.search(line):
            self._say(f"> {reused[1]} (done before)")

    def _say(self, line: str) -> None:
        self._terminal.write(("\r\x1b[2K" if self._passing else "") + line + "\n")
        self._passing = False
