"""A command that is killed at any rename leaves its folder whole or not at all, and is done by the same command again."""

import os
from pathlib import Path

import pytest
from PIL import Image

from vitrine.catalog import read_catalog
from vitrine.catalog.ingest import ingest
from vitrine.errors import InputError
from vitrine.quality.clean import clean_catalog
from vitrine.quality.scan import write_photo_table
from vitrine.quality.split import split_catalog

KILLED = 41
COMMANDS = {
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


def killed_at(number, work):
    """Whether `work` came to its rename of that number, right after which its process ended."""
    child = os.fork()
    if not child:
        left = [number]

        def after(rename):
            def renamed(*paths, **options):
                done = rename(*paths, **options)
                left[0] -= 1
                if not left[0]:
                    os._exit(KILLED)
                return done

            return renamed

        for module in (Path, os):
            for name in ("rename", "replace"):
                setattr(module, name, after(getattr(module, name)))
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


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
        killed = killed_at(number, lambda: command(root, out))  # noqa: B023
        if out.exists():  # whole: asked for again, that is said
            with pytest.raises(InputError, match="exists already"):
                command(root, out)
        else:
            command(root, out)
        assert content(out) == content(root / "whole")
    assert number > 1
