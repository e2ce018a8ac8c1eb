"""What the steps of a run that failed said last. Without kfp's client, which a running step is not offered."""

import re
from typing import Any

from pipelines.kube import ATTEMPT, CALL, NODE_NAME, RUN_LABEL, in_cluster, own_namespace
from vitrine.untrusted import printable

LAST_LINES = 12
READ = 60  # lines of a log that are looked at for them
STEPS = 10  # whose logs are read
# Lines of runners, launchers and executors, and the marks below lines of code in tracebacks.
EXECUTOR = re.compile(
    r"^\s*(\[KFP Executor|Streamed logs:|[\d:.]+ - INFO|-{20,}|~{3,}\^|\^{3,}$|[IW]\d{4} [\d:.]+ |time=\S+ level=|"
    r"Error: exit status \d+$)"
)


def told(line: str) -> bool:
    """Whether a line is the step's own."""
    return bool(line.strip()) and not EXECUTOR.match(line)


def last_lines(run_id: str) -> dict[str, list[str]]:
    """The last lines of each step of a run whose last attempt failed, by the step's name, in the order they ended.

    Asked of Kubernetes from inside the cluster; anywhere else, and where the API does not answer, there are none.
    """
    api = in_cluster()
    if api is None:
        return {}
    from kubernetes import client
    from urllib3.exceptions import HTTPError

    core, namespace = client.CoreV1Api(api), own_namespace()
    try:
        pods = core.list_namespaced_pod(namespace, label_selector=f"{RUN_LABEL}={run_id}", _request_timeout=CALL).items
    except (client.ApiException, HTTPError):
        return {}
    last: dict[str, Any] = {}  # the newest attempt of each node
    for pod in sorted(pods, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name)):
        node = (pod.metadata.annotations or {}).get(NODE_NAME, pod.metadata.name)
        last[ATTEMPT.sub("", node)] = pod
    failed = {node: pod for node, pod in last.items() if pod.status.phase == "Failed"}
    return {_step(node): _said(core, namespace, pod) for node, pod in list(failed.items())[:STEPS]}


def _step(node: str) -> str:
    """`train` of `retrain-x7.root.run.train.executor`, and `train-driver` of `retrain-x7.root.run.train-driver`."""
    *above, name = node.split(".")
    return above[-1] if above and name == "executor" else name


def _said(core: Any, namespace: str, pod: Any) -> list[str]:
    from kubernetes import client
    from urllib3.exceptions import HTTPError

    how = {"container": "main", "tail_lines": READ, "_request_timeout": CALL, "_preload_content": False}
    try:
        log = core.read_namespaced_pod_log(pod.metadata.name, namespace, **how).data.decode(errors="replace")
        lines = [printable(line.strip()) for line in log.splitlines() if told(line)][-LAST_LINES:]
    except client.ApiException as error:
        lines = [f"(its log cannot be read: {error.status} {error.reason})"]
    except HTTPError as error:
        lines = [f"(its log cannot be read: {type(error).__name__})"]
    return lines + _end(pod)


def _end(pod: Any) -> list[str]:
    """How Kubernetes ended it, where the log cannot know."""
    said = [f"{pod.status.reason}: {pod.status.message or ''}"] if pod.status.reason else []
    for container in pod.status.container_statuses or ():
        ended = container.state and container.state.terminated
        if container.name == "main" and ended and ended.reason not in ("Completed", "Error"):
            said.append(f"{ended.reason} (exit code {ended.exit_code})")
    return [printable(line) for line in said]
