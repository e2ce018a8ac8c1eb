"""How long the command takes to begin: `vitrine --help`, the slowest subcommand's help, and `import vitrine`.

    python benchmarks/startup.py [--rounds 9]

Each is a process of its own, in turns with `python -c pass`, which is the least that any of them can take. Printed are
medians and, of the same processes, the modules they loaded: torch must not be among them.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

VITRINE = str(Path(sys.executable).with_name("vitrine"))
HELPS = ("", "ingest", "validate", "clean", "split", "train", "evaluate", "predict", "index", "search", "pipeline")
HEAVY = ("torch", "pandas", "kfp", "evidently", "great_expectations", "matplotlib")
LOADED = f"import sys; print(*(name for name in {HEAVY} if name in sys.modules))"


def main() -> None:
    """Prints milliseconds and what was loaded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    commands = {"python -c pass": [sys.executable, "-c", "pass"]}
    commands["import vitrine"] = [sys.executable, "-c", "import vitrine"]
    commands |= {f"vitrine {name} --help".replace("  ", " "): [VITRINE, *name.split(), "--help"] for name in HELPS}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(1000 * (time.perf_counter() - started))
    print("command | ms | least to most")
    for name, own in times.items():
        print(f"{name} | {statistics.median(own):.0f} | {min(own):.0f} to {max(own):.0f}")
    loaded = subprocess.run(
        [sys.executable, "-c", f"import vitrine.cli; {LOADED}"], check=True, capture_output=True, text=True
    ).stdout.strip()
    print(f"importing the command line loads of {', '.join(HEAVY)}: {loaded or 'none'}")


if __name__ == "__main__":
    main()
