"""What can be learnt from the Kubernetes API of the cluster that runs go to."""

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import yaml

RUN_LABEL = "pipeline/runid"  # Kubeflow Pipelines gives it to every pod of a run
NODE_NAME = "workflows.argoproj.io/node-name"  # an annotation that Argo gives every pod; ends in (n) of a retry
ATTEMPT = re.compile(r"\((\d+)\)$")  # the end of such a name
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
SERVICE_HOST = "KUBERNETES_SERVICE_HOST"  # in every pod's environment
CALL = 10.0  # seconds at most of one request


def in_cluster() -> Any | None:
    """A `kubernetes.client.ApiClient` with the token of the pod this runs in, or None outside of one."""
    if SERVICE_HOST not in os.environ:  # so the client's own loader says too, once half a second has gone by
        return None
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        return None
    return client.ApiClient(configuration)


def own_namespace() -> str:
    """Of the pod that this runs in."""
    return NAMESPACE_FILE.read_text(encoding="utf-8").strip()


def run_has_pods(run_id: str, namespace: str) -> bool | None:
    """Whether any pod of a run is there, ended ones included; None where nobody can tell.

    Only asked from inside the cluster: a kubeconfig may be of another one, where no run has pods.
    """
    from kubernetes import client
    from urllib3.exceptions import HTTPError

    api = in_cluster()
    if api is None:
        return None
    try:
        pods = client.CoreV1Api(api).list_namespaced_pod(
            namespace, label_selector=f"{RUN_LABEL}={run_id}", limit=1, _request_timeout=CALL
        )
    except (client.ApiException, HTTPError):
        return None
    return bool(pods.items)


def from_here() -> Any | None:
    """As `in_cluster`, or with the user's kubeconfig; None without either."""
    from kubernetes import client, config

    configuration = client.Configuration()
    with contextlib.suppress(config.ConfigException, yaml.YAMLError, OSError, TypeError):  # an unusable file is none
        config.load_kube_config(client_configuration=configuration)
        return client.ApiClient(configuration)
    return in_cluster()
