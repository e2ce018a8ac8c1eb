"""Compiling the DAGs, and running the same DAGs on this machine."""

import contextlib
import difflib
import importlib
import io
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from kfp import compiler, local
from kfp.dsl import graph_component

from pipelines import PIPELINES
from vitrine.errors import InputError
from vitrine.files import absolute, atomic_write

PATHS = ("catalog", "remote", "registry", "run", "checkpoints")
STARTS = re.compile(r"Executing task .*?'([\w-]+)'")
REUSED = re.compile(r"[Cc]ach\w+ .*?'([\w-]+)'|'([\w-]+)'.* [Cc]ach")
EPOCH = re.compile(r"^\s*(.+: epoch \d+/\d+.*)$")
SAID = re.compile(r"^ {4}([A-Z][\w ():]*: .+)$")
WRONG = re.compile(r"^ {4}(?:vitrine\.errors\.)?(InputError|PhotoError): (.+)$")


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
    now = f"{datetime.now():%Y%m%d-%H%M%S}"
    home = {
        "registry": runs / "registry",
        "checkpoints": runs / "checkpoints",
        "run": runs / "summaries" / f"{now}-{os.getpid()}",
    }
    arguments = {key: str(path) for key, path in home.items()} | parameters(name, overrides)
    arguments |= {key: absolute(arguments[key]) for key in PATHS if arguments.get(key)}
    if "catalog" not in arguments:
        raise InputError("--set catalog=...: name the folder of a catalog (`vitrine synth data` renders one)")
    for folder in ("artifacts", "cache", "logs"):
        (runs / folder).mkdir(parents=True, exist_ok=True)
    log = runs / "logs" / f"{now}.log"
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as record, _filtered(record, verbose):
        local.init(
            runner=local.DockerRunner() if runner == "docker" else local.SubprocessRunner(use_venv=False),
            pipeline_root=str(runs / "artifacts"),
            raise_on_error=False,
            enable_caching=cache,
            cache_root=str(runs / "cache"),
        )
        load(name)(**arguments)
    summary = Path(arguments["run"]) / "summary.html"
    seconds = time.monotonic() - started
    failed = "verdict bad" in summary.read_text(encoding="utf-8") if summary.exists() else True
    print(f"{'Failed' if failed else 'Done'} in {seconds:.0f} s. Log: {log}")
    print(f"Summary: {summary}")
    return 1 if failed else 0


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
def _filtered(record: TextIO, verbose: bool) -> Iterator[None]:
    """Everything the runner prints goes to the log; a person sees what steps decided, and the epochs pass by."""
    terminal = sys.stdout
    sieve: TextIO = _Sieve(terminal, record, verbose)
    with warnings.catch_warnings(), contextlib.redirect_stdout(sieve), contextlib.redirect_stderr(sieve):
        warnings.simplefilter("ignore")
        yield
    sieve.flush()


class _Sieve(io.TextIOBase):
    def __init__(self, terminal: TextIO, record: TextIO, verbose: bool) -> None:
        self._terminal, self._record, self._verbose = terminal, record, verbose
        self._rest = ""
        self._passing = False

    def write(self, text: str) -> int:
        self._record.write(text)
        self._record.flush()
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(re.sub(r"\x1b\[\d+m", "", line))
        return len(text)

    def _line(self, line: str) -> None:
        if self._verbose:
            self._terminal.write(line + "\n")
        elif (match := EPOCH.match(line)) and self._terminal.isatty():
            self._terminal.write(f"\r\x1b[2K  {match[1][:100]}")
            self._passing = True
        elif not match and (said := SAID.match(line) or STARTS.search(line) or WRONG.match(line)):
            starts = said.re is STARTS
            self._say(f"> {said[1]}" if starts else f"  {said[said.re.groups]}")
        self._terminal.flush()

    def _say(self, line: str) -> None:
        self._terminal.write(("\r\x1b[2K" if self._passing else "") + line + "\n")
        self._passing = False
