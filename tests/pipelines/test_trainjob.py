"""A training on several nodes: the object, and a step that makes it and watches it, against the API over HTTP."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fake_kubernetes import FakeKubernetes, status
from jsonschema import Draft202012Validator
from kubernetes import client
from toys import toy_catalog
from trainjob_schema import TRAIN_JOB

from pipelines import trainjob
from pipelines.agreed import SECRET_KEYS
from pipelines.trainjob import describe, held_by_step, on_nodes, train_job
from vitrine import launch as launching
from vitrine.catalog import write_catalog
from vitrine.errors import InputError
from vitrine.launch import launch_on_nodes
from vitrine.steps import training

NAME = "vitrine-0123456789abcdef"
IMAGE = "registry.example/vitrine@sha256:" + "a" * 64
RUNNING, COMPLETE = status("", active=2, ready=2), status("Complete", "JobsCompleted", succeeded=2)
FAILED = status("Failed", "JobsFailed", "jobset failed\n due to one or more job failures", failed=1)


def step_pod(volume="/mnt/vitrine"):
    """What KFP makes of a training task."""
    secret = {"name": "vitrine-s3", "optional": True}
    env = [{"name": key, "valueFrom": {"secretKeyRef": {**secret, "key": key}}} for key in SECRET_KEYS]
    env += [
        {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "OTHER_KEY", "valueFrom": {"secretKeyRef": {"name": "other", "key": "key"}}},
        {"name": "AWS_DEFAULT_REGION", "value": "plain"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "retrain-x7-123", "uid": "a1b2c3d4", "namespace": "vitrine"},
        "spec": {
            "serviceAccountName": "vitrine-runner",
            "imagePullSecrets": [{"name": "registry"}],
            "nodeSelector": {"vitrine/pool": "gpu-t4"},
            "tolerations": [
                {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
                {
                    "key": "node.kubernetes.io/not-ready",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                },
            ],
            "containers": [
                {"name": "wait", "image": "argoexec"},
                {
                    "name": "main",
                    "image": IMAGE,
                    "env": env,
                    "resources": {
                        "requests": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "0"},
                        "limits": {"memory": "32Gi", "nvidia.com/gpu": "0"},
                    },
                    "volumeMounts": [
                        {"name": "kfp-launcher", "mountPath": "/kfp-launcher"},
                        {"name": "shared-memory", "mountPath": "/dev/shm"},
                        {"name": "vitrine-checkpoints", "mountPath": volume},
                    ],
                },
            ],
            "volumes": [
                {"name": "kfp-launcher", "emptyDir": {}},
                {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
                {"name": "vitrine-checkpoints", "persistentVolumeClaim": {"claimName": "vitrine-checkpoints"}},
            ],
        },
    }


def an_object(gpus=2, **pod):
    said = Path("/mnt/vitrine/checkpoints/k/nodes/error")
    return train_job(NAME, step_pod(**pod), ["python", "-m", "torch"], said, 3, gpus, "nvidia.com/gpu")


def node_of(job):
    (patch,) = job["spec"]["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]["template"]


OLD = json.dumps(an_object())  # before a test's volume is elsewhere


@pytest.fixture
def kubernetes(monkeypatch, tmp_path):
    server = FakeKubernetes()
    server.state.pods["retrain-x7-123"] = step_pod(str(tmp_path))
    monkeypatch.setenv("KFP_POD_NAME", "retrain-x7-123")
    monkeypatch.setattr(trainjob, "VOLUME_PATH", str(tmp_path))
    monkeypatch.setattr(trainjob, "POLL", 0.02)
    monkeypatch.setattr(trainjob, "connect", lambda: (api(server.address), "vitrine"))
    yield server
    server.close()


def api(address):
    configuration = client.Configuration()
    configuration.host, configuration.retries = address, False
    return client.ApiClient(configuration)


@pytest.fixture
def run(kubernetes, tmp_path):
    def run(said=tmp_path / "error"):
        on_nodes(2, 1, "nvidia.com/gpu")(NAME.removeprefix("vitrine-"), ["true"], said)

    return run


def test_the_object_is_a_train_job():
    for gpus in (0, 2):
        Draft202012Validator(TRAIN_JOB).validate(an_object(gpus))
    wrong = an_object()
    wrong["spec"]["podTemplateOverrides"] = []  # of Trainer 2.1
    assert list(Draft202012Validator(TRAIN_JOB).iter_errors(wrong))


@pytest.mark.parametrize("version", ["1.30", "1.33"])
def test_its_pods_are_pods(version):
    from kubernetes_validate import validate

    job = an_object()
    template, trainer = node_of(job), job["spec"]["trainer"]
    (container,) = template["spec"]["containers"]
    own = {"image": trainer["image"], "command": trainer["command"], "env": trainer["env"]}
    spec = {**template["spec"], "containers": [{**container, **own, "resources": trainer["resourcesPerNode"]}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", **template["metadata"]}, "spec": spec}
    validate(pod, version, strict=True)


def test_a_node_is_what_the_step_is():
    job = an_object()
    trainer, template = job["spec"]["trainer"], node_of(job)
    spec = template["spec"]
    assert job["metadata"]["name"] == NAME
    (owner,) = job["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "v1", "kind": "Pod", "name": "retrain-x7-123", "uid": "a1b2c3d4"}
    assert job["spec"]["runtimeRef"]["name"] == "torch-distributed"
    assert job["spec"]["activeDeadlineSeconds"] == 24 * 3600
    assert (trainer["image"], trainer["numNodes"], trainer["numProcPerNode"]) == (IMAGE, 3, 2)
    assert trainer["resourcesPerNode"] == {
        "requests": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "2"},
        "limits": {"memory": "32Gi", "nvidia.com/gpu": "2"},
    }
    assert spec["serviceAccountName"] == "vitrine-runner"
    assert spec["nodeSelector"] == {"vitrine/pool": "gpu-t4"}
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert [volume["name"] for volume in spec["volumes"]] == ["shared-memory", "vitrine-checkpoints", "scratch"]
    (container,) = spec["containers"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/dev/shm", "/mnt/vitrine", "/tmp"]
    assert template["metadata"]["labels"]["vitrine/nodes"] == "true"
    on_cpus = an_object(gpus=0)["spec"]["trainer"]
    assert on_cpus["numProcPerNode"] == 1
    assert "nvidia.com/gpu" not in json.dumps(on_cpus)


def test_a_node_meets_the_restricted_standard_and_holds_no_secret():
    spec = node_of(an_object())["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["containers"][0]["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    env = an_object()["spec"]["trainer"]["env"]
    assert [variable["name"] for variable in env] == list(SECRET_KEYS)
    assert all(set(variable) == {"name", "valueFrom"} for variable in env)
    assert all(variable["valueFrom"]["secretKeyRef"]["name"] == "vitrine-s3" for variable in env)


def test_what_nodes_need_is_on_the_volume_or_it_is_said():
    with pytest.raises(InputError, match="nodes=3: checkpoints must be on the volume at /mnt/vitrine"):
        an_object(volume="/mnt/other")
    with pytest.raises(InputError, match="which all nodes share"):
        train_job(NAME, step_pod(), [], Path("/tmp/error"), 3, 1, "nvidia.com/gpu")


def test_nonsense_is_one_line():
    for nodes in (0, -1):
        with pytest.raises(InputError, match=f"^nodes={nodes}: at least 1$"):
            held_by_step(nodes, 1)
        with pytest.raises(InputError, match=f"^nodes={nodes}: at least 1$"):
            on_nodes(nodes, 1, "nvidia.com/gpu")
    with pytest.raises(InputError, match=r"^gpus=-1: at least 0$"):
        held_by_step(1, -1)


def test_it_is_imported_where_kfp_offers_what_running_steps_need_only():
    code = "from pipelines.trainjob import held_by_step; import sys; sys.exit(held_by_step(1, 3))"
    environment = {**os.environ, "_KFP_RUNTIME": "true"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == 3


def test_a_step_that_watches_holds_no_gpu():
    assert held_by_step(1, 4) == 4
    assert held_by_step(2, 4) == 0


def test_one_node_is_the_step_itself_and_several_need_a_cluster(monkeypatch):
    monkeypatch.delenv("KFP_POD_NAME", raising=False)
    assert on_nodes(1, 4, "nvidia.com/gpu") is None
    with pytest.raises(InputError, match="nodes=2: several nodes are for runs on a cluster"):
        on_nodes(2, 4, "nvidia.com/gpu")
    monkeypatch.setenv("KFP_POD_NAME", "x")
    with pytest.raises(InputError, match="no token for the Kubernetes API"):
        on_nodes(2, 4, "nvidia.com/gpu")("k", [], Path("/x"))


def test_a_job_is_watched_to_its_end_and_deleted(kubernetes, run, capsys):
    kubernetes.state.looks = [{}, status("", active=2), RUNNING, RUNNING, COMPLETE]
    run()
    lines = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    states = ["waiting", "running: 2 active", "running: 2 active, 2 ready", "complete"]
    assert lines == ["created, 2 nodes", *states]
    assert kubernetes.methods() == ["POST", "DELETE"]
    assert not kubernetes.state.jobs


def test_a_retry_joins_the_job_that_is_going(kubernetes, run, capsys):
    kubernetes.state.looks = [RUNNING, COMPLETE]
    old = json.loads(OLD)
    old["metadata"]["ownerReferences"][0] |= {"name": "first-try", "uid": "old"}
    kubernetes.state.jobs[NAME] = old
    run()
    assert "is going already, joined" in capsys.readouterr().out
    assert kubernetes.methods() == ["PATCH", "DELETE"]
    assert old["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": "retrain-x7-123", "uid": "a1b2c3d4"}
    ]


def test_two_that_create_at_once_share_one_job(kubernetes, run):
    kubernetes.state.looks = [RUNNING, COMPLETE]

    def quicker(method, path):
        if method == "POST":
            kubernetes.state.jobs[NAME] = json.loads(OLD)

    kubernetes.before = quicker
    run()
    assert kubernetes.methods() == ["POST", "PATCH", "DELETE"]  # 409, then joined
    assert not kubernetes.state.created


@pytest.mark.parametrize("how", ["failed", "deleted"])
def test_what_an_earlier_try_left_is_waited_for(kubernetes, run, how, tmp_path):
    old = json.loads(OLD)
    kubernetes.state.jobs[NAME] = old
    kubernetes.state.lingers = 3
    old["status"] = FAILED
    if how == "deleted":
        old["metadata"]["deletionTimestamp"] = "2026-11-25T00:00:00Z"
    (tmp_path / "error").write_text("of the earlier try")

    def looks(method, path):
        kubernetes.state.looks = [COMPLETE] if kubernetes.state.created else [FAILED]

    kubernetes.before = looks
    run()
    assert len(kubernetes.state.created) == 1
    assert not (tmp_path / "error").exists()


def test_a_failure_tells_its_reason_in_one_line(kubernetes, run):
    kubernetes.state.looks = [RUNNING, FAILED]
    said = f"^trainjob {NAME} failed: JobsFailed: jobset failed due to one or more job failures$"
    with pytest.raises(RuntimeError, match=said):
        run()
    assert not kubernetes.state.jobs
    kubernetes.state.looks = [status("Failed", "DeadlineExceeded", "was active longer than specified deadline")]
    with pytest.raises(RuntimeError, match="DeadlineExceeded"):
        run()


def test_a_job_that_disappears_and_one_that_never_ends(kubernetes, run, monkeypatch):
    kubernetes.state.looks = [RUNNING]
    gone = []

    def deletes(method, path):
        gone.append(method)
        if len(gone) == 6:
            kubernetes.state.jobs.clear()

    kubernetes.before = deletes
    with pytest.raises(RuntimeError, match="was deleted by somebody else"):
        run()
    monkeypatch.setattr(trainjob, "LIMIT", 1.0)
    with pytest.raises(RuntimeError, match=r"has not ended after .+ h: running: 2 active, 2 ready"):
        run()
    assert not kubernetes.state.jobs


def test_what_nodes_cannot_train_is_one_line_and_ends_the_watching(kubernetes, trains, tmp_path):
    """What a node does is done here; `tests/training/test_shared.py` has processes of their own say it."""
    kubernetes.state.runs, kubernetes.state.looks = False, [RUNNING]

    def works(method, path):
        if method == "GET" and kubernetes.state.created:
            (job,) = kubernetes.state.created
            assert launching.work(json.loads(job["spec"]["trainer"]["command"][-1])) == 2

    kubernetes.before = works
    with pytest.raises(InputError, match=r"^[^\n]*no_such_type[^\n]*$"):
        trains("attributes", "teacher", type="no_such_type")
    assert not kubernetes.state.jobs
    assert not (tmp_path / "step").exists()
    assert list((tmp_path / "checkpoints").rglob("nodes")) == []


def test_an_api_that_is_away_for_a_while_ends_nothing(kubernetes, run, monkeypatch):
    kubernetes.state.looks, kubernetes.state.failing = [RUNNING, COMPLETE], 5
    run()
    assert not kubernetes.state.jobs
    monkeypatch.setattr(trainjob, "PATIENCE", 0.0)
    kubernetes.state.failing = 99
    with pytest.raises(ConnectionError, match="does not answer"):
        run()


def test_a_cluster_without_trainer_or_rights_is_told(kubernetes, run):
    kubernetes.state.installed = False
    with pytest.raises(InputError, match="this cluster has no Kubeflow Trainer"):
        run()
    kubernetes.state.installed, kubernetes.state.forbidden = True, True
    with pytest.raises(InputError, match=r"403 Forbidden; see manifests/base/accounts\.yaml"):
        run()


def test_states_are_short():
    assert describe({}) == "waiting"
    assert describe({"status": status("Suspended", "Suspended", "by Kueue")}) == "suspended: Suspended: by Kueue"
    assert describe({"status": status("", failed=0, active=0)}) == "running: no pod yet"


def test_a_step_that_is_terminated_deletes_its_job(kubernetes, tmp_path):
    """Kubernetes sends SIGTERM when somebody terminates the run."""
    kubernetes.state.looks = [RUNNING]
    code = (
        "from pathlib import Path\n"
        "from kubernetes import client\n"
        "from pipelines import trainjob\n"
        "configuration = client.Configuration()\n"
        f"configuration.host = {kubernetes.address!r}\n"
        f"trainjob.VOLUME_PATH = {str(tmp_path)!r}\n"
        "trainjob.connect = lambda: (client.ApiClient(configuration), 'vitrine')\n"
        f"trainjob.on_nodes(2, 1, 'nvidia.com/gpu')('0123456789abcdef', [], Path({str(tmp_path)!r}) / 'error')\n"
    )
    step = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert "created" in step.stdout.readline()
    assert "running" in step.stdout.readline()
    step.send_signal(signal.SIGTERM)
    assert step.wait(timeout=20) == 143
    assert kubernetes.methods() == ["POST", "DELETE"]
    assert not kubernetes.state.jobs


SMALL = {"epochs": 2, "batch_size": 20, "image_size": 32, "precision": "32", "learning_rate": 0.0001, "weights": "none"}


@pytest.fixture
def trains(kubernetes, tmp_path, monkeypatch):
    """A step's training by two nodes on this machine, a gloo process each."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = os.pathsep.join([str(Path(launching.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(trainjob, "POLL", 0.1)
    kubernetes.state.runs = True
    write_catalog(toy_catalog(tmp_path / "toy", photos=72, size=32), tmp_path / "table")

    def train(task, variant, **settings):
        nodes = on_nodes(2, 0, "nvidia.com/gpu")
        where = tmp_path / "table", tmp_path / "step" / "model", str(tmp_path / "checkpoints")
        return training.train(task, variant, *where, {**SMALL, **settings}, nodes=nodes)

    return train


@pytest.mark.slow
def test_a_node_that_dies_fails_the_step_and_the_next_try_goes_on(kubernetes, trains, tmp_path, capfd):
    def kills():
        kept = tmp_path / "checkpoints"
        while not {path.name for path in kept.glob("*/.model.training/[!.]*")} - {"identity"}:
            time.sleep(0.05)
        (node, _), *_ = kubernetes.state.processes.values()
        for child in Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)

    thread = threading.Thread(target=kills, daemon=True)
    thread.start()
    model = tmp_path / "step" / "model"
    with pytest.raises(RuntimeError, match="failed: JobsFailed: jobset failed: exit codes"):
        trains("attributes", "teacher", type="colour", epochs=10)
    assert not kubernetes.state.jobs
    assert kubernetes.methods() == ["POST", "DELETE"]
    assert not model.exists()
    capfd.readouterr()
    figures = trains("attributes", "teacher", type="colour", epochs=10)
    said = capfd.readouterr().out
    assert "goes on from epoch" in said
    assert "epoch 10/10" in said
    assert "Train teacher:" in said
    assert figures == json.loads((model / "metrics.json").read_text())
    assert (model / "model.safetensors").stat().st_size
    assert kubernetes.methods() == ["POST", "DELETE"] * 2
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_nodes_learn_of_teachers_on_the_volume(tmp_path):
    """Where the step's own models are, no other pod looks."""
    teacher, volume = tmp_path / "step" / "colour", tmp_path / "volume" / "key"
    teacher.mkdir(parents=True)
    (teacher / "model.safetensors").write_bytes(b"weights")
    write_catalog(toy_catalog(tmp_path / "toy", photos=8, size=16), tmp_path / "table")

    def run(name, command, error_file):
        asked = json.loads(command[-1])
        (teachers,) = (text for text in asked["overrides"] if text.startswith("teachers="))
        copied = Path(teachers.removeprefix("teachers="))
        assert copied.is_relative_to(volume)
        assert (copied / "model.safetensors").read_bytes() == b"weights"
        Path(asked["out"]).mkdir(parents=True)

    out = tmp_path / "step" / "model"
    launch_on_nodes(run, "attributes", "student", tmp_path / "table", out, [f"teachers={teacher}"], volume)
    assert out.is_dir()


def test_a_model_that_a_dead_step_left_is_taken(tmp_path):
    model = tmp_path / "key" / "nodes" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")

    def run(*_):
        raise AssertionError("nothing is left to train")

    launch_on_nodes(run, "attributes", "teacher", tmp_path, tmp_path / "out" / "model", [], tmp_path / "key")
    assert (tmp_path / "out" / "model" / "config.json").exists()
    assert not any((tmp_path / "key").iterdir())
