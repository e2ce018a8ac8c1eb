"""Benchmarks call the library by hand: the one that wires all steps together runs here once."""

import doctest
from pathlib import Path

import pytest

from benchmarks import _markdown
from benchmarks.dag_overhead import run_in_process
from vitrine.registry.store import Registry
from vitrine.synth import render_catalog


@pytest.mark.slow
def test_steps_in_one_process_promote_both_models(tmp_path: Path) -> None:
    render_catalog(tmp_path / "data", listings=60)
    run_in_process(tmp_path, epochs=1)
    registry = Registry(str(tmp_path / "plain" / "r"))
    assert all(registry.champion(task) for task in ("attributes", "taxonomy"))


def test_tables_say_nothing_twice() -> None:
    done = doctest.testmod(_markdown)
    assert done.attempted
    assert not done.failed
