"""What a run's last step learns from Kubernetes of the steps that failed."""

import os
import subprocess
import sys

import pytest
from json_server import JsonServer, Refused
from kubernetes import client

from pipelines import last_lines
from pipelines.stages import summarise

LOG = """[KFP Executor 2026-11-29 10:00:00,000 INFO]: Looking for component `train`
» Train categories: 412 photos.
\x1b[31mTraceback (most recent call last):
vitrine.errors.InputError: weights=x.pt: no such file <script>
I1129 10:00:01.000000       1 launcher_v2.go:151] publish success.
F1129 10:00:01.000000       1 main.go:57] failed to execute component: exit status 1
time="2026-11-29T10:00:01.000Z" level=info msg="sub-process exited" argo=true error="<nil>"
Error: exit status 1
"""


def pod(name, node, phase, at, reason="Error", code=1, **status):
    ended = {"terminated": {"reason": reason, "exitCode": code}}
    containers = [{"name": "main", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": ended}]
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": f"2026-11-29T10:{at:02}:00Z",
            "annotations": {"workflows.argoproj.io/node-name": node},
        },
        "status": {"phase": phase, "containerStatuses": containers, **status},
    }


class Kubernetes(JsonServer):
    """The pods of one run, and their logs."""

    pods: tuple = ()
    refuses = False

    def answer(self, asked):
        if asked.path == "/api/v1/namespaces/vitrine/pods":
            assert asked.query["labelSelector"] == "pipeline/runid=run-1"
            return {"kind": "PodList", "items": self.pods}
        if self.refuses:
            raise Refused(403, "pods/log is forbidden")
        assert asked.query == {"container": "main", "tailLines": "60"}
        return LOG


@pytest.fixture
def kubernetes(monkeypatch, tmp_path):
    server = Kubernetes()
    api = client.ApiClient(client.Configuration(host=server.address))
    monkeypatch.setattr(last_lines, "in_cluster", lambda: api)
    monkeypatch.setattr(last_lines, "own_namespace", lambda: "vitrine")
    yield server
    server.close()


def test_the_last_attempt_of_each_failed_step_is_heard(kubernetes, tmp_path):
    kubernetes.pods = [
        pod("c", "retrain-x.root.run.train.executor(1)", "Failed", 5),
        pod("b", "retrain-x.root.run.train.executor(0)", "Failed", 3),
        pod("a", "retrain-x.root.run.start.executor", "Succeeded", 1),
        pod("d", "retrain-x.root.run.attributes.train.executor(0)", "Failed", 2),
        pod("e", "retrain-x.root.run.attributes.train.executor(1)", "Succeeded", 6),
        pod("f", "retrain-x.root.report-run.executor", "Running", 7),
    ]
    found = last_lines.last_lines("run-1")
    assert list(found) == ["train"]
    assert found["train"][0] == "» Train categories: 412 photos."
    assert found["train"][2:] == [
        "vitrine.errors.InputError: weights=x.pt: no such file <script>",
        "F1129 10:00:01.000000       1 main.go:57] failed to execute component: exit status 1",
    ]
    assert "\x1b" not in "".join(found["train"])
    assert ("GET", "/api/v1/namespaces/vitrine/pods/c/log") in kubernetes.seen
    address = summarise(str(tmp_path), "run-1", "RUNNING", "", "retrain", "tasks", last_lines.last_lines)
    page = (tmp_path / "run-1/summary.html").read_text()
    assert address == str(tmp_path / "run-1/summary.html")
    assert page.rindex("What train said last") < page.rindex("weights=x.pt: no such file &lt;script&gt;")


def test_what_the_log_cannot_know_is_said(kubernetes):
    evicted = pod("b", "x.root.scan-driver", "Failed", 2)
    evicted["status"] |= {"reason": "Evicted", "message": "The node was low on resource: memory."}
    kubernetes.pods = [pod("a", "x.root.train.executor(2)", "Failed", 1, "OOMKilled", 137), evicted]
    found = last_lines.last_lines("run-1")
    assert found["train"][-1] == "OOMKilled (exit code 137)"
    assert found["scan-driver"][-1] == "Evicted: The node was low on resource: memory."
    kubernetes.refuses = True
    assert last_lines.last_lines("run-1")["train"] == [
        "(its log cannot be read: 403 Forbidden)",
        "OOMKilled (exit code 137)",
    ]


def test_where_nobody_answers_there_is_a_page_all_the_same(kubernetes, monkeypatch, tmp_path):
    kubernetes.token = "another"
    assert last_lines.last_lines("run-1") == {}
    monkeypatch.setattr(last_lines, "in_cluster", lambda: None)  # on a laptop
    asked = len(kubernetes.seen)
    assert last_lines.last_lines("run-1") == {}
    assert len(kubernetes.seen) == asked
    summarise(str(tmp_path), "run-1", "RUNNING", "", "retrain", "tasks", last_lines.last_lines)
    assert "said last" not in (tmp_path / "run-1/summary.html").read_text()


def test_a_laptop_loads_no_client_to_find_that_it_is_no_cluster():
    asked = "import sys; from pipelines.last_lines import last_lines; print(last_lines('run-1'), 'kubernetes' in sys.modules)"
    without = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
    said = subprocess.run([sys.executable, "-c", asked], env=without, capture_output=True, check=True, text=True)
    assert said.stdout == "{} False\n"
