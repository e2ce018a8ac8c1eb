"""`vitrine pipeline check`, as a user types it, against a Kubeflow, a Kubernetes, a registry and S3 over HTTP."""

import re

import pytest
from click.testing import CliRunner
from fake_kubeflow import FakeKubeflow
from json_server import JsonServer, Refused
from kubernetes import client

from pipelines import check, kube
from vitrine.cli import cli
from vitrine.errors import InputError


class Kubernetes(JsonServer):
    """Objects by path; a Kubernetes that also answers as an image registry."""

    def __init__(self):
        self.there, self.forbidden, self.nodes = set(), set(), []
        super().__init__()

    def answer(self, asked):
        if asked.path == "/api/v1/nodes":
            if "nodes" in self.forbidden:
                raise Refused(403, "Forbidden")
            labels = dict(pair.split("=") for pair in asked.query["labelSelector"].split(","))
            return {"items": [node for node in self.nodes if labels.items() <= node["metadata"]["labels"].items()]}
        found = re.fullmatch(r"/api/v1/namespaces/([\w-]+)/(\w+)/([\w-]+)", asked.path)
        if found and found[2] in self.forbidden:
            raise Refused(403, "Forbidden")
        if asked.path.removeprefix("/api/v1/namespaces/") not in self.there:
            raise Refused(404, "NotFound")
        return {"metadata": {"name": found[3]}}


def node(cpu, memory, gpus, **labels):
    allocatable = {"cpu": cpu, "memory": memory, "nvidia.com/gpu": gpus}
    return {"metadata": {"labels": {"vitrine/pool": "gpu", **labels}}, "status": {"allocatable": allocatable}}


@pytest.fixture
def cluster(monkeypatch, bucket, tmp_path):
    """Everything that a run needs; `bucket` is S3's."""
    kubernetes, kubeflow = Kubernetes(), FakeKubeflow()
    objects = ("persistentvolumeclaims/vitrine-checkpoints", "serviceaccounts/pipeline-runner", "secrets/vitrine-s3")
    kubernetes.there = {f"kubeflow/{name}" for name in objects}
    kubernetes.nodes = [node("3920m", "12600Mi", "1"), node("1", "1Gi", "0")]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", kubeflow.address)
    monkeypatch.setenv("VITRINE_REVISION", "0" * 40)
    monkeypatch.delenv("VITRINE_NAMESPACE", raising=False)
    monkeypatch.setattr(check, "from_here", lambda: client.ApiClient(client.Configuration(host=kubernetes.address)))
    monkeypatch.setattr(check, "_head", lambda address, token: 200 if "/v2/vitrine/" in address else 404)
    kubernetes.kubeflow, kubernetes.bucket = kubeflow, bucket
    yield kubernetes
    kubernetes.close()
    kubeflow.close()


def vitrine(command, cluster, *arguments):
    places = [f"--set={name}={cluster.bucket}/{name}" for name in ("data_catalog", "out_registry", "out_reports")]
    given = ["pipeline", command, "retrain", *places, "--set=cluster_image=localhost:5000/vitrine:1", *arguments]
    result = CliRunner().invoke(cli, given, standalone_mode=False)
    if result.exception and not isinstance(result.exception, InputError):
        raise result.exception
    return result.return_value if not result.exception else str(result.exception), result.output.splitlines()


def test_all_is_there(cluster):
    code, lines = vitrine("check", cluster)
    assert code == 0
    name = cluster.bucket.removeprefix("s3://").partition("/")[0]
    assert lines == [
        "claim vitrine-checkpoints: there",
        "account pipeline-runner: there",
        "secret vitrine-s3: there",
        "node pool vitrine/pool=gpu: there (1 of 2 nodes take a training)",
        f"bucket {name}: there",
        "image localhost:5000/vitrine:1: there",
    ]
    assert vitrine("submit", cluster)[0] == 0


def test_what_is_missing_is_said_and_what_no_run_gets_on_without_starts_none(cluster):
    cluster.there.clear()
    code, lines = vitrine("check", cluster)
    assert code == 1
    assert lines[0].startswith("claim vitrine-checkpoints: missing (in namespace kubeflow; every training would wait")
    assert lines[1] == "account pipeline-runner: missing (in namespace kubeflow)"
    message, _ = vitrine("submit", cluster)
    assert message.startswith("claim vitrine-checkpoints: missing (in namespace kubeflow")
    assert not cluster.kubeflow.state.runs
    cluster.there = {"kubeflow/serviceaccounts/vitrine-runner"}
    code, lines = vitrine("submit", cluster, "--no-claim", "--account", "vitrine-runner")
    assert code == 0
    assert "warning: secret vitrine-s3: missing (in namespace kubeflow; not needed where pods have a role)" in lines
    assert len(cluster.kubeflow.state.runs) == 1


def test_where_rights_do_not_reach_is_a_warning(cluster):
    cluster.forbidden = {"persistentvolumeclaims", "serviceaccounts", "secrets", "nodes"}
    code, lines = vitrine("check", cluster)
    assert code == 0
    assert [line for line in lines if ": unknown (403 Forbidden)" in line] == lines[:4]
    code, lines = vitrine("submit", cluster)
    assert code == 0
    assert "warning: claim vitrine-checkpoints: unknown (403 Forbidden)" in lines


def test_several_users_have_their_namespace_and_account(cluster):
    cluster.kubeflow.state.multi_user = True
    _, lines = vitrine("check", cluster, "--namespace", "team-a")
    assert "claim vitrine-checkpoints: missing (in namespace team-a" in lines[0]
    assert lines[1] == "account default-editor: missing (in namespace team-a)"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["--set=train_cpu=4"], "none of 2 nodes has what a training asks for: cpu 3920m of 4"),
        (["--set=train_memory=13Gi"], "memory 12600Mi of 13Gi"),
        (["--set=cluster_gpus=2"], "nvidia.com/gpu 1 of 2"),
        (['--set=pool={"vitrine/pool": "a100"}'], "no node has these labels"),
        (["--set=out_reports=s3://no-such-bucket/reports"], "bucket no-such-bucket: missing"),
        (["--set=cluster_image=localhost:5000/other:1"], "image localhost:5000/other:1: missing"),
    ],
)
def test_what_does_not_fit(cluster, changed, said):
    code, lines = vitrine("check", cluster, *changed)
    assert code == 1
    assert said in "\n".join(lines)


def test_without_a_kubeconfig_it_is_said(cluster, monkeypatch):
    monkeypatch.setattr(check, "from_here", lambda: None)
    code, lines = vitrine("check", cluster)
    assert code == 0
    assert lines[0] == "namespace kubeflow: unknown (neither a pod's token nor a kubeconfig is here)"


class Registry(JsonServer):
    """An image registry that wants a token, which anyone gets."""

    def answer(self, asked):
        if asked.path == "/token":
            return {"token": asked.query["scope"]}
        raise Refused(404, "MANIFEST_UNKNOWN")


def test_images_are_asked_for_where_they_are():
    server = Registry()
    host = server.address.removeprefix("http://")
    assert check._image(f"{host}/shop/vitrine@sha256:1").state == "missing"
    server.token = "abc"
    assert check._image(f"{host}/shop/vitrine:2").state == "unknown"  # private
    assert [path for _, path in server.seen] == ["/v2/shop/vitrine/manifests/sha256:1", "/v2/shop/vitrine/manifests/2"]
    server.close()
    assert check._image(f"{host}/shop/vitrine:2").state == "unknown"
    assert check._registry("vitrine:1") == ("registry-1.docker.io", "library/vitrine:1")
    assert check._registry("me/vitrine:1") == ("registry-1.docker.io", "me/vitrine:1")
    assert check._registry("ghcr.io/me/vitrine") == ("ghcr.io", "me/vitrine")


def test_a_kubeconfig_that_cannot_be_read_is_none(monkeypatch, tmp_path):
    from kubernetes import config

    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for text in ("{", "clusters: 3", "- a"):
        (tmp_path / "config").write_text(text)
        monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
        assert kube.from_here() is None
