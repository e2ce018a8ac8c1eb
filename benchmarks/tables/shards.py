"""Does a catalog that several workers score come out as from one, and does it if one of them is killed?

    python -m benchmarks.tables.shards CATALOG MODEL --task TASK [--shards 2]

The model is promoted in a registry of its own. One process scores the catalog (`vitrine predict`); then the `score` DAG
does with so many shards, as `vitrine pipeline run` runs it: each shard a process, two at a time. Once two parts are
there, one worker gets SIGKILL, as the kernel does when memory runs out. Told are wall and processor time of both, what
became of the killed one, and whether both tables are the same bytes. Exit code 1 if they are not.
"""

import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vitrine.catalog import read_catalog
from vitrine.registry.store import Registry

VITRINE = [sys.executable, "-m", "vitrine.cli"]


def main() -> int:
    """Runs both and compares; see above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--task", required=True)
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        Registry(home / "registry").promote(options.task, options.model, {}, "To be asked.")
        own = ["--model", f"champion:{options.task}", "--registry", str(home / "registry")]
        alone = measured([*VITRINE, "predict", str(options.catalog), *own, "--out", str(home / "alone.parquet")])
        given = {
            "data_catalog": options.catalog.absolute(),
            "out_registry": home / "registry",
            "out_reports": home / "reports",
            "out_scores": home / "scores",
            "tasks": options.task,
            "shards": options.shards,
        }
        run = [*VITRINE, "pipeline", "run", "score", "--runs", str(home / "runs")]
        shared = measured([*run, *(f"--set={key}={value}" for key, value in given.items())], home / "scores")
        same = (home / "alone.parquet").read_bytes() == (home / f"scores/{options.task}.parquet").read_bytes()
    photos = len(read_catalog(options.catalog, check_rows=False))
    print(f"{photos:,} photos; one process: {alone[0]}; {options.shards} shards, one killed: {shared[0]}")
    print("\n".join(re.findall(r"^.*(?:Score \d+/\d+:|tried again|of them before).*$", shared[1], re.M)))
    print("the same bytes" if same else "OTHER BYTES")
    return 0 if same else 1


def measured(command: list[str], victims: Path | None = None) -> tuple[str, str]:
    """Wall and processor time of a command, and what it said; kills a worker once two parts are in `victims`."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        if victims is not None:
            kill_a_worker(process, victims)
        said, _ = process.communicate()
    if process.returncode not in (0, 2):  # 2: photos that cannot be read
        raise SystemExit(said)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{time.monotonic() - started:.0f} s, {used:.0f} s of processor time", said


def kill_a_worker(run: subprocess.Popen[str], scores: Path) -> None:
    """SIGKILLs a process that scores a shard when there are parts of two."""
    while run.poll() is None:
        if len(list(scores.glob("*.part/0*.jsonl"))) > 1:
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    words = (process / "cmdline").read_bytes().decode().split("\0")
                    if "score_shard" in words and os.getsid(int(process.name)) == run.pid:
                        os.kill(int(process.name), signal.SIGKILL)
                        return
                except (OSError, ProcessLookupError):
                    continue
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
