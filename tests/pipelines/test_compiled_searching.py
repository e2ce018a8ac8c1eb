"""The compiled `represent` and `match` packages, task by task, as a cluster will read them."""

import pytest
import yaml
from test_compiled import dags, executor, leaves, sources, waits

from pipelines.form import cleaning, whole_settings
from pipelines.packages import compile_pipeline, parameters

TASKS = {"represent": "representation", "match": "matching"}


@pytest.fixture(scope="module", params=list(TASKS))
def compiled(request, tmp_path_factory):
    package = tmp_path_factory.mktemp("build") / f"{request.param}.yaml"
    compile_pipeline(request.param, package)
    return TASKS[request.param], next(yaml.safe_load_all(package.read_text()))


def constant(task, name):
    return task["inputs"]["parameters"][name]["runtimeValue"]["constant"]


def test_what_there_is_to_learn_is_looked_at_before_a_gpu_is_asked_for(compiled):
    task, spec = compiled
    tasks = dags(spec)["run"]
    assert {"start", "validate", "clean-and-split"} < set(tasks)
    assert sources(tasks["plan"])["table"] == ("clean-and-split", "parted")
    assert sources(tasks["train"])["table"] == ("clean-and-split", "parted")
    assert waits(tasks)["train"] == {"plan", "clean-and-split", "start"}
    assert constant(tasks["train"], "task") == task
    for name in ("plan", "train"):
        channel = {"componentInputParameter": "pipelinechannel--train_variant"}
        assert tasks[name]["inputs"]["parameters"]["variant"] == channel


def test_a_gallery_is_dealt_to_no_split():
    assert cleaning("match", whole_settings("match", {}))["gallery"] == "always"
    assert cleaning("represent", whole_settings("represent", {}))["gallery"] == "auto"  # as the catalog says


def test_what_was_trained_is_judged_and_the_index_is_made_either_way(compiled):
    task, spec = compiled
    tasks = dags(spec)["run"]
    assert sources(tasks["judge"])["model"] == ("train", "model")
    assert constant(tasks["judge"], "task") == task
    index = tasks["build-index"]
    assert waits(tasks)["build-index"] >= {"judge"}
    assert "triggerPolicy" not in index
    assert constant(index, "task") == task
    assert {"table", "decision"} == set(index["inputs"]["artifacts"])
    assert "registry" in index["inputs"]["parameters"]
    assert "index" in spec["components"]["comp-build-index"]["outputDefinitions"]["artifacts"]


def test_the_training_and_nothing_else_asks_for_a_gpu(compiled):
    _, spec = compiled
    asking = {name for name in leaves(spec) if "accelerator" in executor(spec, name).get("resources", {})}
    assert asking == {"train"}
    assert leaves(spec)["train"]["retryPolicy"]["maxRetryCount"] == 2


def test_only_steps_that_depend_on_more_than_their_inputs_are_never_cached(compiled):
    _, spec = compiled
    uncached = {name for name, task in leaves(spec).items() if not task["cachingOptions"].get("enableCache")}
    assert uncached == {"start", "plan", "judge", "build-index", "report-run"}


def test_settings_are_typed():
    assert parameters("match", ["margin=2", "pairs=1:2:4", "train_epochs=3"]) == {
        "train_epochs": 3,
        "settings": {"margin": 2.0, "pairs": "1:2:4"},
    }
    assert parameters("represent", ["lambda=1", "level=2"]) == {"settings": {"lambda": 1.0, "level": 2}}
