"""Every package, task by task: image, credentials, GPU, nodes, volumes, and that each parameter arrives where it is used."""

import re

import pytest
import yaml
from kfp import components
from test_compiled import dags, executor, leaves

from pipelines import PIPELINES
from pipelines.packages import compile_pipeline
from pipelines.resources import SECRET_KEYS
from vitrine import __version__

TRAINS = {"retrain", "authenticate", "represent", "match"}
RESUMED = ("score", "score-shard")  # beside trainings
ENDS = ("start", "report-run")  # whose size no other step can say


@pytest.fixture(scope="module", params=list(PIPELINES))
def package(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("build") / f"{request.param}.yaml"
    compile_pipeline(request.param, path)
    spec, platforms = yaml.safe_load_all(path.read_text())
    return request.param, spec, platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def parameter(name):
    return "{{$.inputs.parameters['pipelinechannel--NAME']}}".replace("NAME", name)


def given(name, root=False):
    return {"componentInputParameter": name if root else f"pipelinechannel--{name}"}


def begun(name):
    """What the first step says, in a pod."""
    return parameter(f"start-{name}")


def said(name):
    """The same as a task's input: beside the first step, or inside a condition or loop."""
    return {"taskOutputParameter": {"producerTask": "start", "outputParameterKey": name}}, given(f"start-{name}")


def test_every_task_has_its_image_and_credentials_from_the_form(package):
    _, spec, platform = package
    for name in leaves(spec):
        assert executor(spec, name)["image"] == parameter("cluster_image"), name
        (secret,) = platform[f"exec-{name}"]["secretAsEnv"]
        assert secret["secretNameParameter"] == given("cluster_credentials", root=name == "report-run"), name
        assert secret["optional"] is True
        assert {key["envVar"] for key in secret["keyToEnv"]} == set(SECRET_KEYS)
        assert "secretName" not in secret
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert inputs["cluster_image"]["defaultValue"] == f"ghcr.io/vitrine/vitrine:{__version__}"
    assert inputs["cluster_credentials"]["defaultValue"] == "vitrine-s3"


def test_trainings_and_nothing_else_are_placed(package):
    pipeline, spec, platform = package
    trains = {name for name in leaves(spec) if name.partition("-")[0] == "train"}
    assert bool(trains) == (pipeline in TRAINS)
    for name, task in leaves(spec).items():
        resources, kubernetes = executor(spec, name).get("resources", {}), platform[f"exec-{name}"]
        if name not in trains:
            assert "accelerator" not in resources, name
            sizes = [resources[key] for key in ("resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit")]
            told = ["500m", "1Gi", "8Gi"] if name in ENDS else [begun("step_cpu"), "1Gi", begun("step_memory")]
            assert sizes == told, name
            assert ("retryPolicy" in task) == (name in RESUMED), name
            assert not {"nodeSelector", "tolerations", "pvcMount", "emptyDirMounts"} & set(kubernetes), name
            continue
        assert resources["accelerator"] == {"resourceType": begun("gpu"), "resourceCount": begun("held")}
        asked = task["inputs"]["parameters"]
        assert asked["gpus"] == given("cluster_gpus")
        for parameters in ("gpu", "nodes", "checkpoints"):
            assert asked[parameters] in said(parameters)
        requested = [resources[key] for key in ("resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit")]
        assert requested == [begun("train_cpu"), begun("train_memory"), begun("train_memory")]
        assert kubernetes["nodeSelector"]["nodeSelectorJson"] in said("pool")
        (tolerations,) = kubernetes["tolerations"]
        assert tolerations["tolerationJson"] in said("tolerations")
        (volume,) = kubernetes["pvcMount"]
        assert volume["mountPath"] == "/mnt/vitrine"
        assert volume["pvcNameParameter"] == given("cluster_volume")
        (memory,) = kubernetes["emptyDirMounts"]
        assert (memory["mountPath"], memory["medium"], memory["sizeLimit"]) == ("/dev/shm", "Memory", "8Gi")
        assert kubernetes["activeDeadlineSeconds"] == str(24 * 3600)
        retry = task["retryPolicy"]
        assert (retry["maxRetryCount"], retry["backoffDuration"], retry["backoffFactor"]) == (2, "30s", 2.0)
        assert retry["backoffMaxDuration"] == "600s"
        (told,) = kubernetes["fieldPathAsEnv"]
        attempt = "metadata.annotations['workflows.argoproj.io/node-name']"
        assert told == {"name": "VITRINE_ARGO_NODE", "fieldPath": attempt}


def test_the_defaults_are_those_of_the_manifests(package):
    pipeline, spec, _ = package
    if pipeline not in TRAINS:
        return
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert (inputs["cluster_gpus"]["defaultValue"], inputs["cluster_gpus"]["parameterType"]) == (1, "NUMBER_INTEGER")
    assert inputs["cluster_volume"]["defaultValue"] == "vitrine-checkpoints"
    settings = inputs["settings"]["defaultValue"]
    assert (settings["gpu"], settings["nodes"]) == ("nvidia.com/gpu", 1)
    assert settings["pool"] == {"vitrine/pool": "gpu"}
    assert settings["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    # What a node of 4 processors and 16 GiB has left: 3.92 and 12.3 GiB, of which the system's pods take some.
    assert float(settings["train_cpu"]) <= 3.9 - 0.5
    assert float(settings["train_memory"].removesuffix("Gi")) <= 12.3 - 1
    assert settings["checkpoints"].startswith("/mnt/vitrine/")


def test_a_node_is_looked_for_with_what_trainings_ask_for(package):
    pipeline, spec, _ = package
    if pipeline in TRAINS:
        assert leaves(spec)["start"]["inputs"]["parameters"]["gpus"] == given("cluster_gpus")
        asked = leaves(spec)["plan"]["inputs"]["parameters"]
        assert asked["settings"] in said("settings")
        assert (asked["gpus"], asked["volume"]) == (given("cluster_gpus"), given("cluster_volume"))
        assert not leaves(spec)["plan"]["cachingOptions"].get("enableCache")


@pytest.mark.slow
def test_without_a_claim_checkpoints_are_on_the_pods_disk(package, tmp_path):
    pipeline, spec, platform = package
    path = tmp_path / f"{pipeline}.yaml"
    compile_pipeline(pipeline, path, claim=False)
    text = path.read_text()
    own, kubernetes = yaml.safe_load_all(text)
    executors = kubernetes["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    trains = {name for name, asks in platform.items() if "pvcMount" in asks}
    for name, asks in executors.items():
        mounted = {"volumeName": "checkpoints", "mountPath": "/mnt/vitrine"} in asks.get("emptyDirMounts", [])
        assert mounted is (name in trains)
        assert "pvcMount" not in asks
    assert "pipelinechannel--cluster_volume" not in text
    assert "cluster_volume" not in own["root"]["inputDefinitions"]["parameters"]
    assert "#    cluster_volume:" not in text
    assert set(spec["root"]["inputDefinitions"]["parameters"]) - {"cluster_volume"} == set(
        own["root"]["inputDefinitions"]["parameters"]
    )
    assert components.load_component_from_text(text).name == pipeline  # kfp takes it as it is


def test_what_a_task_refers_to_arrives_through_every_level(package):
    """kfp 2.17.0 forgets the accelerator's parameters inside conditions and loops: the run would fail on a cluster."""
    _, spec, platform = package
    inside = {"": spec["root"]}
    for tasks in dags(spec).values():
        for task in tasks.values():
            component = spec["components"][task["componentRef"]["name"]]
            if "dag" in component:
                inside[task["taskInfo"]["name"]] = component
    for where, tasks in dags(spec).items():
        known = set(inside[where].get("inputDefinitions", {}).get("parameters", {}))
        for name, task in tasks.items():
            asked = re.findall(r"'componentInputParameter': '([^']+)'", str(task.get("inputs", {})))
            asked += re.findall(r"'componentInputParameter': '([^']+)'", str(platform.get(f"exec-{name}", {})))
            missing = set(asked) - known
            assert not missing, (where, name)
            if f"exec-{name}" in spec["deploymentSpec"]["executors"]:
                used = re.findall(r"inputs\.parameters\['([^']+)'\]", str(executor(spec, name)).replace('"', "'"))
                assert set(used) <= set(task["inputs"]["parameters"]), (where, name)


def test_names_are_short(package):
    _, spec, _ = package
    names = list(spec["root"]["inputDefinitions"]["parameters"])
    assert "data_catalog" in names
    assert max(map(len, names)) <= 20


def test_only_what_starts_runs_gets_a_token(package):
    _, _, platform = package
    for name in ("metadata.namespace", "spec.serviceAccountName"):
        told = {executor for executor, asks in platform.items() if name in str(asks.get("fieldPathAsEnv", ""))}
        assert told == {executor for executor in platform if executor == "exec-request-retraining"}
    labelled = {name for name, asks in platform.items() if "podMetadata" in asks}
    assert labelled == {name for name in platform if name == "exec-request-retraining"}
