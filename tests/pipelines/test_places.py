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

TRAINS = {
    "retrain": {"train-teacher", "train-student", "train-taxonomy"},
    "authenticate": {"train-authenticity"},
    "represent": {"train-representation"},
    "match": {"train-matching"},
    "monitor": set(),
}


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


def test_every_task_has_its_image_and_credentials_from_the_form(package):
    _, spec, platform = package
    for name in leaves(spec):
        assert executor(spec, name)["image"] == parameter("image"), name
        (secret,) = platform[f"exec-{name}"]["secretAsEnv"]
        assert secret["secretNameParameter"] == given("credentials", root=name == "report-run"), name
        assert secret["optional"] is True
        assert {key["envVar"] for key in secret["keyToEnv"]} == set(SECRET_KEYS)
        assert "secretName" not in secret
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert inputs["image"]["defaultValue"] == f"ghcr.io/vitrine/vitrine:{__version__}"
    assert inputs["credentials"]["defaultValue"] == "vitrine-s3"


def test_trainings_and_nothing_else_are_placed(package):
    pipeline, spec, platform = package
    trains = TRAINS.get(pipeline) or {name for name in leaves(spec) if name.startswith("train")}
    for name, task in leaves(spec).items():
        resources, kubernetes = executor(spec, name).get("resources", {}), platform[f"exec-{name}"]
        if name not in trains:
            assert "accelerator" not in resources, name
            sizes = [resources[key] for key in ("resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit")]
            assert sizes == [parameter("step_cpu"), "1Gi", parameter("step_memory")], name
            assert "retryPolicy" not in task, name
            assert not {"nodeSelector", "tolerations", "pvcMount", "emptyDirMounts"} & set(kubernetes), name
            continue
        held = parameter("own-gpus-Output")  # none where nodes of their own train
        assert resources["accelerator"] == {"resourceType": parameter("gpu"), "resourceCount": held}
        asked = task["inputs"]["parameters"]
        for parameters in ("gpu", "gpus", "nodes"):  # directly, or through the DAG around it
            source = asked[parameters]["componentInputParameter"]
            assert source.removeprefix("pipelinechannel--") == parameters
        requested = [resources[key] for key in ("resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit")]
        assert requested == [parameter("train_cpu"), parameter("train_memory"), parameter("train_memory")]
        assert kubernetes["nodeSelector"] == {"nodeSelectorJson": given("pool")}
        assert kubernetes["tolerations"] == [{"tolerationJson": given("tolerations")}]
        (volume,) = kubernetes["pvcMount"]
        assert volume["mountPath"] == "/mnt/vitrine"
        assert volume["pvcNameParameter"] == given("volume")
        (memory,) = kubernetes["emptyDirMounts"]
        assert (memory["mountPath"], memory["medium"], memory["sizeLimit"]) == ("/dev/shm", "Memory", "8Gi")
        assert kubernetes["activeDeadlineSeconds"] == str(24 * 3600)
        retry = task["retryPolicy"]
        assert (retry["maxRetryCount"], retry["backoffDuration"], retry["backoffFactor"]) == (2, "30s", 2.0)
        assert retry["backoffMaxDuration"] == "600s"


def test_the_defaults_are_those_of_the_manifests(package):
    pipeline, spec, _ = package
    if not TRAINS.get(pipeline):
        return
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert inputs["gpu"]["defaultValue"] == "nvidia.com/gpu"
    assert inputs["gpus"]["defaultValue"] == 1
    assert (inputs["nodes"]["defaultValue"], inputs["nodes"]["parameterType"]) == (1, "NUMBER_INTEGER")
    assert inputs["pool"]["defaultValue"] == {"vitrine/pool": "gpu"}
    assert inputs["tolerations"]["defaultValue"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert inputs["volume"]["defaultValue"] == "vitrine-checkpoints"
    # What a node of 4 processors and 16 GiB has left: 3.92 and 12.3 GiB, of which the system's pods take some.
    assert float(inputs["train_cpu"]["defaultValue"]) <= 3.9 - 0.5
    assert float(inputs["train_memory"]["defaultValue"].removesuffix("Gi")) <= 12.3 - 1
    assert inputs["checkpoints"]["defaultValue"].startswith("/mnt/vitrine/")


def test_how_many_gpus_a_step_holds_is_decided_from_nodes_and_gpus(package):
    pipeline, spec, _ = package
    if TRAINS.get(pipeline):
        asked = leaves(spec)["own-gpus"]["inputs"]["parameters"]
        assert asked["nodes"] == given("nodes")
        assert asked["gpus"] == given("gpus")
        same = ("gpu", "pool", "tolerations", "volume", "reports")
        renamed = {"cpu": "train_cpu", "memory": "train_memory", "minutes": "place_minutes"}
        for name, source in {**{name: name for name in same}, **renamed}.items():
            assert asked[name] == given(source)
        assert not leaves(spec)["own-gpus"]["cachingOptions"].get("enableCache")


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
    assert "pipelinechannel--volume" not in text
    assert "volume" not in own["root"]["inputDefinitions"]["parameters"]
    assert "#    volume:" not in text
    assert set(spec["root"]["inputDefinitions"]["parameters"]) - {"volume"} == set(
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
    assert "catalog" in names
    assert max(map(len, names)) <= 20


def test_only_what_starts_runs_gets_a_token(package):
    _, _, platform = package
    for name in ("metadata.namespace", "spec.serviceAccountName"):
        told = {executor for executor, asks in platform.items() if name in str(asks.get("fieldPathAsEnv", ""))}
        assert told == {executor for executor in platform if executor == "exec-request-retraining"}
    labelled = {name for name, asks in platform.items() if "podMetadata" in asks}
    assert labelled == {name for name in platform if name == "exec-request-retraining"}
