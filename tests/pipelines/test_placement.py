"""A training that no node takes ends its run with the scheduler's words, against the Kubernetes API over HTTP."""

import json

import pytest
from json_server import JsonServer, Refused
from kubernetes import client
from kubernetes_validate import validate

from pipelines import placement
from vitrine.errors import InputError
from vitrine.journal import summarise

PODS = "/api/v1/namespaces/vitrine/pods"
STEP = "retrain-x7-123"
WORDS = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available."
ASKED = {
    "gpus": 2,
    "gpu": "nvidia.com/gpu",
    "cpu": "3",
    "memory": "10Gi",
    "pool": {"vitrine/pool": "gpu-t4"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "volume": "vitrine-checkpoints",
}


class Kubernetes(JsonServer):
    """Pods that a scheduler looks at: `takes` of them, else it says `words`."""

    def __init__(self):
        own = {"metadata": {"name": STEP, "uid": "u1"}, "spec": {"serviceAccountName": "vitrine-runner"}}
        own["spec"]["containers"] = [{"name": "wait", "image": "argo"}, {"name": "main", "image": "vitrine@sha256:1"}]
        self.pods, self.made, self.words, self.takes, self.refuses = {STEP: own}, [], WORDS, 0, None
        super().__init__()

    def answer(self, asked):
        name = asked.path.rpartition("/")[2]
        if asked.method == "POST" and asked.path == PODS:
            if self.refuses:
                raise self.refuses
            pod = json.loads(asked.body)
            validate(pod, "1.34", strict=True)
            self.made.append(pod)
            self.pods[pod["metadata"]["name"]] = pod
            return pod
        if name not in self.pods:
            raise Refused(404, "NotFound")
        if asked.method == "DELETE":
            return self.pods.pop(name)
        pod = self.pods[name]
        if name != STEP:
            self.takes -= 1
            pod["status"] = {"phase": "Pending"}
            if self.takes == 0:
                pod["spec"]["nodeName"] = "node-1"
            elif self.words:
                condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
                pod["status"]["conditions"] = [{**condition, "message": self.words}]
        return pod


@pytest.fixture
def kubernetes(monkeypatch):
    server = Kubernetes()
    monkeypatch.setenv("KFP_POD_NAME", STEP)
    monkeypatch.setattr(placement, "POLL", 0.01)
    monkeypatch.setattr(
        placement, "connect", lambda: (client.ApiClient(client.Configuration(host=server.address)), "vitrine")
    )
    yield server
    server.close()


@pytest.fixture
def place(tmp_path):
    def run(minutes=1, **other):
        placement.check(placement.Wanted(**{**ASKED, **other}), minutes, str(tmp_path / "run-1"))
        return "placed"

    return run


def test_a_pod_that_asks_as_a_training_waits_for_a_node(kubernetes, place):
    kubernetes.takes = 3
    assert place() == "placed"
    (pod,) = kubernetes.made
    (container,) = pod["spec"]["containers"]
    amounts = {"memory": "10Gi", "nvidia.com/gpu": "2"}
    assert container["resources"] == {"requests": {"cpu": "3", **amounts}, "limits": amounts}
    assert container["image"] == "vitrine@sha256:1"
    assert pod["spec"]["nodeSelector"] == {"vitrine/pool": "gpu-t4"}
    assert pod["spec"]["tolerations"] == ASKED["tolerations"]
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "vitrine-checkpoints"}
    assert pod["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert list(kubernetes.pods) == [STEP]  # it is gone


@pytest.mark.parametrize("words", [WORDS, 'persistentvolumeclaim "vitrine-checkpoints" not found'])
def test_no_node_ends_the_run_with_the_schedulers_words(kubernetes, place, tmp_path, words):
    kubernetes.words = words
    with pytest.raises(InputError) as caught:
        place(minutes=0.002)
    assert str(caught.value) == f"no node takes a training within 0.002 min: {words}"
    assert list(kubernetes.pods) == [STEP]
    page = (tmp_path / "run-1/summary.html") if summarise(str(tmp_path / "run-1"), "RUNNING", due=["tasks"]) else None
    assert words.replace('"', "&#34;") in page.read_text()
    assert "Failed" in page.read_text()


def test_a_quota_is_waited_for_too(kubernetes, place):
    kubernetes.refuses = Refused(403, 'pods "x" is forbidden: exceeded quota: vitrine, requested: requests.cpu=3')
    with pytest.raises(InputError, match=r"within 0.002 min: .*exceeded quota: vitrine"):
        place(minutes=0.002)


def test_without_the_right_to_try_trainings_are_started(kubernetes, place, capsys):
    kubernetes.refuses = Refused(403, "pods is forbidden: User cannot create resource")
    assert place() == "placed"
    assert "was not tried: 403" in capsys.readouterr().out


def test_what_kubernetes_does_not_understand_is_said(kubernetes, place):
    kubernetes.refuses = Refused(422, "quantities must match the regular expression")
    with pytest.raises(InputError, match="quantities must match"):
        place(cpu="many")


def test_where_no_pod_is_and_where_nobody_asks_nothing_is_made(kubernetes, place, monkeypatch):
    assert place(minutes=0) == "placed"
    monkeypatch.delenv("KFP_POD_NAME")
    assert place() == "placed"
    assert not kubernetes.seen
    with pytest.raises(InputError, match="at least 0"):
        place(minutes=-1)
