"""Starting a training with one process per GPU of this machine (torchrun)."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitrine.errors import InputError
from vitrine.files import atomic_write


def launch(
    processes: int, task: str, variant: str, table: Path, out: Path, overrides: Sequence[str], checkpoints: Path
) -> None:
    """Trains like `vitrine.training.train.train`, by several processes on this machine; resumes.

    Args:
        processes: How many.
        task: See `train`.
        variant: See `train`.
        table: Folder of the catalog.
        out: See `train`.
        overrides: See `train`.
        checkpoints: See `train`.

    Raises:
        InputError: as `train` does.
        RuntimeError: if a process dies.
    """
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "error"
        asked = {
            "task": task,
            "variant": variant,
            "table": str(table),
            "out": str(out),
            "overrides": list(overrides),
            "checkpoints": str(checkpoints),
            "said": str(said),
        }
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        done = subprocess.run([*torchrun, "-m", "vitrine.training.launch", json.dumps(asked)], check=False)
        if said.exists():
            raise InputError(said.read_text(encoding="utf-8"))
        if done.returncode:
            raise RuntimeError(f"a process of {processes} ended with {done.returncode}; see the log above")


def work(asked: Mapping[str, Any]) -> int:
    """What each process does; the reason for which there is nothing to train goes where `launch` looks."""
    from vitrine.catalog import read_catalog
    from vitrine.catalog.fetch import at_hand
    from vitrine.training.train import train

    try:
        catalog = at_hand(read_catalog(asked["table"]))
        train(
            asked["task"],
            asked["variant"],
            catalog,
            Path(asked["out"]),
            asked["overrides"],
            resume=True,
            checkpoints=Path(asked["checkpoints"]),
        )
    except InputError as error:
        with atomic_write(Path(asked["said"])) as temporary:
            temporary.write_text(str(error), encoding="utf-8")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(work(json.loads(sys.argv[1])))
