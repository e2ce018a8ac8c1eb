"""A command that is killed at any rename leaves its folder whole or not at all, and is done by the same command again."""

import pytest
from killing import killed_at
from PIL import Image

from vitrine.catalog import read_catalog
from vitrine.catalog.fetch import fetch
from vitrine.catalog.ingest import ingest
from vitrine.errors import InputError
from vitrine.quality.clean import clean_catalog
from vitrine.quality.scan import write_photo_table
from vitrine.quality.split import split_catalog

COMMANDS = {
    "fetch": lambda root, out: fetch(str(root / "made"), out),
    "ingest": lambda root, out: ingest(root / "photos", out, "folder"),
    "scan": lambda root, out: write_photo_table(read_catalog(root / "made"), out, workers=1),
    "clean": lambda root, out: clean_catalog(read_catalog(root / "made"), out, 0, workers=1),
    "split": lambda root, out: split_catalog(read_catalog(root / "made"), out, workers=1),
}


@pytest.fixture
def root(tmp_path):
    for kind in ("A", "B"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(4):
            picture = Image.new("RGB", (40, 40), (30 * number, 90, 200 if kind == "A" else 0))
            picture.putpixel((number * 5, 7), (255, 255, 255))
            picture.save(tmp_path / "photos" / kind / f"{number}.png")
    ingest(tmp_path / "photos", tmp_path / "made", "folder")
    return tmp_path


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".html"}


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_any_rename(root, monkeypatch, name):
    command = COMMANDS[name]
    monkeypatch.setenv("VITRINE_CACHE", str(root / "cache"))
    command(root, root / "whole")
    number, killed = 0, True
    while killed:
        number += 1
        out = root / f"out{number}"
        monkeypatch.setenv("VITRINE_CACHE", str(root / f"cache{number}"))
        killed = killed_at(number, command, root, out)
        if out.exists():  # whole: asked for again, that is said
            with pytest.raises(InputError, match="exists already"):
                command(root, out)
        else:
            command(root, out)
        assert content(out) == content(root / "whole")
    assert number > 1
