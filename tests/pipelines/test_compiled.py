"""The compiled `retrain` package, task by task, as a cluster will read it."""

import os
import re

import pytest
import yaml
from kfp import dsl

from pipelines import PIPELINES
from pipelines.containers import _mounts
from pipelines.packages import _typed, compile_pipeline, load, parameters
from vitrine import __version__
from vitrine.errors import InputError

TRAININGS = ("train-teacher", "train-student", "train-taxonomy")
FRONT = {
    "own-gpus": set(),
    "data-version": set(),
    "fetch": {"data-version"},
    "list-shards": set(),
    "for-loop-2": {"fetch", "list-shards"},
    "validate": {"fetch", "for-loop-2"},
    "check-quality": {"validate"},
    "clean": {"fetch", "for-loop-2", "validate", "check-quality"},
    "split": {"clean"},
    "find-tasks": {"split"},
}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    package = tmp_path_factory.mktemp("build") / "retrain.yaml"
    compile_pipeline("retrain", package)
    return package.read_text()


@pytest.fixture(scope="module")
def spec(text):
    return next(yaml.safe_load_all(text))


@pytest.fixture(scope="module")
def platform(text):
    _, kubernetes = yaml.safe_load_all(text)
    return kubernetes["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def dags(spec):
    """Every (sub-)DAG by the name of the task that stands for it; the whole is ''."""
    found = {"": spec["root"]["dag"]["tasks"]}

    def descend(tasks):
        for task in tasks.values():
            component = spec["components"][task["componentRef"]["name"]]
            if "dag" in component:
                found[task["taskInfo"]["name"]] = component["dag"]["tasks"]
                descend(component["dag"]["tasks"])

    descend(found[""])
    return found


def leaves(spec):
    """Every task that runs code, by name."""
    return {
        name: task
        for tasks in dags(spec).values()
        for name, task in tasks.items()
        if "executorLabel" in spec["components"][task["componentRef"]["name"]]
    }


def waits(tasks):
    return {name: set(task.get("dependentTasks", ())) for name, task in tasks.items()}


def sources(task):
    """Where a task's inputs come from: (producing task, its output) by input."""
    found = {}
    for kind, key in (("artifacts", "taskOutputArtifact"), ("parameters", "taskOutputParameter")):
        for name, given in task["inputs"].get(kind, {}).items():
            if key in given:
                produced = given[key]
                output = produced.get("outputArtifactKey") or produced.get("outputParameterKey")
                found[name] = (produced["producerTask"], output)
    return found


def test_every_pipeline_compiles_under_its_own_name():
    assert "retrain" in PIPELINES
    for name in PIPELINES:
        assert load(name).pipeline_spec.pipeline_info.name == name
        assert load(name).pipeline_spec.pipeline_info.description


def test_the_exit_handler_sees_every_end(spec):
    root = dags(spec)[""]
    assert set(root) == {"exit-handler-1", "report-run"}
    farewell = root["report-run"]
    assert farewell["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert farewell["dependentTasks"] == ["exit-handler-1"]
    assert farewell["inputs"]["parameters"]["status"] == {"taskFinalStatus": {"producerTask": "exit-handler-1"}}


@pytest.mark.parametrize(
    ("name", "due"),
    [
        ("retrain", "tasks"),
        ("authenticate", "listings"),
        ("represent", "examine"),
        ("match", "examine"),
        ("monitor", "drift"),
    ],
)
def test_the_summary_knows_which_step_says_what_is_due(name, due):
    farewell = load(name).pipeline_spec.root.dag.tasks["report-run"]
    assert farewell.inputs.parameters["due"].runtime_value.constant.string_value == due


def test_the_front(spec):
    tasks = dags(spec)["run"]
    branches = {name for name, task in tasks.items() if task["taskInfo"]["name"] in ("attributes", "taxonomy")}
    assert waits({name: task for name, task in tasks.items() if name not in branches}) == FRONT
    assert len(tasks) == len(FRONT) + 2
    assert sources(tasks["fetch"]) == {"state": ("data-version", "Output")}
    shards = "pipelinechannel--list-shards-Output"
    scans = tasks["for-loop-2"]
    assert scans["parameterIterator"]["items"] == {"inputParameter": shards}
    assert set(dags(spec)["scans"]) == {"scan"}
    shard = dags(spec)["scans"]["scan"]["inputs"]["parameters"]["shard"]
    assert shard == {"componentInputParameter": scans["parameterIterator"]["itemInput"]}
    looks = {"table": ("fetch", "table"), "photos": ("for-loop-2", "pipelinechannel--scan-photos")}
    assert sources(tasks["validate"]) == looks
    assert sources(tasks["clean"]) == {**looks, "validation": ("validate", "results")}
    assert sources(tasks["split"]) == {"table": ("clean", "cleaned")}
    assert sources(tasks["find-tasks"]) == {"table": ("split", "parted")}


def test_each_task_is_trained_only_where_labels_allow(spec):
    tasks = {task["taskInfo"]["name"]: task for task in dags(spec)["run"].values()}
    answer = "inputs.parameter_values['pipelinechannel--find-tasks-Output']"
    assert tasks["attributes"]["triggerPolicy"]["condition"] == f"{answer} != 'taxonomy'"
    assert tasks["taxonomy"]["triggerPolicy"]["condition"] == f"{answer} != 'attributes'"
    for name in ("attributes", "taxonomy"):
        assert set(tasks[name]["dependentTasks"]) == {"find-tasks", "split", "own-gpus"}


def test_one_teacher_per_attribute_type_then_the_student_of_all(spec):
    tasks = dags(spec)["attributes"]
    (loop,) = (name for name, task in tasks.items() if task["taskInfo"]["name"] == "teachers")
    types = "pipelinechannel--attribute-types-Output"
    assert sources(tasks[loop]) == {types: ("attribute-types", "Output")}
    assert tasks[loop]["parameterIterator"]["items"] == {"inputParameter": types}
    assert set(dags(spec)["teachers"]) == {"train-teacher"}
    teacher = dags(spec)["teachers"]["train-teacher"]
    item = tasks[loop]["parameterIterator"]["itemInput"]
    assert teacher["inputs"]["parameters"]["type"] == {"componentInputParameter": item}
    assert sources(tasks["train-student"])["teachers"] == (loop, "pipelinechannel--train-teacher-model")
    assert waits(tasks)["train-student"] == {loop}
    assert waits(tasks)["evaluate"] == {"train-student"}


def test_categories_are_learnt_beside_the_attributes(spec):
    tasks = dags(spec)["taxonomy"]
    assert waits(tasks)["train-taxonomy"] == set()
    assert waits(tasks)["evaluate-2"] == {"train-taxonomy"}
    assert len(tasks) == 4


@pytest.mark.parametrize(("task", "trained", "mark"), [("attributes", "student", ""), ("taxonomy", "taxonomy", "-2")])
def test_the_gate_opens_to_one_side(spec, task, trained, mark):
    gate, evaluated = f"compare{mark}", f"evaluate{mark}"
    tasks = dags(spec)[task]
    assert sources(tasks[gate]) == {
        "model": (f"train-{trained}", "model"),
        "evaluation": (evaluated, "evaluation"),
    }
    assert tasks[gate]["inputs"]["parameters"]["task"] == {"runtimeValue": {"constant": task}}
    (branches,) = (name for name in tasks if name.startswith("condition-branches"))
    assert gate in tasks[branches]["dependentTasks"]
    sides = {side["taskInfo"]["name"]: side for side in dags(spec)[branches].values()}
    answer = f"inputs.parameter_values['pipelinechannel--{gate}-Output'] == 'promote'"
    assert {name: side["triggerPolicy"]["condition"] for name, side in sides.items()} == {
        f"promote-{task}": answer,
        f"refuse-{task}": f"!({answer})",
    }
    promoted = dags(spec)[f"promote-{task}"]
    assert waits(promoted) == {f"drift-reference{mark}": set(), f"promote{mark}": {f"drift-reference{mark}"}}
    assert sources(promoted[f"promote{mark}"]) == {"reference": (f"drift-reference{mark}", "reference")}
    assert set(dags(spec)[f"refuse-{task}"]) == {f"refuse{mark}"}


def test_only_steps_that_depend_on_more_than_their_inputs_are_never_cached(spec):
    uncached = {name for name, task in leaves(spec).items() if not task["cachingOptions"].get("enableCache")}
    both = ("compare", "promote", "refuse")
    assert uncached == {
        "own-gpus",
        "data-version",
        "check-quality",
        "find-tasks",
        "report-run",
        *both,
        *(f"{name}-2" for name in both),
    }


def executor(spec, name):
    return spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]


def test_trainings_and_nothing_else_ask_for_a_gpu(spec):
    assert len(leaves(spec)) == 25
    asking = {name for name in leaves(spec) if "accelerator" in executor(spec, name).get("resources", {})}
    assert asking == set(TRAININGS)


def test_every_parameter_has_a_default_and_reads_well_in_a_form(spec):
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert {"catalog", "registry", "reports", "epochs", "strict", "min_gain"} <= set(inputs)
    for name, parameter in inputs.items():
        assert "defaultValue" in parameter, name
        assert re.fullmatch(r"[A-Za-z0-9].+[.]", parameter["description"]), name


def test_every_parameter_is_used(spec):
    """A field of the form that changes nothing would be a lie."""
    used = re.findall(
        r"componentInputParameter: pipelinechannel--(\w+)|componentInputParameter: (\w+)", yaml.dump(spec)
    )
    assert set(spec["root"]["inputDefinitions"]["parameters"]) <= {name for pair in used for name in pair}


def test_images_are_pinned_and_no_secret_is_inside(spec, text):
    for name in leaves(spec):
        assert "env" not in executor(spec, name)
        assert "pip install" not in " ".join(executor(spec, name)["command"])
    assert ":latest" not in text
    assert spec["root"]["inputDefinitions"]["parameters"]["image"]["defaultValue"].endswith(f":{__version__}")
    assert not re.search(r"(?i)(password|token|access_key)\w*\s*[:=]\s*\S", text.replace("SESSION_TOKEN", ""))
    assert not re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN", text)


def test_figures_and_pages_are_shown(spec):
    kinds = {
        name: {
            artifact["artifactType"]["schemaTitle"] for artifact in component["outputDefinitions"]["artifacts"].values()
        }
        for name, component in spec["components"].items()
        if "executorLabel" in component and component.get("outputDefinitions", {}).get("artifacts")
    }
    assert {"system.HTML", "system.Metrics", "system.ClassificationMetrics"} <= kinds["comp-evaluate"]
    for name in ("validate", "clean", "split", "compare", "report-run"):
        assert "system.HTML" in kinds[f"comp-{name}"], name


def test_a_package_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("half way")

    monkeypatch.setattr("pipelines.packages.compiler.Compiler.compile", broken)
    with pytest.raises(RuntimeError):
        compile_pipeline("retrain", tmp_path / "retrain.yaml")
    assert list(tmp_path.iterdir()) == []


def test_overrides_are_typed():
    given = ["epochs=3", "learning_rate=1e-4", "strict=True", "catalog=a=b", "revision="]
    assert parameters("retrain", given) == {
        "epochs": 3,
        "learning_rate": 1e-4,
        "strict": True,
        "catalog": "a=b",
        "revision": "",
    }
    assert _typed("List", '["a"]') == ["a"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "did you mean epochs"),
        ("epochs", "key=value"),
        ("epochs=3.5", "not of type integer"),
        ("learning_rate=fast", "not of type"),
        ("strict=1", "not of type boolean"),
    ],
)
def test_overrides_that_cannot_be(override, message):
    with pytest.raises(InputError, match=message):
        parameters("retrain", [override])


def test_a_pipeline_is_a_pipeline():
    assert isinstance(load("retrain"), dsl.graph_component.GraphComponent)
    with pytest.raises(InputError, match="did you mean retrain"):
        load("train")


def test_a_container_sees_every_catalog_that_is_named(tmp_path):
    for name in ("data", "more", "registry", "artifacts"):
        (tmp_path / name).mkdir()
    given = {"catalog": f"{tmp_path}/data", "registry": f"{tmp_path}/registry", "remote": "s3://bucket/data"}
    given["unlabelled"] = f"{tmp_path}/more,s3://bucket/more,{tmp_path}/data"
    found = {mount["Target"]: mount["ReadOnly"] for mount in _mounts(given, tmp_path, os.getuid())}
    assert found == {f"{tmp_path}/data": True, f"{tmp_path}/more": True, f"{tmp_path}/registry": False}
