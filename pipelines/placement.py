"""Whether a node takes a training, found out before a run's trainings instead of by waiting for ever.

A pod that no node takes stays Pending: Kubernetes has no time limit for it, and Kubeflow Pipelines sets none. So a pod
that asks for what a training asks for, and does nothing, is made first; the scheduler's verdict on it is that on the
trainings. It also makes an autoscaler start.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.agreed import POD
from pipelines.trainjob import CALL, IMAGE_USER, PATIENCE, POLL, STEP, connect
from vitrine.errors import InputError
from vitrine.journal import Note, publish_note


@dataclass(frozen=True)
class Wanted:
    """What a training asks of a node; in the words of Kubernetes.

    Attributes:
        cpu: Such as `3`.
        memory: Such as `10Gi`.
        gpu: Resource name of the GPUs.
        gpus: How many.
        pool: Node labels.
        tolerations: Of taints.
        volume: Claim; "" for none.
    """

    cpu: str
    memory: str
    gpu: str
    gpus: int
    pool: Mapping[str, str]
    tolerations: Sequence[Mapping[str, Any]]
    volume: str


def check(wanted: Wanted, minutes: float, run: str) -> None:
    """As `await_node`, from a step's pod; elsewhere, and with 0 minutes, nothing is asked.

    Why nothing is trained is left in the run's folder, where its summary finds it.
    """
    if minutes < 0:
        raise InputError(f"minutes={minutes}: at least 0")
    if minutes == 0 or not os.environ.get(POD):
        return
    try:
        await_node(*connect(), wanted, minutes)
    except InputError as error:
        publish_note(Note("placement", "Nodes for trainings", [str(error)], "bad"), run)
        raise


def await_node(api: Any, namespace: str, wanted: Wanted, minutes: float) -> None:
    """Returns once a node has taken the pod, or where this account may make none.

    Args:
        api: A `kubernetes.client.ApiClient`.
        namespace: Of this step's pod.
        wanted: What a training asks for.
        minutes: To wait at most.

    Raises:
        InputError: if no node takes it, with the scheduler's words, or a quota does not let it be made.
    """
    from kubernetes import client
    from urllib3.exceptions import HTTPError

    core, end = client.CoreV1Api(api), time.monotonic() + minutes * 60
    call: dict[str, Any] = {"namespace": namespace, "_request_timeout": CALL}
    name, words, made = f"{os.environ[POD]}-place", "the scheduler says nothing", False
    away = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                if not made:
                    pod = api.sanitize_for_serialization(core.read_namespaced_pod(os.environ[POD], **call))
                    core.create_namespaced_pod(body=probe(name, pod, wanted), **call)
                    made = True
                message = _scheduled(core.read_namespaced_pod(name, **call))
                if message is None:
                    return
                words, away = message or words, time.monotonic() + PATIENCE
            except client.ApiException as error:
                text = " ".join(str(error.body).split())
                if error.status == 409:
                    made = True  # by the try before
                elif error.status == 403 and "exceeded quota" in text:
                    words = text[:300]
                elif error.status == 403:
                    print(f"whether a node takes trainings was not tried: {error.status} {error.reason}", flush=True)
                    return
                elif error.status < 500 and error.status != 429:
                    raise InputError(f"the Kubernetes API refuses what trainings ask for: {text[:300]}") from error
            except HTTPError:
                if time.monotonic() > away:
                    print("whether a node takes trainings was not tried: the API does not answer", flush=True)
                    return
            if time.monotonic() > end:
                raise InputError(f"no node takes a training within {minutes:g} min: {words}")
            time.sleep(min(POLL, max(0.0, end - time.monotonic())))
    finally:
        if made:
            _delete(core, name, call)


def probe(name: str, pod: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    """A pod that asks for what a training asks for, owned by the step's own pod."""
    (own,) = (container for container in pod["spec"]["containers"] if container["name"] == STEP)
    amounts = {"cpu": wanted.cpu, "memory": wanted.memory} | ({wanted.gpu: str(wanted.gpus)} if wanted.gpus else {})
    claim = {"name": "checkpoints", "persistentVolumeClaim": {"claimName": wanted.volume}}
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/part-of": "vitrine", "sidecar.istio.io/inject": "false"},
            "ownerReferences": [owner],
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
            "imagePullSecrets": pod["spec"].get("imagePullSecrets", []),
            "nodeSelector": dict(wanted.pool),
            "tolerations": [dict(toleration) for toleration in wanted.tolerations],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": os.getuid() or IMAGE_USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [claim] if wanted.volume else [],
            "containers": [
                {
                    "name": "place",
                    "image": own["image"],
                    "command": ["true"],
                    "resources": {"requests": amounts, "limits": {k: v for k, v in amounts.items() if k != "cpu"}},
                    "securityContext": {
                        "readOnlyRootFilesystem": True,
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def _scheduled(pod: Any) -> str | None:
    """None if a node took a pod, else the scheduler's words so far."""
    if pod.spec.node_name:
        return None
    conditions = (pod.status and pod.status.conditions) or ()
    return next((condition.message or "" for condition in conditions if condition.type == "PodScheduled"), "")


def _delete(core: Any, name: str, call: Mapping[str, Any]) -> None:
    from kubernetes import client
    from urllib3.exceptions import HTTPError

    try:
        core.delete_namespaced_pod(name, grace_period_seconds=0, **call)
    except (client.ApiException, HTTPError) as error:
        print(f"{name}: could not be deleted ({type(error).__name__}); it goes with this step's pod", flush=True)
