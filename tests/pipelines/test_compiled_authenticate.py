"""The compiled `authenticate` package, task by task, as a cluster will read it."""

import pytest
import yaml
from test_compiled import dags, executor, leaves, sources, waits

from pipelines.form import cleaning, whole_settings
from pipelines.packages import compile_pipeline, parameters


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    package = tmp_path_factory.mktemp("build") / "authenticate.yaml"
    compile_pipeline("authenticate", package)
    return list(yaml.safe_load_all(package.read_text()))


@pytest.fixture(scope="module")
def spec(documents):
    return documents[0]


def test_listings_are_counted_before_a_gpu_is_asked_for(spec):
    tasks = dags(spec)["run"]
    assert sources(tasks["plan"])["table"] == ("clean-and-split", "parted")
    assert sources(tasks["train"])["table"] == ("clean-and-split", "parted")
    assert waits(tasks)["train"] == {"plan", "clean-and-split", "start"}


def test_listings_are_neither_torn_nor_measured_where_nobody_was_certain():
    asked = cleaning("authenticate", whole_settings("authenticate", {"drop_views_below": 6}))
    assert asked == {
        "min_class_count": 0,
        "near_duplicates": False,
        "drop_views_below": 6,
        "ratios": "0.6,0.1,0.3",
        "measured": "verdict",
        "max_left_out": 0.05,
        "drop_suspects": False,
        "gallery": "never",
    }


def test_what_was_trained_is_judged(spec):
    tasks = dags(spec)["run"]
    judged = sources(tasks["judge"])
    assert (judged["model"], judged["table"]) == (("train", "model"), ("clean-and-split", "parted"))
    assert tasks["judge"]["inputs"]["parameters"]["task"] == {"runtimeValue": {"constant": "authenticity"}}


def test_the_training_and_nothing_else_asks_for_a_gpu(spec):
    asking = {name for name in leaves(spec) if "accelerator" in executor(spec, name).get("resources", {})}
    assert asking == {"train"}
    assert leaves(spec)["train"]["retryPolicy"]["maxRetryCount"] == 2


def test_only_steps_that_depend_on_more_than_their_inputs_are_never_cached(spec):
    uncached = {name for name, task in leaves(spec).items() if not task["cachingOptions"].get("enableCache")}
    assert uncached == {"start", "plan", "judge", "report-run"}


def test_costs_and_lambda_are_typed():
    given = parameters("authenticate", ["ask=2", "lambda=0", "train_variant=mil-att"])
    assert given == {"train_variant": "mil-att", "settings": {"ask": 2.0, "lambda": 0.0}}
