"""Compiling the DAGs, and running the same DAGs on this machine."""

import builtins
import contextlib
import difflib
import importlib
import io
import json
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
from typing import Any, TextIO

from kfp import compiler, local
from kfp.dsl import graph_component

from pipelines import PIPELINES
from vitrine.catalog import read_catalog
from vitrine.errors import InputError
from vitrine.files import absolute, atomic_write, exists
from vitrine.journal import SIGN

PATHS = ("catalog", "remote", "registry", "reports", "checkpoints")
TRAININGS = 2  # that kfp.local runs at once at most
STARTS = re.compile(r"Executing task '([\w-]+)'")
REUSED = re.compile(r"Task ([\w-]+) cache hit")
EPOCH = re.compile(r"^\s*(.+: epoch \d+/\d+.*)$")
SAID = re.compile(rf"^\s*{SIGN} (.+)$")
SUMMARY = re.compile(r"^\s*Summary: (.+)$")
WRONG = re.compile(r"^\s*vitrine\.[\w.]+\.(?:Input|Photo)Error: (.+)$")


def load(name: str) -> graph_component.GraphComponent:
    """A pipeline by name.

    Raises:
        InputError: for an unknown name, with the nearest known one.
    """
    if name not in PIPELINES:
        near = difflib.get_close_matches(name, PIPELINES, n=1, cutoff=0.0)[0]
        raise InputError(f"no pipeline {name!r}; did you mean {near}? (known: {', '.join(PIPELINES)})")
    return getattr(importlib.import_module(f"pipelines.{name}"), name)


def compile_pipeline(name: str, out: Path) -> None:
    """Writes a pipeline's package as YAML, whole or not at all."""
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"{out}: a package's name ends in .yaml")
    with atomic_write(out) as temporary:
        package = temporary.with_suffix(".yaml")
        compiler.Compiler().compile(load(name), str(package))
        package.replace(temporary)


def parameters(name: str, overrides: Iterable[str]) -> dict[str, Any]:
    """Typed pipeline parameters from `key=value` strings.

    Raises:
        InputError: for an unknown key (with the nearest known one) or a value of the wrong type.
    """
    inputs = load(name).component_spec.inputs or {}
    found: dict[str, Any] = {}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise InputError(f"--set {override}: reads key=value")
        if key not in inputs:
            near = difflib.get_close_matches(key, inputs, n=1, cutoff=0.0)[0]
            raise InputError(f"--set {key}: unknown; did you mean {near}? (known: {', '.join(inputs)})")
        try:
            found[key] = _typed(inputs[key].type, text)
        except ValueError as error:
            raise InputError(f"--set {key}={text}: not of type {inputs[key].type.lower()}") from error
    return found


def run_pipeline(
    name: str,
    overrides: Iterable[str],
    runs: Path,
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
        runner: `subprocess` or `docker`.
        cache: Reuse steps that finished before with the same inputs.
        verbose: Show the runner's own log.

    Returns:
        0 if every step ended well, else 1.
    """
    runs = Path(absolute(runs))
    now = f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    home = {
        "registry": runs / "registry",
        "checkpoints": runs / "checkpoints",
        "reports": runs / "summaries",
    }
    arguments = {key: str(path) for key, path in home.items()} | parameters(name, overrides)
    arguments |= {key: absolute(arguments[key]) for key in PATHS if arguments.get(key)}
    if "catalog" not in arguments:
        raise InputError("--set catalog=...: name the folder of a catalog (`vitrine synth data` renders one)")
    if not arguments["catalog"].endswith(".dvc"):  # unusable input is said before anything starts
        read_catalog(arguments["catalog"], check_rows=False)
    elif not exists(arguments["catalog"]):
        raise InputError(f"{arguments['catalog']}: no such file")
    for folder in ("artifacts", "cache", "logs"):
        (runs / folder).mkdir(parents=True, exist_ok=True)
    log = runs / "logs" / f"{now}.log"
    # Two trainings at once with a thread per core each wait for one another most of the time (docs/decisions.md).
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // TRAININGS)))
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as record, _sieved(record, verbose) as sieve:
        local.init(
            runner=_runner(runner),
            pipeline_root=str(runs / "artifacts"),
            raise_on_error=False,
            enable_caching=cache,
            cache_root=str(runs / "cache"),
        )
        load(name)(**arguments)
    print(f"{'Failed' if sieve.failed else 'Done'} in {time.monotonic() - started:.0f} s. Log: {log}")
    print(f"Summary: {sieve.summary or 'none; the log says why'}")
    if sieve.wrong_input:
        raise InputError(sieve.wrong_input)
    return 1 if sieve.failed else 0


def _runner(name: str) -> Any:
    """Containers run as whoever owns the artifacts' folder; subprocesses in this very environment."""
    if name == "docker":
        return local.DockerRunner(user=f"{os.getuid()}:{os.getgid()}")
    return local.SubprocessRunner(use_venv=False)


def _typed(kind: str, text: str) -> Any:
    if kind == "Boolean":
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if kind in ("Integer", "Double", "Float"):
        return int(text) if kind == "Integer" else float(text)
    if kind in ("List", "Dict", "Struct"):
        return json.loads(text)
    return text


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
