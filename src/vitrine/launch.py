"""Starting a training with one process per GPU (torchrun), of this machine or of several nodes."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitrine.errors import InputError
from vitrine.files import atomic_write, new_folder, refuse_links_out

# Runs a command on several nodes: (name of the training, the command, the file in which wrong input is told).
Run = Callable[[str, Sequence[str], Path], None]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")
TAIL = 30  # lines of a process's errors that are repeated when nodes fail


def launch(
    processes: int, task: str, variant: str, table: Path, out: Path, overrides: Sequence[str], checkpoints: Path
) -> None:
    """Trains like `vitrine.train.train`, by several processes on this machine; resumes.

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
        error_file = Path(folder) / "error"
        torchrun = [*TORCHRUN, "--standalone", f"--nproc-per-node={processes}"]
        work = _worker(task, variant, table, out, overrides, checkpoints, error_file)
        done = subprocess.run([*torchrun, *work], check=False)
        if error_file.exists():
            raise InputError(error_file.read_text(encoding="utf-8"))
        if done.returncode:
            raise RuntimeError(f"a process of {processes} ended with {done.returncode}; see the log above")


def launch_on_nodes(
    run: Run, task: str, variant: str, table: Path, out: Path, overrides: Sequence[str], checkpoints: Path
) -> None:
    """Trains like `launch`, by the processes of several nodes; what they need and make is on the volume they share.

    Every node fetches the photos itself. A model that is there already was finished by a step that died before it
    could take it.

    Args:
        run: What starts the nodes and waits for their end.
        task: See `train`.
        variant: See `train`.
        table: Folder of the catalog.
        out: See `train`.
        overrides: See `train`.
        checkpoints: See `train`; on the volume. Its name is the training's.

    Raises:
        InputError: as `train` does.
        RuntimeError: if the nodes end without a model.
    """
    home = checkpoints / "nodes"
    model, error_file, logs = home / out.name, home / "error", home / "logs"
    if not model.exists():
        shared = _share(table, overrides, home)
        torchrun = [*TORCHRUN, f"--log-dir={logs}", "--tee=3"]
        work = _worker(task, variant, home / "table", model, shared, checkpoints, error_file)
        try:
            run(checkpoints.name, [*torchrun, *work], error_file)
        except RuntimeError:
            if not model.exists():
                _repeat(logs)
                raise
        if error_file.exists():
            reason = error_file.read_text(encoding="utf-8")
            shutil.rmtree(home, ignore_errors=True)  # a node that is being ended may still write
            raise InputError(reason)
        if not model.exists():
            raise RuntimeError(f"the nodes ended without a model in {model}")
    with new_folder(out) as folder:
        shutil.copytree(model, folder, dirs_exist_ok=True)
    shutil.rmtree(home, ignore_errors=True)


def _share(table: Path, overrides: Sequence[str], home: Path) -> list[str]:
    """Copies the table and teachers to where all nodes see them, once; returns the settings with those teachers."""
    with atomic_write(home / "table" / "catalog.parquet") as temporary:
        shutil.copyfile(table / "catalog.parquet", temporary)
    shared = list(overrides)
    for place, (name, _, value) in enumerate(override.partition("=") for override in overrides):
        if name == "teachers":
            teachers = [Path(teacher) for teacher in value.split(",") if teacher]
            copies = [home / "teachers" / str(number) for number in range(len(teachers))]
            for teacher, copy in zip(teachers, copies, strict=True):
                if not copy.exists():
                    refuse_links_out(teacher)
                    with new_folder(copy) as folder:
                        shutil.copytree(teacher, folder, dirs_exist_ok=True)
            shared[place] = f"teachers={','.join(map(str, copies))}"
    return shared


def _repeat(logs: Path) -> None:
    """The pods and their logs go with the job; what the processes said last is the reason."""
    for path in sorted(logs.glob("**/stderr.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
        print("\n".join([f"{path.relative_to(logs)}:", *lines]), flush=True)
    shutil.rmtree(logs, ignore_errors=True)


def _worker(
    task: str, variant: str, table: Path, out: Path, overrides: Sequence[str], checkpoints: Path, error_file: Path
) -> list[str]:
    """What torchrun is to start."""
    asked = {
        "task": task,
        "variant": variant,
        "table": str(table),
        "out": str(out),
        "overrides": list(overrides),
        "checkpoints": str(checkpoints),
        "said": str(error_file),
    }
    return ["-m", "vitrine.launch", json.dumps(asked)]


def work(asked: Mapping[str, Any]) -> int:
    """What each process does; the reason for which there is nothing to train goes where whoever started it looks."""
    from vitrine.catalog import read_catalog
    from vitrine.catalog.fetch import at_hand
    from vitrine.train import train

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
