"""What an environment holds: packages and MB of each list of pins, and the largest of them.

    python benchmarks/installed.py [REQUIREMENTS ...]

By default those of the image and of `make install`. A pin is measured as it is installed where this runs, by the files
that its package lists; how many of a list are not installed here is said, and what other systems alone install is left
out.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import Marker

HERE = Path(__file__).parent.parent
LARGEST = 12


def main() -> None:
    """Prints a row for each list, then the largest packages of the first."""
    lists = [Path(name) for name in sys.argv[1:]] or [HERE / "requirements.txt", HERE / "requirements-dev.txt"]
    known: dict[str, float | None] = {}
    print("| list | packages | MB | not installed here |")
    print("| --- | --- | --- | --- |")
    for path in lists:
        names = pinned(path.read_text())
        known |= {name: size(name) for name in names if name not in known}
        found = [known[name] or 0 for name in names]
        print(f"| {path} | {len(names)} | {sum(found):,.0f} | {sum(known[name] is None for name in names)} |")
    first = sorted(pinned(lists[0].read_text()), key=lambda name: -(known[name] or 0))[:LARGEST]
    print(f"largest of {lists[0]}: {', '.join(f'{name} {known[name] or 0:,.0f} MB' for name in first)}")


def pinned(text: str) -> list[str]:
    """The packages of a requirements file that this system installs."""
    lines = re.findall(r"^([A-Za-z0-9][\w.-]*)==[^\s;\\]+(?: *; *([^\\\n]+))?", text, re.MULTILINE)
    return [name for name, marker in lines if not marker.strip() or Marker(marker.strip()).evaluate()]


def size(name: str) -> float | None:
    """MB of an installed package, without the bytecode that was made of it; None if it is not installed."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return None
    paths = [Path(str(file.locate())) for file in files if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 2**20


if __name__ == "__main__":
    main()
