"""The compiled `represent` and `match` packages, task by task, as a cluster will read them."""

import re

import pytest
import yaml
from test_compiled import dags, executor, leaves, sources, waits

from pipelines.packages import compile_pipeline, parameters

TASKS = {"represent": "representation", "match": "matching"}


@pytest.fixture(scope="module", params=list(TASKS))
def compiled(request, tmp_path_factory):
    package = tmp_path_factory.mktemp("build") / f"{request.param}.yaml"
    compile_pipeline(request.param, package)
    return TASKS[request.param], next(yaml.safe_load_all(package.read_text()))


def constant(task, name):
    return task["inputs"]["parameters"][name]["runtimeValue"]["constant"]


def test_the_front_leads_to_what_is_examined_before_a_gpu_is_asked_for(compiled):
    task, spec = compiled
    tasks = dags(spec)["run"]
    training = f"train-{task}"
    assert {"data-version", "fetch", "list-shards", "validate", "check-quality", "clean", "split"} < set(tasks)
    assert sources(tasks["examine"]) == {"table": ("split", "parted")}
    assert sources(tasks[training])["table"] == ("split", "parted")
    assert waits(tasks)[training] == {"examine", "split", "own-gpus"}
    assert constant(tasks["examine"], "task") == task
    for name in ("variant", "level" if task == "representation" else "identity"):
        channel = {"componentInputParameter": f"pipelinechannel--{name}"}
        assert tasks["examine"]["inputs"]["parameters"][name] == channel
        assert tasks[training]["inputs"]["parameters"][name] == channel


def test_the_gate_opens_to_one_side_and_both_end_with_an_index(compiled):
    task, spec = compiled
    tasks = dags(spec)["run"]
    assert sources(tasks["evaluate"]) == {"model": (f"train-{task}", "model"), "table": ("split", "parted")}
    assert constant(tasks["compare"], "task") == task
    promoted, refused = dags(spec)[f"promote-{task}"], dags(spec)[f"refuse-{task}"]
    assert set(promoted) == {"drift-reference", "promote", "build-index"}
    assert set(refused) == {"refuse", "build-index-2"}
    assert "promote" in waits(promoted)["build-index"]
    assert "refuse" in waits(refused)["build-index-2"]
    for index in (promoted["build-index"], refused["build-index-2"]):
        assert constant(index, "task") == task
        assert {"table", "decision"} == set(index["inputs"]["artifacts"])
        assert "registry" in index["inputs"]["parameters"]
    assert "index" in spec["components"]["comp-build-index"]["outputDefinitions"]["artifacts"]


def test_the_training_and_nothing_else_asks_for_a_gpu(compiled):
    task, spec = compiled
    asking = {name for name in leaves(spec) if "accelerator" in executor(spec, name).get("resources", {})}
    assert asking == {f"train-{task}"}
    assert leaves(spec)[f"train-{task}"]["retryPolicy"]["maxRetryCount"] == 2


def test_only_steps_that_depend_on_more_than_their_inputs_are_never_cached(compiled):
    _, spec = compiled
    uncached = {name for name, task in leaves(spec).items() if not task["cachingOptions"].get("enableCache")}
    publishing = {"own-gpus", "examine", "compare", "promote", "refuse", "build-index", "build-index-2", "report-run"}
    assert uncached == {"data-version", "check-quality", *publishing}


def test_every_parameter_has_a_default_a_description_and_a_use(compiled):
    _, spec = compiled
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    used = re.findall(
        r"componentInputParameter: pipelinechannel--(\w+)|componentInputParameter: (\w+)", yaml.dump(spec)
    )
    assert set(inputs) <= {name for pair in used for name in pair}
    for name, parameter in inputs.items():
        assert "defaultValue" in parameter, name
        assert re.fullmatch(r"[A-Za-z0-9].+[.]", parameter["description"]), name


def test_settings_are_typed():
    assert parameters("match", ["margin=2", "pairs=1:2:4", "epochs=3"]) == {
        "margin": 2.0,
        "pairs": "1:2:4",
        "epochs": 3,
    }
    assert parameters("represent", ["instance_lambda=1", "level=2"]) == {"instance_lambda": 1.0, "level": 2}
