"""The compiled `authenticate` package, task by task, as a cluster will read it."""

import re

import pytest
import yaml
from test_compiled import dags, executor, leaves, sources, waits

from pipelines.packages import compile_pipeline, parameters


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    package = tmp_path_factory.mktemp("build") / "authenticate.yaml"
    compile_pipeline("authenticate", package)
    return list(yaml.safe_load_all(package.read_text()))


@pytest.fixture(scope="module")
def spec(documents):
    return documents[0]


def test_the_front_leads_to_listings_that_are_counted_before_a_gpu_is_asked_for(spec):
    tasks = dags(spec)["run"]
    assert sources(tasks["count-listings"]) == {"table": ("split", "parted")}
    assert sources(tasks["train-authenticity"])["table"] == ("split", "parted")
    assert waits(tasks)["train-authenticity"] == {"count-listings", "split", "own-gpus"}
    assert waits(tasks)["count-listings"] == {"split"}
    assert "split" in waits(tasks)["evaluate"]


def test_listings_are_neither_torn_nor_measured_where_nobody_was_certain(spec):
    tasks = dags(spec)["run"]
    given = {name: value.get("runtimeValue", {}).get("constant") for name, value in cleaned(tasks).items()}
    assert given["near_duplicates"] is False
    assert given["min_class_count"] == 0
    assert cleaned(tasks)["drop_views_below"] == {"componentInputParameter": "pipelinechannel--drop_views_below"}
    assert tasks["split"]["inputs"]["parameters"]["measured"] == {"runtimeValue": {"constant": "verdict"}}
    assert tasks["split"]["inputs"]["parameters"]["ratios"] == {"componentInputParameter": "pipelinechannel--ratios"}


def cleaned(tasks):
    return tasks["clean"]["inputs"]["parameters"]


def test_the_gate_opens_to_one_side(spec):
    tasks = dags(spec)["run"]
    assert sources(tasks["evaluate"]) == {"model": ("train-authenticity", "model"), "table": ("split", "parted")}
    assert sources(tasks["compare"]) == {
        "model": ("train-authenticity", "model"),
        "evaluation": ("evaluate", "evaluation"),
        "table": ("split", "parted"),
    }
    assert tasks["compare"]["inputs"]["parameters"]["task"] == {"runtimeValue": {"constant": "authenticity"}}
    assert set(dags(spec)["promote-authenticity"]) == {"drift-reference", "promote"}
    assert set(dags(spec)["refuse-authenticity"]) == {"refuse"}


def test_the_training_and_nothing_else_asks_for_a_gpu(spec):
    asking = {name for name in leaves(spec) if "accelerator" in executor(spec, name).get("resources", {})}
    assert asking == {"train-authenticity"}
    assert leaves(spec)["train-authenticity"]["retryPolicy"]["maxRetryCount"] == 2


def test_only_steps_that_depend_on_more_than_their_inputs_are_never_cached(spec):
    uncached = {name for name, task in leaves(spec).items() if not task["cachingOptions"].get("enableCache")}
    assert uncached == {
        "own-gpus",
        "data-version",
        "check-quality",
        "count-listings",
        "report-run",
        "compare",
        "promote",
        "refuse",
    }


def test_every_parameter_has_a_default_a_description_and_a_use(spec):
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    used = re.findall(
        r"componentInputParameter: pipelinechannel--(\w+)|componentInputParameter: (\w+)", yaml.dump(spec)
    )
    assert set(inputs) <= {name for pair in used for name in pair}
    for name, parameter in inputs.items():
        assert "defaultValue" in parameter, name
        assert re.fullmatch(r"[A-Za-z0-9].+[.]", parameter["description"]), name
    assert inputs["drop_views_below"]["defaultValue"] == 0
    assert inputs["ratios"]["defaultValue"] == "0.6,0.1,0.3"


def test_costs_and_lambda_are_typed():
    assert parameters("authenticate", ["ask=2", "prototype_lambda=0", "variant=mil-att"]) == {
        "ask": 2.0,
        "prototype_lambda": 0.0,
        "variant": "mil-att",
    }
