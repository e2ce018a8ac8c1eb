"""What is applied to a cluster: every overlay, every object, against the schemas of two Kubernetes versions."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.packages import load, parameters
from pipelines.resources import CREDENTIALS, VOLUME
from pipelines.trainjob import LABEL

MANIFESTS = Path(__file__).parents[1] / "manifests"
NAMESPACES = {"single-user": "kubeflow", "multi-user": "vitrine"}
POOLS = ("gpu-t4", "gpu-a100", "spot")
VERSIONS = ("1.30", "1.33", "1.34")
SCHEMALESS = {"ExternalSecret", "Profile", "InferenceService"}  # of operators, not of Kubernetes
OF_ALL_PODS = {"ResourceQuota", "LimitRange", "NetworkPolicy"}
SOURCES = sorted(path for path in MANIFESTS.rglob("*.yaml"))


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def plain():
    """Objects as they stand in the files, for machines without kubectl."""
    return [
        (path, found)
        for path in SOURCES
        for found in documents(path)
        if path.name not in ("kustomization.yaml", "retrain.yaml", "images.yaml")
    ]


@pytest.fixture(scope="module", params=[(mode, pool) for mode in NAMESPACES for pool in POOLS], ids="-".join)
def built(request, tmp_path_factory):
    """An overlay with one of the pools, as somebody sets it up: mode, pool, objects."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here (Debian: apt-get install kubernetes-client); the files are checked one by one")
    mode, pool = request.param
    copy = tmp_path_factory.mktemp("manifests") / "copy"
    shutil.copytree(MANIFESTS, copy)
    overlay = copy / "overlays" / mode
    text = (overlay / "kustomization.yaml").read_text()
    assert text.count("components/gpu-t4") == 1
    (overlay / "kustomization.yaml").write_text(text.replace("components/gpu-t4", f"components/{pool}"))
    done = subprocess.run(["kubectl", "kustomize", str(overlay)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return mode, pool, list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_is_valid(version):
    from kubernetes_validate import validate

    checked = [validate(found, version, strict=True) for _, found in plain() if found["kind"] not in SCHEMALESS]
    assert len(checked) >= 14


def test_a_wrong_object_is_not_valid():
    from kubernetes_validate import ValidationError, validate

    (wrong,) = (found for _, found in plain() if found["kind"] == "CronJob")
    wrong["spec"]["concurrencyPolice"] = "Forbid"
    with pytest.raises(ValidationError):
        validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_overlay_is_valid(built, version):
    from kubernetes_validate import validate

    mode, _, objects = built
    for found in objects:
        validate(found, version, strict=True)
    names = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(set(names)) == len(names) >= 11
    for found in objects:
        if found["kind"] != "PriorityClass":
            assert found["metadata"]["namespace"] == NAMESPACES[mode], found["metadata"]["name"]
        for subject in found.get("subjects", ()):
            assert subject["namespace"] == NAMESPACES[mode]


def test_rules_for_all_pods_stay_away_from_kubeflows_own(built):
    mode, _, objects = built
    kinds = {found["kind"] for found in objects}
    assert kinds >= {"PersistentVolumeClaim", "ServiceAccount", "Role", "RoleBinding", "CronJob", "ConfigMap"}
    assert (kinds & OF_ALL_PODS) == (set() if mode == "single-user" else OF_ALL_PODS)
    assert "Namespace" not in kinds  # Kubeflow's own, or the profile's


def test_the_profile_makes_the_namespace_of_the_overlay():
    (profile,) = documents(MANIFESTS / "overlays/multi-user/profile.yaml")
    assert (profile["kind"], profile["metadata"]) == ("Profile", {"name": NAMESPACES["multi-user"]})


def test_an_overlay_gives_its_pool_and_its_quota(built):
    mode, name, objects = built
    if mode == "multi-user":
        (quota,) = (found["spec"]["hard"] for found in objects if found["kind"] == "ResourceQuota")
        assert int(quota["requests.nvidia.com/gpu"]) == (2 if name == "gpu-a100" else 4)
        assert quota["pods"] == "100"  # of the base
    (settings,) = (found["data"]["retrain.yaml"] for found in objects if found["metadata"]["name"] == "vitrine-retrain")
    assert yaml.safe_load(settings)["settings"]["pool"] == {"vitrine/pool": name if name != "spot" else "gpu-spot"}


def test_the_monitor_knows_its_namespace(built):
    _, _, objects = built
    (job,) = (found for found in objects if found["kind"] == "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    given = {variable["name"]: variable.get("valueFrom") for variable in container["env"]}
    assert given["VITRINE_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


@pytest.mark.parametrize("path", sorted(MANIFESTS.rglob("retrain.yaml")), ids=lambda path: path.parent.name)
def test_parameters_of_overlays_are_the_pipelines(path):
    given = parameters("retrain", (), path)
    assert {"pool", "tolerations", "gpu", "image_size", "batch_size"} <= set(given["settings"])
    assert given["cluster_gpus"] == 1
    for toleration in given["settings"]["tolerations"]:
        assert toleration["operator"] in ("Exists", "Equal")
        assert ("value" in toleration) == (toleration["operator"] == "Equal")


def test_the_monitor_gets_parameters_that_it_has(tmp_path):
    (found,) = (found for _, found in plain() if found["metadata"]["name"] == "vitrine-monitor" and "data" in found)
    (tmp_path / "monitor.yaml").write_text(found["data"]["monitor.yaml"])
    given = parameters("monitor", (), tmp_path / "monitor.yaml")
    assert given["retrain_pipeline"] == "retrain"
    assert set(given["retrain_parameters"]) <= set(load("retrain").component_spec.inputs)


def test_names_are_the_defaults_of_the_pipelines():
    names = {(found["kind"], found["metadata"]["name"]) for _, found in plain()}
    assert ("PersistentVolumeClaim", VOLUME) in names
    assert ("ExternalSecret", CREDENTIALS) in names


def test_pods_meet_the_restricted_standard():
    pods = [
        found["spec"]["jobTemplate"]["spec"]["template"]["spec"] for _, found in plain() if found["kind"] == "CronJob"
    ]
    assert pods
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_no_secret_no_wildcard_no_latest():
    for path, found in plain():
        assert found["kind"] != "Secret", path
        for rule in found.get("rules", ()):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], path
            if "secrets" in rule["resources"]:
                assert rule["resourceNames"], path
                assert rule["verbs"] == ["get"], path
    for path in SOURCES:
        assert ":latest" not in path.read_text(), path


def test_steps_may_make_the_jobs_of_trainings_and_nothing_more_of_them():
    rules = [
        rule
        for _, found in plain()
        for rule in found.get("rules", ())
        if found["kind"] == "Role" and "trainer.kubeflow.org" in rule["apiGroups"]
    ]
    verbs = ["create", "get", "patch", "delete"]
    assert rules == [{"apiGroups": ["trainer.kubeflow.org"], "resources": ["trainjobs"], "verbs": verbs}]


def test_nodes_of_a_training_reach_each_other():
    (policy,) = (found["spec"] for _, found in plain() if found["metadata"]["name"] == "vitrine-nodes")
    nodes = {"podSelector": {"matchLabels": {LABEL: "true"}}}
    assert policy["podSelector"] == nodes["podSelector"]
    assert policy["ingress"] == [{"from": [nodes]}]
    assert policy["egress"] == [{"to": [nodes]}]


def test_every_file_says_why():
    for path in SOURCES:
        if path.name != "kustomization.yaml" and path.parent.name != "external-secrets":
            assert path.read_text().startswith("#"), path


SERVING = MANIFESTS / "serving"
# What KServe's predictor (serving.kserve.io/v1beta1, v0.15 to v0.21) has beside the fields of a pod, as we write it.
OF_KSERVE = {"minReplicas": int, "maxReplicas": int, "scaleMetric": str, "scaleTarget": int, "timeout": int}


def serving_pods():
    """By kind: the pods that serve, as the files have them."""
    (deployment,) = (found for found in documents(SERVING / "plain/serve.yaml") if found["kind"] == "Deployment")
    (service,) = (found for found in documents(SERVING / "kserve/serve.yaml") if found["kind"] == "InferenceService")
    predictor = service["spec"]["predictor"]
    own = {name: value for name, value in predictor.items() if name not in OF_KSERVE}
    return {"Deployment": deployment["spec"]["template"]["spec"], "InferenceService": own}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_predictor_is_a_pod_and_what_kserve_adds(version):
    from kubernetes_validate import ValidationError, validate

    (found,) = (found for found in documents(SERVING / "kserve/serve.yaml") if found["kind"] == "InferenceService")
    assert found["apiVersion"] == "serving.kserve.io/v1beta1"
    assert set(found) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(found["spec"]) == {"predictor"}
    predictor = found["spec"]["predictor"]
    assert all(type(predictor[name]) is kind for name, kind in OF_KSERVE.items())
    assert predictor["scaleMetric"] in ("cpu", "memory", "concurrency", "rps")
    assert predictor["minReplicas"] <= predictor["maxReplicas"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": serving_pods()["InferenceService"]}
    validate(pod, version, strict=True)
    pod["spec"]["contaners"] = []
    with pytest.raises(ValidationError):
        validate(pod, version, strict=True)
    (container,) = predictor["containers"]
    assert container["name"] == "kserve-container"


@pytest.mark.parametrize("kind", ["Deployment", "InferenceService"])
def test_servers_meet_the_restricted_standard_and_are_asked_what_they_answer(kind):
    pod = serving_pods()[kind]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    own = container["securityContext"]
    assert (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"]) == (True, False)
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert "cpu" not in container["resources"]["limits"]  # throttled answers are late ones
    (port,) = container["ports"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] == ("/v2/health/live" if probe == "livenessProbe" else "/v2/health/ready")
        assert asked["port"] in (port["name"], port["containerPort"])
    arguments = container["args"]
    assert int(arguments[arguments.index("--port") + 1]) == port["containerPort"]


@pytest.mark.parametrize("kind", ["Deployment", "InferenceService"])
def test_servers_are_started_with_options_that_there_are(kind):
    from vitrine.cli import cli

    (container,) = serving_pods()[kind]["containers"]
    program, command = container["command"]
    assert program == "vitrine"
    given = cli.commands[command].make_context("serve", list(container["args"])).params
    assert given["registry"] == "s3://vitrine/registry"
    assert given["host"] == "0.0.0.0"


def test_the_budget_the_service_and_the_autoscaler_are_of_the_deployment():
    found = {one["kind"]: one for one in documents(SERVING / "plain/serve.yaml")}
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert found[kind]["spec"]["selector"]["matchLabels"] == labels
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", found["Deployment"]["metadata"]["name"])
    assert (
        found["HorizontalPodAutoscaler"]["spec"]["minReplicas"] > found["PodDisruptionBudget"]["spec"]["maxUnavailable"]
    )


@pytest.mark.parametrize("way", ["plain", "kserve"])
def test_serving_is_built_with_the_image_it_is_told(way):
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here (Debian: apt-get install kubernetes-client); the files are checked one by one")
    done = subprocess.run(["kubectl", "kustomize", str(SERVING / way)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "image: ghcr.io/vitrine/vitrine:0.1.0" in done.stdout
