"""A training on several nodes: a job of Kubeflow Trainer (2.2 or later) that a step makes and watches to its end.

The step's own pod is the pattern. Image, account, secrets by reference, node pool, tolerations, shared memory and the
volume of the checkpoints are read from it, so that a node is what the step is. Trainer tells torchrun who is who
($PET_NNODES ...).
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from pipelines.agreed import POD, SECRET_KEYS, TRAINING_HOURS, VOLUME_PATH
from pipelines.kube import own_namespace
from vitrine.errors import InputError
from vitrine.launch import Run

KIND = {"group": "trainer.kubeflow.org", "version": "v1alpha1", "plural": "trainjobs"}
RUNTIME = "torch-distributed"
REPLICAS = "node"  # the runtime's job and its container
LABEL = "vitrine/nodes"  # the network policy that lets nodes talk to each other selects by it
STEP = "main"  # the step's container
IMAGE_USER = 10001  # of Containerfile
LIMIT = TRAINING_HOURS * 3600.0  # seconds
POLL = 10.0  # seconds
CALL = 60.0  # seconds at most of one request
PATIENCE = 600.0  # seconds that the API may be away, and that a deleted job may take to go


def on_nodes(nodes: int, gpus: int, gpu: str) -> Run | None:
    """How a training step trains: None by itself, else by this many nodes.

    Args:
        nodes: How many.
        gpus: Of each node; 0 trains on CPUs.
        gpu: Resource name of the GPUs.

    Raises:
        InputError: for less than one node, or several where no cluster is.
    """
    if nodes == 1:
        return None
    held_by_step(nodes, gpus)
    if not os.environ.get(POD):
        raise InputError(f"nodes={nodes}: several nodes are for runs on a cluster; on this machine it is 1")

    def run(key: str, command: Sequence[str], error_file: Path) -> None:
        TrainJobs(*connect()).run(f"vitrine-{key}", command, error_file, nodes, gpus, gpu)

    return run


def held_by_step(nodes: int, gpus: int) -> int:
    """How many GPUs a training step needs itself: none where nodes of their own train.

    Raises:
        InputError: for less than one node, or less than no GPU.
    """
    if nodes < 1:
        raise InputError(f"nodes={nodes}: at least 1")
    if gpus < 0:
        raise InputError(f"gpus={gpus}: at least 0")
    return gpus if nodes == 1 else 0


class TrainJobs:
    """The jobs of a namespace.

    Args:
        api: A `kubernetes.client.ApiClient`.
        namespace: Where the step's pod is.
    """

    def __init__(self, api: Any, namespace: str) -> None:
        from kubernetes import client

        self._api, self._namespace = api, namespace
        self._jobs = client.CustomObjectsApi(api)
        self._where = {**KIND, "namespace": namespace}

    def run(self, name: str, command: Sequence[str], error_file: Path, nodes: int, gpus: int, gpu: str) -> None:
        """Runs a command on every node, to its end; a job of that name that is going already is joined.

        The job is deleted however this ends, also by SIGTERM. What kills this process without a word leaves the job:
        the step's retry joins it, and if there is none, it goes with the step's pod.

        Args:
            name: Of the job.
            command: What each node runs.
            error_file: File that a node writes when its input is wrong; there is no use in waiting then.
            nodes: How many.
            gpus: Of each.
            gpu: Resource name of the GPUs.

        Raises:
            InputError: if the cluster has no Trainer, or the step may not use it.
            RuntimeError: if the job fails, disappears, or takes longer than the time limit.
        """
        pod = self._own_pod()
        job = train_job(name, pod, command, error_file, nodes, gpus, gpu)
        with _ended_by_sigterm():
            try:
                self._start(job, error_file)
                self._follow(name, error_file)
            finally:
                self._delete(name)

    def _start(self, job: dict[str, Any], error_file: Path) -> None:
        name = job["metadata"]["name"]
        job_found = self._get(name)
        if job_found is not None and ("deletionTimestamp" in job_found["metadata"] or _condition(job_found, "Failed")):
            self._delete(name)
            self._wait_until_gone(name)
            job_found = None
        if job_found is None:
            error_file.unlink(missing_ok=True)
            if self._ask(self._jobs.create_namespaced_custom_object, body=job, but=409) is not None:
                _tell(name, f"created, {job['spec']['trainer']['numNodes']} nodes")
                return
        # The pod of the attempt that made it is dead; once it is deleted, the job would go too.
        owner = {"metadata": {"ownerReferences": job["metadata"]["ownerReferences"]}}
        self._ask(self._jobs.patch_namespaced_custom_object, name=name, body=owner, but=404)
        _tell(name, "is going already, joined")

    def _follow(self, name: str, error_file: Path) -> None:
        end, last = time.monotonic() + LIMIT, ""
        while not error_file.exists():
            job = self._get(name)
            if job is None:
                raise RuntimeError(f"trainjob {name} was deleted by somebody else")
            state = describe(job)
            if state != last:
                _tell(name, state)
            last = state
            if _condition(job, "Complete"):
                return
            if _condition(job, "Failed"):
                raise RuntimeError(f"trainjob {name} {state}")
            if time.monotonic() > end:
                raise RuntimeError(f"trainjob {name} has not ended after {LIMIT / 3600:g} h: {state}")
            time.sleep(POLL)

    def _own_pod(self) -> dict[str, Any]:
        from kubernetes import client

        read = client.CoreV1Api(self._api).read_namespaced_pod
        pod = self._call(lambda: read(os.environ[POD], self._namespace, _request_timeout=CALL))
        content: dict[str, Any] = self._api.sanitize_for_serialization(pod)
        return content

    def _get(self, name: str) -> dict[str, Any] | None:
        content: dict[str, Any] | None = self._ask(self._jobs.get_namespaced_custom_object, name=name, but=404)
        return content

    def _delete(self, name: str) -> None:
        """Also where it is gone already; what goes wrong is told, and hides nothing."""
        try:
            # Foreground: the job is there until its pods are gone, so that a retry does not begin beside them.
            delete = self._jobs.delete_namespaced_custom_object
            self._ask(delete, name=name, propagation_policy="Foreground", but=404)
        except (InputError, OSError) as error:
            _tell(name, f"could not be deleted ({error}); it goes with this step's pod")

    def _wait_until_gone(self, name: str) -> None:
        _tell(name, "an earlier one is going; waiting for it")
        end = time.monotonic() + PATIENCE
        while self._get(name) is not None:
            if time.monotonic() > end:
                raise RuntimeError(f"trainjob {name}: an earlier one is still being deleted")
            time.sleep(POLL)

    def _ask(self, what: Callable[..., Any], *, but: int, **arguments: Any) -> Any:
        """The answer of the API, None for the status that is an answer too."""
        return self._call(lambda: what(**self._where, **arguments, _request_timeout=CALL), but)

    def _call(self, what: Callable[[], Any], but: int = 0) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        end = time.monotonic() + PATIENCE
        while True:
            try:
                return what()
            except ApiException as error:
                # Where the kind itself is unknown, there is no object to be missing.
                unknown = error.status == 404 and "page not found" in str(error.body)
                if error.status == but and not unknown:
                    return None
                if error.status < 500 and error.status != 429:
                    raise InputError(_refused(error, unknown)) from error
                reason = f"{error.status} {error.reason}"
            except HTTPError as error:
                reason = type(error).__name__
            if time.monotonic() > end:
                raise ConnectionError(f"the Kubernetes API does not answer ({reason})")
            time.sleep(POLL)


def train_job(
    name: str, pod: dict[str, Any], command: Sequence[str], error_file: Path, nodes: int, gpus: int, gpu: str
) -> dict[str, Any]:
    """The object, of nodes like the step's pod.

    Args:
        name: Of the job.
        pod: The step's own.
        command: What each node runs.
        error_file: A file on the volume that all nodes must share.
        nodes: How many.
        gpus: Of each.
        gpu: Resource name of the GPUs.

    Raises:
        InputError: if `error_file` is not on a volume of the pod.
    """
    spec = pod["spec"]
    (own,) = (container for container in spec["containers"] if container["name"] == STEP)
    mounts = [mount for mount in own.get("volumeMounts", ()) if mount["mountPath"] in (VOLUME_PATH, "/dev/shm")]
    if not any(mount["mountPath"] == VOLUME_PATH and error_file.is_relative_to(VOLUME_PATH) for mount in mounts):
        raise InputError(f"nodes={nodes}: checkpoints must be on the volume at {VOLUME_PATH}, which all nodes share")
    used = {mount["name"] for mount in mounts}
    volumes = [volume for volume in spec["volumes"] if volume["name"] in used]
    user = os.getuid() or IMAGE_USER
    node: dict[str, Any] = {
        "serviceAccountName": spec.get("serviceAccountName", "default"),
        "imagePullSecrets": spec.get("imagePullSecrets", []),
        "nodeSelector": spec.get("nodeSelector", {}),
        # Those that Kubernetes adds by itself it adds again.
        "tolerations": [
            taint for taint in spec.get("tolerations", ()) if not taint.get("key", "").startswith("node.kubernetes.io/")
        ],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": os.getgid() or IMAGE_USER,
            "fsGroup": os.getgid() or IMAGE_USER,
            "fsGroupChangePolicy": "OnRootMismatch",  # not a walk over all checkpoints
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [*volumes, {"name": "scratch", "emptyDir": {}}],
        "containers": [
            {
                "name": REPLICAS,
                "volumeMounts": [*mounts, {"name": "scratch", "mountPath": "/tmp"}],
                "securityContext": {
                    "readOnlyRootFilesystem": True,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }
    # A mesh's sidecar would neither let the nodes talk nor the pods end.
    labels = {LABEL: "true", "sidecar.istio.io/inject": "false"}
    patch = {"name": REPLICAS, "template": {"spec": {"template": {"metadata": {"labels": labels}, "spec": node}}}}
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    return {
        "apiVersion": f"{KIND['group']}/{KIND['version']}",
        "kind": "TrainJob",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/part-of": "vitrine"},
            "ownerReferences": [owner],
        },
        "spec": {
            "runtimeRef": {"apiGroup": KIND["group"], "kind": "ClusterTrainingRuntime", "name": RUNTIME},
            "activeDeadlineSeconds": int(LIMIT),
            "trainer": {
                "image": own["image"],
                "command": list(command),
                "numNodes": nodes,
                "numProcPerNode": max(1, gpus),
                "resourcesPerNode": _resources(own.get("resources", {}), gpus, gpu),
                "env": [
                    variable
                    for variable in own.get("env", ())
                    if variable["name"] in SECRET_KEYS and "secretKeyRef" in variable.get("valueFrom", {})
                ],
            },
            "runtimePatches": [
                {
                    "manager": "vitrine.io/pipelines",
                    "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [patch]}}},
                }
            ],
        },
    }


def describe(job: dict[str, Any]) -> str:
    """What a person wants to know of a job's status, in one line."""
    for kind in ("Complete", "Failed", "Suspended"):
        if condition := _condition(job, kind):
            words = " ".join(f"{condition.get('reason', '')}: {condition.get('message', '')}".split())
            return "complete" if kind == "Complete" else f"{kind.lower()}: {words[:300]}"
    for part in job.get("status", {}).get("jobsStatus", ()):
        if part["name"] == REPLICAS:
            names = ("active", "ready", "succeeded", "failed")
            counts = [f"{part[name]} {name}" for name in names if part.get(name)]
            return f"running: {', '.join(counts) or 'no pod yet'}"
    return "waiting"


def _resources(resources: dict[str, Any], gpus: int, gpu: str) -> dict[str, dict[str, str]]:
    """Of a node: the step's memory and processors, and the GPUs that the step itself does not hold."""
    given = {gpu: str(gpus)} if gpus else {}
    return {
        side: {name: value for name, value in resources.get(side, {}).items() if name != gpu} | given
        for side in ("requests", "limits")
    }


def _condition(job: dict[str, Any], kind: str) -> dict[str, Any] | None:
    conditions = job.get("status", {}).get("conditions", ())
    return next(
        (condition for condition in conditions if condition["type"] == kind and condition["status"] == "True"), None
    )


def _tell(name: str, what: str) -> None:
    print(f"trainjob {name}: {what}", flush=True)


def _refused(error: Any, unknown: bool) -> str:
    if unknown:
        return f"nodes: this cluster has no Kubeflow Trainer ({KIND['plural']}.{KIND['group']} is not known)"
    body = " ".join(str(error.body).split())
    hint = "; see manifests/base/accounts.yaml" if error.status == 403 else ""
    return f"nodes: the Kubernetes API refuses: {error.status} {error.reason}{hint} ({body[:300]})"


def connect() -> tuple[Any, str]:
    """The API of the cluster this pod is on, and the pod's namespace."""
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
        namespace = own_namespace()
    except (config.ConfigException, OSError) as error:
        raise InputError(f"nodes: this pod has no token for the Kubernetes API ({error})") from error
    return client.ApiClient(configuration), namespace


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Whoever terminates the run ends this block as an exception would; by default the process would just be gone."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
