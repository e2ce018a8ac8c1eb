"""The `vitrine` command in a process of its own, as a user starts it."""

import os
import subprocess
import sys
from pathlib import Path


def environment(cache: Path) -> dict[str, str]:
    """One that finds the modules this process finds, and keeps what is fetched and scanned in `cache`."""
    return os.environ | {
        "OMP_NUM_THREADS": "1",  # sums over several threads may differ in their last bit
        "VITRINE_CACHE": str(cache),
        "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path),
    }


def vitrine(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command in a folder, with its cache there."""
    command = [sys.executable, "-m", "vitrine.cli", *map(str, arguments)]
    own = environment(folder / "cache")
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=600, check=False)
