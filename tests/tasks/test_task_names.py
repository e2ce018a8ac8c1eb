"""Only a task's own package and the registry know it by name, so that a new one is a package and a line."""

import re
from pathlib import Path

import pytest

from vitrine import tasks

ROOT = Path(__file__).parents[2]
WORDS = {"attributes"}  # of a photo, its colour or sleeve, too: so only the literal counts
FORMAT = {"src/vitrine/catalog/mapping.py"}  # whose files have a key of that word


def sources():
    own = ROOT / "src/vitrine/tasks"
    for folder in ("src", "components"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".js", ".html", ".j2", ".css"} and own not in path.parents:
                yield path


@pytest.mark.parametrize("name", tasks.names())
def test_no_other_room_names_a_task(name):
    named = re.compile(rf"""["']{name}["']|tasks[./]{name}""" if name in WORDS else rf"\b{name}\b")
    places = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources()
        if not (name in WORDS and str(path.relative_to(ROOT)) in FORMAT)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if named.search(line)
    ]
    assert places == []


def test_the_rooms_are_read():
    assert {"entry.py", "page.js", "train.py", "gate.py"} <= {path.name for path in sources()}
