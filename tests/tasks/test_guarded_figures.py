"""What each task measures is what the gate goes by: on figures as its own metrics have them."""

import json

import pytest
from kept import KEPT, labelled_noise, write_kept

from vitrine import files, tasks
from vitrine.evaluation.gate import decide
from vitrine.predict import Model
from vitrine.registry.store import Champion, figure
from vitrine.steps.gate import _headlines


@pytest.fixture(scope="module", params=tasks.names())
def measured(request, tmp_path_factory):
    """A task, and the metrics of a model of it."""
    folder = tmp_path_factory.mktemp(request.param)
    kept = next(path for path in KEPT if json.loads(path.read_text())["config"]["task"] == request.param)
    write_kept(kept, folder / "model")
    model = Model.load(folder / "model")
    return model.task, model.task.metrics(model.predict(model.task.rows(labelled_noise(folder), "test")))


def test_some_figures_may_not_fall_far(measured):
    task, metrics = measured
    guarded = [key for key in metrics if task.guarded.fullmatch(key)]
    assert guarded
    assert task.decides not in guarded
    rules = task.gate_rules(max_drop=0.05)
    champion = {**metrics, **dict.fromkeys(guarded, 0.9), task.decides: 0.5}
    better = {**champion, task.decides: 0.6}
    assert decide(better, champion, rules).promote
    for key in guarded:
        assert decide({**better, key: 0.86}, champion, rules).promote
        fallen = decide({**better, key: 0.84}, champion, rules)
        assert not fallen.promote
        assert f"{key} falls from 0.9000 to 0.8400" in fallen.reason


def test_gate_headline_and_run_name_name_one_figure(measured, tmp_path):
    task, metrics = measured
    assert task.decides in metrics
    assert task.gate_rules().metric == task.headlines[0] == task.decides
    champion = Champion(task.name, "v1", "", "", metrics, "", "")
    assert figure(champion) == f"{task.decides} {metrics[task.decides]:.3f}"
    files.write_json(tmp_path / "metrics.json", metrics)
    assert _headlines(task, tmp_path)[-1].startswith(f"{task.decides} {metrics[task.decides]:.3f}")
