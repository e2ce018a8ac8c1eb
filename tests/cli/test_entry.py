"""What all commands have in common: help texts that come at once, exit codes, one line for what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from commands import in_, says
from vitrine_command import vitrine as start

from vitrine import __version__, cli

HEAVY = ("torch", "pandas", "kfp", "numpy", "PIL", "sklearn", "evidently", "great_expectations", "boto3")


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        found += commands(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


def test_every_help_text_comes_without_a_heavy_import():
    known = commands(cli.cli)
    assert ("pipeline", "run") in known
    assert ("train",) in known
    script = (
        "import sys\n"
        "from vitrine import cli\n"
        f"for path in {known!r}:\n"
        "    sys.argv = ['vitrine', *path, '--help']\n"
        "    try:\n"
        "        cli.main()\n"
        "    except SystemExit as ended:\n"
        "        assert ended.code == 0, path\n"
        f"print('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("Usage: vitrine") == len(known)
    assert "LOADED []" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("path", [(), ("pipeline",)])
def test_a_group_without_a_command_shows_its_help(vitrine, path):
    shown = vitrine(*path)
    assert shown.code == 0
    assert "Commands:\n" in shown.out
    assert shown.err == ""


def test_version(vitrine):
    assert vitrine("--version").out == f"vitrine, version {__version__}\n"


def test_an_unknown_command(vitrine):
    says(vitrine("nope"), "No such command 'nope'")


@pytest.mark.slow
def test_one_line_on_stderr_and_nothing_on_stdout(tmp_path):
    done = start(tmp_path, "validate", tmp_path / "nope", "--report", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{tmp_path}/nope: no such folder\n"
    assert in_(tmp_path) == []


def test_a_reader_that_went_away_is_no_answer():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "vitrine.cli", "pipeline", "list"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert done.returncode == 141  # what a shell says of SIGPIPE; 1 would be "no", 0 "yes"
    assert done.stderr == b""


def test_an_interrupt_is_no_answer(vitrine, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vitrine.synth.render_catalog", interrupted)
    assert vitrine("synth", "x").code == 130


def test_a_full_disk_is_one_line(vitrine, monkeypatch):
    def full(out: Path, **_: object) -> None:
        raise OSError(28, "No space left on device", str(out))

    monkeypatch.setattr("vitrine.synth.render_catalog", full)
    says(vitrine("synth", "x"), "x: No space left on device")


def test_what_fails_unexpectedly_is_not_the_answer_no(vitrine, monkeypatch):
    def fails(**_):
        raise RuntimeError("Too many bins for data range.")

    monkeypatch.setattr(cli.cli, "main", fails)
    ended = vitrine()
    assert ended.code == 3
    assert "Too many bins" in ended.err
