"""The `vitrine` command: in this process, and in one of its own as a user starts it."""

import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from vitrine import cli
from vitrine.cli import entry


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: object
    out: str
    err: str


def run(*arguments: object) -> object:
    """The exit code of a command in this process; the log levels that it sets do not stay."""
    levels = {name: logging.getLogger(name).level for name in entry.NOISY}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["vitrine", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    return ended.value.code


def environment(cache: Path) -> dict[str, str]:
    """One that finds the modules this process finds, and keeps what is fetched and scanned in `cache`."""
    return os.environ | {
        "OMP_NUM_THREADS": "1",  # sums over several threads may differ in their last bit
        "VITRINE_CACHE": str(cache),
        "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path),
    }


def vitrine(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own, in a folder, with its cache there."""
    command = [sys.executable, "-m", "vitrine.cli", *map(str, arguments)]
    own = environment(folder / "cache")
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=600, check=False)
