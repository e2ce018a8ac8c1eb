"""What a run costs a cluster beside its work: pods, and the room that Argo has for the state of a run."""

import json
import math

import pytest
import yaml
from pods import pods

from pipelines import PIPELINES, stages
from pipelines.form import default_settings
from pipelines.packages import compile_pipeline, defaults
from vitrine.errors import InputError
from vitrine.steps import data, gate
from vitrine.steps.scanning import shard_names

BEFORE = {"pods": 70, "chain": 41}  # `retrain` with 7 types at 0b18b51: seen on a cluster, and counted
TYPES = [f"type {number}" for number in range(7)]

# Seen on a cluster at 80e5989, 7 teachers and 1 shard: 1.9 MB of state, of which 108 KB a teacher; 227 KB compressed.
ROUND, WHOLE, COMPRESSED, LIMIT = 108e3, 1.9e6, 227e3, 1e6


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    for name in PIPELINES:
        compile_pipeline(name, folder / f"{name}.yaml")
    return {name: next(yaml.safe_load_all((folder / f"{name}.yaml").read_text())) for name in PIPELINES}


def rounds(types, shards=1, per_pod=0):
    groups = stages.type_groups(types, per_pod)
    return {"scans": min(shards, stages.SCAN_PODS), "teachers": len(groups)}


@pytest.mark.slow
def test_a_retraining_of_seven_types_takes_three_fifths_of_the_pods(packages):
    """Everything is made, nothing is reused, both models are promoted."""
    total, chain = pods(packages["retrain"], rounds(TYPES))
    assert total <= 0.6 * BEFORE["pods"]
    assert chain <= 0.6 * BEFORE["chain"]


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("retrain", (39, 23)),
        ("authenticate", (20, 18)),
        ("represent", (22, 20)),
        ("match", (22, 20)),
        ("monitor", (19, 17)),
        ("score", (12, 12)),
    ],
)
def test_pods_are_those_of_the_results_page(packages, name, counted):
    assert pods(packages[name], rounds(TYPES) | {"shards": 1}) == counted


def test_the_count_is_that_of_argos_compiler():
    """A loop of three rounds with a step each, then a condition around a step, before an exit handler's last step."""
    step, leaf = {"componentRef": {"name": "leaf"}}, {"executorLabel": "leaf"}
    loop = {"componentRef": {"name": "body"}, "parameterIterator": {}, "taskInfo": {"name": "loop"}}
    spec = {
        "root": {
            "dag": {"tasks": {"run": {"componentRef": {"name": "run"}}, "bye": step | {"dependentTasks": ["run"]}}}
        },
        "components": {
            "leaf": leaf,
            "body": {"dag": {"tasks": {"step": step}}},
            "run": {
                "dag": {"tasks": {"loop": loop, "if": {"componentRef": {"name": "body"}, "dependentTasks": ["loop"]}}}
            },
        },
    }
    assert pods(spec, {"loop": 3}) == (1 + 1 + (1 + 3 * (1 + 2)) + (1 + 2) + 2, 1 + 1 + (1 + 1 + 2) + (1 + 2) + 2)


@pytest.mark.parametrize("count", [1, 2, 7, 24, 25, 50, 1000])
def test_types_share_pods_so_that_there_are_never_too_many(count):
    types = [f"t{number}" for number in range(count)]
    groups = [json.loads(group) for group in stages.type_groups(types, 0)]
    assert [name for group in groups for name in group] == types
    assert len(groups) <= stages.TEACHER_PODS
    assert max(map(len, groups)) == min(count, max(2, math.ceil(count / stages.TEACHER_PODS)))
    assert len(stages.type_groups(types, 1)) <= stages.TEACHER_PODS


def test_how_many_types_a_pod_takes_can_be_asked_for():
    assert stages.type_groups(["a", "b", "c"], 1) == ['["a"]', '["b"]', '["c"]']
    assert stages.type_groups(["a", "b", "c"], 3) == ['["a", "b", "c"]']


def test_no_catalog_reaches_what_argo_can_keep():
    """50 types and 200 shards, counted as if a round still took what it took when there were 70 pods."""
    asked = rounds([str(number) for number in range(50)], shards=200)
    rest = WHOLE - 8 * ROUND  # 7 teachers and 1 shard
    assert (rest + sum(asked.values()) * ROUND) * COMPRESSED / WHOLE < 0.6 * LIMIT
    most = rounds([str(number) for number in range(5000)], shards=10**6, per_pod=1)
    assert (rest + sum(most.values()) * ROUND) * COMPRESSED / WHOLE < 0.6 * LIMIT


def test_more_shards_than_pods_are_fewer_and_larger(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "data_state", lambda *_: "state")
    monkeypatch.setattr(data, "keep_table", lambda *_: None)
    begun = stages.begin("monitor", "c", str(tmp_path), "run", {"shards": 200})
    assert begun.shards == shard_names(stages.SCAN_PODS)
    with pytest.raises(InputError, match="shards=0"):
        stages.begin("monitor", "c", str(tmp_path), "run", {"shards": 0})


@pytest.mark.parametrize(("anew", "kept"), [(False, "reports/evaluations"), (True, "")])
def test_an_evaluation_is_taken_over_unless_a_run_is_to_do_all_anew(monkeypatch, tmp_path, anew, kept):
    monkeypatch.delenv(stages.ANEW, raising=False)
    if anew:
        monkeypatch.setenv(stages.ANEW, "1")
    asked = []
    monkeypatch.setattr(gate, "evaluate", lambda *given: asked.append(given[-1]) or {"top1": 0.5})
    monkeypatch.setattr(gate, "compare", lambda *_, **__: "refuse")
    monkeypatch.setattr(gate, "refuse", lambda *_: None)
    folders = [tmp_path / name for name in ("model", "table", "evaluation", "decision")]
    places = str(tmp_path / "registry"), str(tmp_path / "reports"), "run"
    found = stages.judge("taxonomy", *folders, *places, default_settings("retrain"), 0.05)
    assert found == {"top1": 0.5}
    assert asked == [str(tmp_path / kept) if kept else ""]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_summary_names_what_was_asked_for_and_no_default(tmp_path, monkeypatch, pipeline):
    monkeypatch.setattr(data, "data_state", lambda *_: "state")
    monkeypatch.setattr(data, "keep_table", lambda *_: None)
    given = defaults(pipeline)
    how = {name.removeprefix("train_"): given[name] for name in given if name.startswith("train_")}

    def said(run, settings, **asked):
        stages.begin(pipeline, "c", str(tmp_path), run, settings, **{**how, **asked})
        return json.loads((tmp_path / run / "start.json").read_text())["decided"][0]

    assert said("usual", given["settings"]) == "Settings other than the defaults: none."
    other = {"epochs": 3, "backbone": "mobilenet_v2"} if how else {}
    named = "train_backbone=mobilenet_v2, train_epochs=3" if how else ""
    expected = ", ".join(filter(None, ["packed=2", named]))
    assert said("other", {"packed": 2}, **other) == f"Settings other than the defaults: {expected}."
