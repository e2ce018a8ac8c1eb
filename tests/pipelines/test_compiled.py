"""The compiled `retrain` package, task by task, as a cluster will read it."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp import dsl

from pipelines import PIPELINES
from pipelines.containers import _mounts
from pipelines.form import FORM, KINDS, SETTINGS, check, cleaning, trainings, whole_settings
from pipelines.packages import _typed, compile_pipeline, complete, load, parameters
from vitrine import __version__
from vitrine.errors import InputError

ROOT = Path(__file__).parents[2]
START, PLAN, SPLIT = "Fetch the data", "Find what can be trained", "Clean and split"
FRONT = {
    START: set(),
    "scans": {START},
    "Validate": {START, "scans"},
    SPLIT: {START, "scans"},
    PLAN: {START, "Validate", SPLIT},
}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    package = tmp_path_factory.mktemp("build") / "retrain.yaml"
    compile_pipeline("retrain", package)
    return package.read_text()


@pytest.fixture(scope="module")
def spec(text):
    return by_display_name(next(yaml.safe_load_all(text)))


def by_display_name(spec):
    """With tasks called as people see them, not as kfp numbers them."""
    for tasks in list(dags(spec).values()):
        shown = {name: task["taskInfo"]["name"] for name, task in tasks.items()}
        assert len(set(shown.values())) == len(shown)
        renamed = {shown[name]: task for name, task in tasks.items()}
        tasks.clear()
        tasks.update(renamed)
        for task in tasks.values():
            if "dependentTasks" in task:
                task["dependentTasks"] = [shown[name] for name in task["dependentTasks"]]
            for given in nodes(task):
                if "producerTask" in given:
                    given["producerTask"] = shown[given["producerTask"]]
    return spec


def nodes(value):
    """Every object inside of one."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


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
    assert set(root) == {"run", "Summary"}
    farewell = root["Summary"]
    assert farewell["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert farewell["dependentTasks"] == ["run"]
    assert farewell["inputs"]["parameters"]["status"] == {"taskFinalStatus": {"producerTask": "run"}}


@pytest.mark.parametrize(
    ("name", "due"),
    [
        ("retrain", "tasks"),
        ("authenticate", "examine"),
        ("represent", "examine"),
        ("match", "examine"),
        ("monitor", "drift"),
        ("score", "score"),
    ],
)
def test_the_summary_knows_which_step_says_what_is_due(name, due):
    farewell = load(name).pipeline_spec.root.dag.tasks["report-run"]
    assert farewell.inputs.parameters["due"].runtime_value.constant.string_value == due


def test_the_front(spec):
    tasks = dags(spec)["run"]
    assert set(tasks) == {*FRONT, "attributes", "taxonomy"}
    assert waits({name: tasks[name] for name in FRONT}) == FRONT
    shards = "pipelinechannel--start-shards"
    scans = tasks["scans"]
    assert scans["parameterIterator"]["items"] == {"inputParameter": shards}
    (scan,) = dags(spec)["scans"].values()
    shard = scan["inputs"]["parameters"]["shard"]
    assert shard == {"componentInputParameter": scans["parameterIterator"]["itemInput"]}
    own = {"step_cpu", "step_memory"}
    looks = {"table": (START, "table"), "photos": ("scans", "pipelinechannel--scan-photos")}
    assert without(sources(tasks["Validate"]), own) == {**looks, "quality": (START, "quality")}
    assert without(sources(tasks[SPLIT]), own) == {**looks, "cleaning": (START, "cleaning")}
    assert without(sources(tasks[PLAN]), own) == {
        "table": (SPLIT, "parted"),
        "results": ("Validate", "results"),
        "settings": (START, "settings"),
    }


def without(found, names):
    """What a task takes, but for what its pod takes."""
    return {name: source for name, source in found.items() if name.rpartition("--start-")[2] not in names}


def test_each_task_is_trained_only_where_labels_allow(spec):
    tasks = dags(spec)["run"]
    answer = "inputs.parameter_values['pipelinechannel--plan-tasks']"
    assert tasks["attributes"]["triggerPolicy"]["condition"] == f"{answer} != 'taxonomy'"
    assert tasks["taxonomy"]["triggerPolicy"]["condition"] == f"{answer} != 'attributes'"
    for name in ("attributes", "taxonomy"):
        assert set(tasks[name]["dependentTasks"]) == {PLAN, SPLIT, START}


def test_teachers_are_trained_in_groups_then_the_student_of_all(spec):
    tasks = dags(spec)["attributes"]
    groups = "pipelinechannel--plan-groups"
    assert tasks["teachers"]["parameterIterator"]["items"] == {"inputParameter": groups}
    teacher = dags(spec)["teachers"]["Train teachers"]["inputs"]["parameters"]
    assert teacher["types"] == {"componentInputParameter": tasks["teachers"]["parameterIterator"]["itemInput"]}
    assert teacher["settings"] == {"componentInputParameter": "pipelinechannel--start-teacher"}
    student = tasks["Train attributes"]
    assert constants(student) >= {("task", "attributes"), ("variant", "student")}
    assert sources(student)["teachers"] == ("teachers", "pipelinechannel--train-model")
    assert waits(tasks) == {
        "teachers": set(),
        "Train attributes": {"teachers"},
        "Judge attributes": {"Train attributes"},
    }


def constants(task):
    given = task["inputs"]["parameters"].items()
    return {(name, value["runtimeValue"]["constant"]) for name, value in given if "runtimeValue" in value}


def test_categories_are_learnt_beside_the_attributes(spec):
    assert waits(dags(spec)["taxonomy"]) == {"Train categories": set(), "Judge taxonomy": {"Train categories"}}


@pytest.mark.parametrize(("task", "trained"), [("attributes", "Train attributes"), ("taxonomy", "Train categories")])
def test_what_was_trained_is_judged_by_the_registry_and_the_settings(spec, task, trained):
    judged = dags(spec)[task][f"Judge {task}"]
    assert sources(judged) == {"model": (trained, "model")}
    assert ("task", task) in constants(judged)
    for name, channel in (("registry", "out_registry"), ("max_drop", "gate_max_drop"), ("settings", "start-settings")):
        assert judged["inputs"]["parameters"][name] == {"componentInputParameter": f"pipelinechannel--{channel}"}


def test_only_steps_that_depend_on_more_than_their_inputs_are_never_cached(spec):
    uncached = {name for name, task in leaves(spec).items() if not task["cachingOptions"].get("enableCache")}
    assert uncached == {START, PLAN, "Judge attributes", "Judge taxonomy", "Summary"}


def executor(spec, name):
    component = spec["components"][leaves(spec)[name]["componentRef"]["name"]]
    return spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]


def test_trainings_and_nothing_else_ask_for_a_gpu(spec):
    asking = {name for name in leaves(spec) if "accelerator" in executor(spec, name).get("resources", {})}
    assert asking == {"Train teachers", "Train attributes", "Train categories"}


@pytest.fixture(scope="module", params=list(PIPELINES))
def form(request):
    """A pipeline and its whole package."""
    spec = json_format.MessageToDict(load(request.param).pipeline_spec)
    return request.param, spec


def test_the_form_is_short_sorted_by_its_prefixes_and_says_everything(form):
    name, spec = form
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert list(FORM[name]) == sorted(inputs)
    assert len(inputs) <= 14
    prefixes = {parameter.partition("_")[0] for parameter in inputs}
    assert prefixes <= {"cluster", "data", "gate", "out", "retrain", "settings", "train"}
    for parameter, asked in inputs.items():
        assert "defaultValue" in asked, parameter
        assert re.fullmatch(r"[A-Za-z0-9].+[.]", asked["description"]), parameter
        assert f"- {parameter}: " in spec["pipelineInfo"]["description"]
    assert set(inputs["settings"]["defaultValue"]) == set(SETTINGS[name])
    for key, setting in SETTINGS[name].items():
        assert re.fullmatch(r"[A-Za-z0-9].+[.]", setting.about), key
        assert f"- {key}: {setting.about}" in spec["pipelineInfo"]["description"]


def test_every_parameter_is_used(form):
    """A field of the form that changes nothing would be a lie."""
    name, spec = form
    used = re.findall(
        r"componentInputParameter: pipelinechannel--(\w+)|componentInputParameter: (\w+)", yaml.dump(spec)
    )
    assert set(FORM[name]) <= {name for pair in used for name in pair}


def test_every_setting_is_used(form):
    """Each changes what the steps are handed, or is read by name."""
    name, _ = form
    read = "".join(path.read_text() for path in (ROOT / "pipelines/stages.py", *(ROOT / "components").glob("*.py")))
    whole = whole_settings(name, {})
    for key in SETTINGS[name]:
        changed = {**whole, key: "changed"}
        moved = [trainings(name, own, "v", "b", 0) for own in (whole, changed)]
        cut = [cleaning(name, own) for own in (whole, changed)]
        assert moved[0] != moved[1] or cut[0] != cut[1] or f'"{key}"' in read, key


def test_images_are_pinned_and_no_secret_is_inside(spec, text):
    for name in leaves(spec):
        assert "env" not in executor(spec, name)
        assert "pip install" not in " ".join(executor(spec, name)["command"])
    assert ":latest" not in text
    assert spec["root"]["inputDefinitions"]["parameters"]["cluster_image"]["defaultValue"].endswith(f":{__version__}")
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
    assert {"system.HTML", "system.Metrics", "system.ClassificationMetrics"} <= kinds["comp-judge"]
    for name in ("validate", "clean-and-split", "judge", "report-run"):
        assert "system.HTML" in kinds[f"comp-{name}"], name


def test_a_package_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("half way")

    monkeypatch.setattr("pipelines.packages.compiler.Compiler.compile", broken)
    with pytest.raises(RuntimeError):
        compile_pipeline("retrain", tmp_path / "retrain.yaml")
    assert list(tmp_path.iterdir()) == []


def test_overrides_are_typed():
    given = ["train_epochs=3", "learning_rate=1e-4", "strict=True", "data_catalog=a=b", "data_revision=", "pool={}"]
    assert parameters("retrain", given) == {
        "train_epochs": 3,
        "data_catalog": "a=b",
        "data_revision": "",
        "settings": {"learning_rate": 1e-4, "strict": True, "pool": {}},
    }
    assert _typed("List", '["a"]') == ["a"]


def test_settings_come_from_the_object_or_by_themselves(tmp_path):
    (tmp_path / "run.yaml").write_text("seed: 7\nsettings: {keep: 3, seed: 8, corrupted: 1}\n")
    given = parameters("retrain", ["keep=4", 'settings={"shards": 2}'], tmp_path / "run.yaml")
    assert given == {"settings": {"seed": 8, "keep": 4, "corrupted": 1.0, "shards": 2}}


def test_what_has_another_name_is_taken_with_a_warning():
    told = []
    old = ["catalog=s3://a/b", "epochs=3", "gpus=0", "variant=bcnn", "max_drop=0.1", "seed=1"]
    new = ["data_catalog=s3://a/b", "train_epochs=3", "cluster_gpus=0", "train_variant=bcnn", "gate_max_drop=0.1"]
    assert parameters("retrain", old, warn=told.append) == parameters("retrain", [*new, "seed=1"])
    assert told[0] == "warning: --set catalog: is called data_catalog now"
    assert len(told) == 5
    assert parameters("authenticate", ["prototype_lambda=0"], warn=told.append) == {"settings": {"lambda": 0.0}}


def test_a_monitors_settings_may_still_be_those_of_its_retraining(tmp_path):
    told = []
    asked = parameters("monitor", ['retrain_parameters={"train_epochs": 3.0}'])  # as Kubeflow hands it over
    assert json.dumps(asked) == '{"retrain_parameters": {"train_epochs": 3}}'
    before = "retrain: represent\nendpoint: ''\nsettings: {catalog: s3://a/b, level: 1, epochs: 2}\n"
    (tmp_path / "old.yaml").write_text(before)
    inner = {"data_catalog": "s3://a/b", "train_epochs": 2, "settings": {"level": 1}}
    now = {"retrain_pipeline": "represent", "retrain_parameters": inner, "settings": {"endpoint": ""}}
    assert parameters("monitor", (), tmp_path / "old.yaml", told.append) == now
    assert any("are called retrain_parameters now" in line for line in told)
    with pytest.raises(InputError, match="did you mean endpoint"):
        parameters("monitor", ['settings={"endpiont": ""}'])
    with pytest.raises(InputError, match="did you mean level"):
        parameters("monitor", ["retrain_pipeline=represent", 'retrain_parameters={"levle": 1}'])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train_epoch=3", "did you mean train_epochs"),
        ("sed=3", "did you mean seed"),
        ("train_epochs", "key=value"),
        ("train_epochs=3.5", "not of type integer"),
        ("learning_rate=fast", "not of type"),
        ("strict=1", "not of type boolean"),
        ('settings={"sede": 1}', "did you mean seed"),
        ("settings=[]", "not of type dict"),
        ("shards=1.5", "not of type integer"),
    ],
)
def test_overrides_that_cannot_be(override, message):
    with pytest.raises(InputError, match=message):
        parameters("retrain", [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batch_size=1", "batch_size"),
        ("trunk=whole", "trunk"),
        ("train_variant=ssmtl", "did you mean ssmtl-"),
        ("gammas=one", "Input should be a valid number"),
        ("shards=0", "at least 1"),
        ("ratios=0.5,0.5,0.5", "sum to 1.5"),
        ("max_left_out=5", "max_left_out=5.0: must lie between 0 and 1"),
        ("min_gain=2", "min_gain"),
        ("gate_max_drop=3", "gate_max_drop=3.0: must lie between 0 and 1"),
        ("keep=-1", "keep=-1: cannot be negative"),
        ('min_value={"taxonomi": 0.5}', "did you mean taxonomy"),
        ('min_value={"taxonomy": 50}', "taxonomy=50: must lie between 0 and 1"),
        ("too_few_to_tell=ask", "promote or refuse"),
        ("cluster_gpus=-1", "cluster_gpus=-1: cannot be negative"),
        ("train_cpu=two cores", "train_cpu=two cores: no amount that Kubernetes takes"),
        ("step_cpu=-1", "step_cpu=-1: no amount"),
        ("step_memory=8GiB", "step_memory=8GiB: no amount"),
        ('tolerations=["x"]', 'tolerations: "x": not an object'),
        ('pool={"gpu": true}', "pool: gpu=true: a label's value is text"),
        ("model_registry=registry:8080", "model_registry=registry:8080: an address begins with http"),
    ],
)
def test_values_of_no_use_are_refused_before_anything_starts(override, message):
    with pytest.raises(InputError, match=message):
        complete("retrain", parameters("retrain", [override]))


@pytest.mark.parametrize(
    "amount", ["3", "0", "500m", "0.5", ".5", "2.", "+1", "10Gi", "8G", "100k", "1e3", "12E6", "1E"]
)
def test_amounts_that_kubernetes_takes(amount):
    from kubernetes.utils.quantity import parse_quantity

    assert parse_quantity(amount) >= 0
    complete("retrain", parameters("retrain", [f"{key}={amount}" for key in ("train_cpu", "step_memory")]))


def test_the_types_of_parameters_are_those_of_kfp():
    for name in PIPELINES:
        inputs = load(name).component_spec.inputs
        assert {key: given.type for key, given in inputs.items()} == {
            key: KINDS.get(key, "String") for key in FORM[name]
        }


def test_a_monitor_checks_what_its_retraining_is_to_be_given():
    inner = {"settings": {"batch_size": 1}}
    given = parameters("monitor", ["retrain_pipeline=retrain", f"retrain_parameters={json.dumps(inner)}"])
    with pytest.raises(InputError, match="batch_size"):
        complete("monitor", given)


@pytest.mark.parametrize(
    ("pipeline", "asked", "message"),
    [
        ("retrian", {}, "retrain_pipeline=retrian: no pipeline that trains; did you mean retrain"),
        ("score", {}, "retrain_pipeline=score: no pipeline that trains"),
        ("", {}, "retrain_pipeline=: no pipeline that trains"),
        ("retrain", {"train_epoch": 3}, "did you mean train_epochs"),
        ("retrain", {"settings": "x"}, 'retrain_parameters: settings: "x": not of type dict'),
        ("retrain", {"settings": []}, "not of type dict"),
        ("retrain", {"gate_max_drop": "abc"}, 'gate_max_drop: "abc": not of type float'),
        ("retrain", {"gate_max_drop": None}, "gate_max_drop: null: not of type float"),
        ("retrain", {"train_epochs": "3"}, 'train_epochs: "3": not of type integer'),
        ("retrain", {"train_variant": 5}, "train_variant: 5: not of type string"),
        ("retrain", {"settings": {"train_memory": "much"}}, "train_memory=much: no amount"),
        ("retrain", {"cluster_volume": ""}, "retrain_parameters: cluster_volume names no claim"),
        ("match", {"data_catalog": 5}, "data_catalog: 5: not of type string"),
    ],
)
def test_what_a_retraining_cannot_be_given_is_refused_before_the_day_of_drift(pipeline, asked, message):
    """As the first step checks it, which is what somebody fills in in the UI."""
    given = {"settings": {}, "retrain_pipeline": pipeline, "retrain_parameters": asked}
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        check("monitor", given)
    assert "\n" not in str(caught.value)
    given["retrain_pipeline"], given["retrain_parameters"] = "retrain", {"train_epochs": 3.0, "gate_max_drop": 0}
    check("monitor", given)


@pytest.mark.parametrize(("key", "message"), [("endpoint=host:8888", "http://"), ("task=taxonomi", "taxonomy")])
def test_a_monitor_checks_what_it_needs_on_the_day_of_drift(key, message):
    with pytest.raises(InputError, match=message):
        complete("monitor", parameters("monitor", [key]))


def test_a_pipeline_is_a_pipeline():
    assert isinstance(load("retrain"), dsl.graph_component.GraphComponent)
    with pytest.raises(InputError, match="did you mean retrain"):
        load("train")


def test_a_container_sees_every_catalog_and_file_that_is_named(tmp_path):
    for name in ("data", "more", "else", "photos", "registry", "artifacts"):
        (tmp_path / name).mkdir()
    given = {"data_catalog": f"{tmp_path}/data", "out_registry": f"{tmp_path}/registry", "data_remote": "s3://bucket/d"}
    given["settings"] = {
        "unlabelled": f"{tmp_path}/more,s3://bucket/more,{tmp_path}/data",
        "background": f"{tmp_path}/else",
        "weights": f"{tmp_path}/net.safetensors#sha256={64 * '0'}",
    }
    photos = {"", "s3://bucket/photos", f"{tmp_path}/data", f"{tmp_path}/photos", f"{tmp_path}/gone"}
    found = [(mount["Target"], mount["ReadOnly"]) for mount in _mounts(given, tmp_path, os.getuid(), photos)]
    read = [f"{tmp_path}/{name}" for name in ("data", "more", "else", "photos", "net.safetensors")]
    assert sorted(found) == sorted([(f"{tmp_path}/registry", False), *((path, True) for path in read)])


@pytest.mark.parametrize("weights", ["", "auto", "none", "imagenet", "s3://bucket/net.pth", "https://host/net.pth"])
def test_weights_that_are_no_file_are_not_mounted(tmp_path, weights):
    (tmp_path / "artifacts").mkdir()
    assert not _mounts({"settings": {"weights": weights}}, tmp_path, os.getuid())


def test_a_folder_is_mounted_once_and_can_be_written_where_it_is_to_be(tmp_path):
    (tmp_path / "artifacts").mkdir()
    given = {"data_catalog": f"{tmp_path}/a.dvc", "data_remote": str(tmp_path), "out_reports": str(tmp_path)}
    found = [(mount["Target"], mount["ReadOnly"]) for mount in _mounts(given, tmp_path, os.getuid())]
    assert found == [(str(tmp_path), False)]
