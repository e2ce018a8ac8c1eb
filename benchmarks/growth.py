"""How memory and processor time grow with the photos of a rendered catalog: each command in a process of its own.

    python benchmarks/growth.py [--photos 100 1000 5000 20000] [--commands scan validate clean split train index search]

Processor time is that of the command and of the processes it waits for, memory the largest of them at its peak. The
smallest catalog stands for what a command takes whatever it is given, such as its imports: `slope` is the memory beyond
it, and `order` the exponent of the time beyond it between the last two sizes, 1 for linear. Caches are new for each
size. Training is one pass of the narrow net at 64 px. `quality_at_size.py` measures the commands that read tables alone
at hundreds of thousands of rows.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from vitrine.synth import render_catalog

PHOTOS_OF_LISTING = 4.6
COMMANDS = ("scan", "validate", "clean", "split", "train", "index", "search")
TRAINING = ("backbone=resnet18_narrow", "weights=none", "image_size=64", "epochs=1")


def main() -> None:
    """Runs the commands on each catalog; then how each has grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[100, 1000, 5000, 20_000])
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS, help="Each needs those before it.")
    options = parser.parse_args()
    print("photos | command | processor, s | MB at most")
    taken: dict[str, list[tuple[int, float, float]]] = {name: [] for name in options.commands}
    for wanted in sorted(options.photos):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            render_catalog(home / "catalog", listings=math.ceil(wanted / PHOTOS_OF_LISTING))
            photos = sum(1 for _ in (home / "catalog" / "images").iterdir())
            environment = {**os.environ, "VITRINE_CACHE": str(home / "cache")}
            for name in options.commands:
                seconds, memory = measured(words(name, home), environment)
                taken[name].append((photos, seconds, memory))
                print(f"{photos:,} | {name} | {seconds:.1f} | {memory:.0f}", flush=True)
    print("\ncommand | MB a thousand photos (slope) | ms a photo | order")
    for name, sizes in taken.items():
        print(f"{name} | {grown(sizes)}")


def words(name: str, home: Path) -> list[str]:
    """The words of a command."""
    catalog, cleaned, parted, model, found = (
        str(home / part) for part in ("catalog", "clean", "parted", "model", "found")
    )
    photos = ["--photos", str(home / "photos")]
    return {
        "scan": ["scan", catalog, photos[1]],
        "validate": ["validate", catalog, "--report", str(home / "report"), *photos],
        "clean": ["clean", catalog, cleaned, "--min-class-count", "1", *photos],
        "split": ["split", cleaned, parted],
        "train": ["train", "taxonomy", parted, model, *(word for value in TRAINING for word in ("--set", value))],
        "index": ["index", model, parted, found],
        "search": ["search", found, str(next((home / "catalog" / "images").iterdir()))],
    }[name]


def measured(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Runs a command: processor seconds and MB."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "vitrine.cli", *arguments], env=environment, stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        code = process.returncode = os.waitstatus_to_exitcode(status)
        if code not in (0, 1):  # 1: faults were found
            said.seek(0)
            raise SystemExit(f"{' '.join(arguments)}: exit code {code}\n{said.read().decode(errors='replace')}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def grown(sizes: list[tuple[int, float, float]]) -> str:
    """Columns of the last table, from (photos, seconds, MB) by size.

    >>> grown([(100, 5.0, 300.0), (1100, 7.0, 310.0), (2100, 9.0, 320.0)])
    '10.0 | 2.00 | 1.00'
    >>> grown([(100, 5.0, 300.0), (1100, 6.0, 300.0), (2100, 9.0, 300.0)])
    '0.0 | 2.00 | 2.00'
    """
    (first, start, least), (last, end, most) = sizes[0], sizes[-1]
    if last == first:
        return "nan | nan | nan"
    slope, each = 1000 * (most - least) / (last - first), 1000 * (end - start) / (last - first)
    order = math.nan
    if len(sizes) > 2:
        before, then, _ = sizes[-2]
        if min(end, then) > start:
            order = math.log((end - start) / (then - start)) / math.log((last - first) / (before - first))
    return f"{slope:.1f} | {each:.2f} | {order:.2f}"


if __name__ == "__main__":
    main()
