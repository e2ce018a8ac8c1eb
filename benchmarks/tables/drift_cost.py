"""What `vitrine drift` costs beside an earlier version: whole processes in turns, on the same two catalogs.

    python benchmarks/tables/drift_cost.py CATALOG --against CHECKOUT [--photos 1000] [--rounds 3]

CHECKOUT is a work tree of the earlier version (`git worktree add CHECKOUT COMMIT`); both run with this environment's
packages. The two sides are random photos of CATALOG. Each process has a cache folder of its own, empty, so that every
photo is read. Printed are wall time and processor time (user and system) of each round, and what each came to; where a
machine is shared only processor time means anything.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vitrine.catalog import read_catalog, write_catalog

HERE = Path(__file__).resolve().parents[2]


def main() -> None:
    """Prints a line a round, and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog")
    parser.add_argument("--against", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    catalog = read_catalog(options.catalog)
    order = np.random.default_rng(options.seed).permutation(len(catalog))
    builds = {"now": HERE, "before": options.against.resolve()}
    with tempfile.TemporaryDirectory() as folder:
        sides = []
        for number in range(2):
            rows = np.sort(order[number * options.photos : (number + 1) * options.photos])
            sides.append(Path(folder) / f"side{number}")
            write_catalog(catalog.with_table(catalog.table.iloc[rows].reset_index(drop=True)), sides[-1])
        times: dict[str, list[float]] = {name: [] for name in builds}
        for turn in range(options.rounds):
            for name in sorted(builds, reverse=turn % 2 == 1):
                wall, processor, said = run(builds[name], sides, Path(folder) / f"{name}{turn}")
                times[name].append(processor)
                print(f"{name}: {wall:.1f} s, processor {processor:.1f} s: {said}", flush=True)
    ratio = statistics.median(times["now"]) / statistics.median(times["before"])
    print(f"processor time, median of {options.rounds}: {ratio:.2f} of before")


def run(build: Path, sides: list[Path], out: Path) -> tuple[float, float, str]:
    """Wall and processor seconds of a comparison, and its first signals by their ratio to the threshold."""
    environment = {**os.environ, "PYTHONPATH": f"{build / 'src'}:{build}", "VITRINE_CACHE": f"{out}-cache"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "vitrine.cli", "drift", *map(str, sides), str(out)]
    done = subprocess.run(command, env=environment, cwd=build, capture_output=True, text=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    found = json.loads((out / "results.json").read_text())
    named = ", ".join(f"{one['signal']} {one['distance']:.6g}/{one['threshold']:.6g}" for one in found["findings"][:3])
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, processor, f"{'drift' if found['drifted'] else 'no drift'}; {named}"


if __name__ == "__main__":
    main()
