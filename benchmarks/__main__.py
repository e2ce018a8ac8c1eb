"""Runs the benchmarks and writes docs/performance.md from what they print: `make bench`.

    python -m benchmarks [NAME ...] [--kept runs/bench] [--out docs/performance.md]

Each script is a process of its own and says in its first lines what it compares with what. Its output is kept below
`--kept`, so that naming some runs those anew and leaves the others on the page.
"""

import argparse
import ast
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEAD = """# Performance

Written by

    make bench

or `python -m benchmarks NAME ...` for some of them. Each claim has its reference in the same run: what a busy machine
does falls on both. `load` is how many processes wanted a core in the minute before.
"""
NAMES = sorted(path.stem for path in HERE.glob("*.py") if not path.name.startswith("_"))


def main() -> None:
    """Runs what is named (all by default), one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; default: all")
    parser.add_argument("--kept", type=Path, default=Path("runs/bench"))
    parser.add_argument("--out", type=Path, default=Path("docs/performance.md"))
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no such benchmark: {unknown[0]}; there are {', '.join(NAMES)}")
    options.kept.mkdir(parents=True, exist_ok=True)
    for name in options.names or NAMES:
        print(f"\n{name}", flush=True)
        (options.kept / f"{name}.json").write_text(json.dumps(run(name)))
    found = {name: options.kept / f"{name}.json" for name in NAMES}
    options.out.write_text(page({name: json.loads(path.read_text()) for name, path in found.items() if path.exists()}))
    print(f"\n{options.out}: {sum(path.exists() for path in found.values())} of {len(NAMES)} benchmarks")


def run(name: str) -> dict[str, Any]:
    """Runs a script, showing what it prints; that, and when, for how long and on what."""
    started, busy = time.monotonic(), os.getloadavg()[0]
    lines = []
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, str(HERE / f"{name}.py")], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"    {line}", end="", flush=True)
            lines.append(line.rstrip("\n"))
    if process.returncode:
        raise SystemExit(f"{name}: exit code {process.returncode}")
    return {
        "lines": lines,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "seconds": round(time.monotonic() - started),
        "machine": machine(),
        "load": round(busy, 1),
    }


def machine() -> str:
    """Processor, cores and the versions that matter."""
    info = Path("/proc/cpuinfo")
    models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    named = models[0] if models else platform.processor() or platform.machine()
    python = platform.python_version()
    return f"{named}, {os.cpu_count()} cores, Python {python}, torch {version('torch')}"


def page(found: dict[str, dict[str, Any]]) -> str:
    """docs/performance.md."""
    parts = [HEAD, (HERE / "asked.md").read_text()]
    for name, own in found.items():
        text = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())) or ""
        parts.append(f"## {text}\n")
        parts.append(f"{own['date']}, {own['machine']}, load {own['load']}, took {own['seconds']} s:\n")
        parts.append(rendered(own["lines"]))
    return "\n".join(parts)


def rendered(lines: Sequence[str]) -> str:
    """Lines with bars as tables, the first of each its header; other lines as they are."""
    text, width = "", 0
    for line in lines:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 1:
            text += f"{'' if not text or width == 0 else chr(10)}    {line}\n" if line else ""
            width = 0
        elif not set(line) <= set("|- "):
            header = width == 0
            text += ("\n" if header and text else "") + f"| {' | '.join(cells)} |\n"
            text += "|" + " --- |" * len(cells) + "\n" if header else ""
            width = len(cells)
    return text


if __name__ == "__main__":
    main()
