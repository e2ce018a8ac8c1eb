"""The Kubernetes API over HTTP for tests, with a Kubeflow Trainer behind it that runs a job's command on this machine.

Every node is a process of its own, with the environment that Trainer's torch runtime gives a pod. Jobs are held to the
schema in `trainjob_schema`.
"""

import json
import os
import re
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

from json_server import Asked, JsonServer, Refused
from jsonschema import Draft202012Validator
from trainjob_schema import TRAIN_JOB

JOBS = r"/apis/trainer.kubeflow.org/v1alpha1/namespaces/vitrine/trainjobs"


@dataclass
class State:
    """What the cluster holds."""

    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    processes: dict[str, list[subprocess.Popen]] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    installed: bool = True
    forbidden: bool = False
    failing: int = 0  # requests that are yet to be answered 503
    lingers: int = 0  # looks at a deleted job until it is gone
    runs: bool = False  # its command, for real; otherwise `looks` says what becomes of it
    looks: list[dict[str, Any]] = field(default_factory=list)  # the status at each look, the last one for ever


class FakeKubernetes(JsonServer):
    """Serves until closed; `state` may be looked at and changed."""

    def __init__(self) -> None:
        self.state = State()
        super().__init__()

    def close(self) -> None:
        for name in list(self.state.processes):
            _stop(self.state, name)
        super().close()

    def methods(self, *, but: str = "GET") -> list[str]:
        """What was asked, in order, without what only reads."""
        return [method for method, _ in self.seen if method != but]

    def refusal(self, refused: Refused) -> dict[str, Any] | str:
        if "page not found" in refused.message:
            return refused.message
        return {"kind": "Status", "code": refused.status, "reason": refused.message, "message": refused.message}

    def answer(self, asked: Asked) -> dict[str, Any]:
        method, path = asked.method, asked.path
        body = json.loads(asked.body) if asked.body else {}
        if self.state.failing:
            self.state.failing -= 1
            raise Refused(503, "apiserver is shutting down")
        if found := re.fullmatch(r"/api/v1/namespaces/vitrine/pods/([\w.-]+)", path):
            if method != "GET" or found[1] not in self.state.pods:
                raise Refused(404, "NotFound")
            return self.state.pods[found[1]]
        if not self.state.installed:
            raise Refused(404, "404 page not found")
        if self.state.forbidden:
            raise Refused(403, "Forbidden")
        if method == "POST" and re.fullmatch(JOBS, path):
            return self._create(body)
        found = re.fullmatch(f"{JOBS}/([a-z0-9-]+)", path)
        if not found or found[1] not in self.state.jobs:
            raise Refused(404, "NotFound")
        job = self.state.jobs[found[1]]
        if method == "GET":
            return self._look(found[1], job)
        if method == "PATCH":
            assert asked.headers["Content-Type"] in ("application/merge-patch+json", "application/json-patch+json")
            job["metadata"] |= body["metadata"]
            return job
        assert asked.query["propagationPolicy"] == "Foreground"
        _stop(self.state, found[1])
        job["metadata"]["deletionTimestamp"] = "2026-11-25T00:00:00Z"
        if not self.state.lingers:
            del self.state.jobs[found[1]]
        return job

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        wrong = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(TRAIN_JOB).iter_errors(body)]
        if wrong:
            raise Refused(422, "; ".join(wrong))
        name = body["metadata"]["name"]
        if name in self.state.jobs:
            raise Refused(409, "AlreadyExists")
        self.state.created.append(json.loads(json.dumps(body)))
        self.state.jobs[name] = body
        if self.state.runs:
            self.state.processes[name] = _start(body)
        return body

    def _look(self, name: str, job: dict[str, Any]) -> dict[str, Any]:
        if "deletionTimestamp" in job["metadata"]:
            self.state.lingers -= 1
            if self.state.lingers <= 0:
                del self.state.jobs[name]
        elif self.state.runs:
            codes = [process.poll() for process in self.state.processes[name]]
            if any(codes):
                job["status"] = status("Failed", "JobsFailed", f"jobset failed: exit codes {codes}")
            else:
                done = codes.count(0)
                job["status"] = status("Complete" if done == len(codes) else "", active=len(codes) - done)
        elif self.state.looks:
            job["status"] = self.state.looks.pop(0) if len(self.state.looks) > 1 else self.state.looks[0]
        return job


def status(kind: str, reason: str = "", message: str = "", **jobs: int) -> dict[str, Any]:
    """A job's status as Trainer writes it."""
    found: dict[str, Any] = {"jobsStatus": [{"name": "node", **jobs}]} if jobs else {}
    if kind:
        condition = {"type": kind, "status": "True", "reason": reason, "message": message}
        found["conditions"] = [{**condition, "lastTransitionTime": "2026-11-25T00:00:00Z"}]
    return found


def _start(job: dict[str, Any]) -> list[subprocess.Popen]:
    """A process a node, told who it is as Trainer's torch runtime does."""
    trainer = job["spec"]["trainer"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {
        "PET_NNODES": str(trainer["numNodes"]),
        "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(port),
    }
    return [
        subprocess.Popen(trainer["command"], env={**os.environ, **own, "PET_NODE_RANK": str(rank)})
        for rank in range(trainer["numNodes"])
    ]


def _stop(state: State, name: str) -> None:
    for process in state.processes.pop(name, []):
        process.terminate()
        for _ in range(100):
            if process.poll() is not None:
                break
            time.sleep(0.1)
        else:
            process.kill()
        process.wait()
