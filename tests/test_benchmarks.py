"""Benchmarks call the library by hand: the one that wires all steps together runs here once; how a soak judges."""

import doctest
import json
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import _markdown, growth
from benchmarks.dag_overhead import run_in_process
from benchmarks.tables.soak import Seen, judge
from vitrine.registry.store import Registry
from vitrine.synth import render_catalog


@pytest.mark.slow
def test_steps_in_one_process_promote_both_models(tmp_path: Path) -> None:
    render_catalog(tmp_path / "data", listings=50)
    run_in_process(tmp_path, epochs=1)
    registry = Registry(str(tmp_path / "plain" / "r"))
    assert all(registry.champion(task) for task in ("attributes", "taxonomy"))


@pytest.mark.parametrize("module", [_markdown, growth])
def test_tables_say_what_their_examples_say(module: ModuleType) -> None:
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed


def said(version: str, *sure: float) -> bytes:
    records = [{"image": f"{i}", "level1": [{"label": "A", "confidence": value}]} for i, value in enumerate(sure)]
    return json.dumps({"version": version, "answers": records}).encode()


@pytest.mark.parametrize(
    ("body", "mixed"),
    [
        (said("a", 0.9, 0.8), 0),
        (said("b", 0.1, 0.2), 0),
        (said("a", 0.9, 0.2), 1),  # the second photo by the other model
        (said("b", 0.9, 0.8), 2),  # both, under its name
    ],
)
def test_an_answer_that_is_not_of_the_model_it_names_is_mixed(body: bytes, mixed: int) -> None:
    expected = {"a": [{"level1 A": 0.9}, {"level1 A": 0.8}], "b": [{"level1 A": 0.1}, {"level1 A": 0.2}]}
    seen = Seen()
    judge(seen, 200, body, [(0, expected), (1, expected)])
    assert (len(seen.mixed), seen.failed, seen.answered) == (mixed, [], 1)


def test_memory_that_grows_is_seen_and_other_answers_have_failed() -> None:
    seen = Seen(memory=[(second / 60, 500 + (300 if second < 3 else 2 * second / 60)) for second in range(120)])
    assert seen.slope() == pytest.approx(2)
    judge(seen, 503, b"busy", [])
    assert seen.failed == ["503 busy"]
