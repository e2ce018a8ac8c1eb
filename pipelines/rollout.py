"""Telling what serves the models that another one is in use: its pods are replaced one by one.

Servers that follow the registry take a champion over by themselves within `--every` seconds. This is for those that are
started with one model and keep it, and for clusters where each change of what answers is to be a revision that
`kubectl rollout history` shows. An annotation of the pods names the version; changing it makes Kubernetes (or KServe)
start new ones, and take old ones out when these are ready.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.agreed import NAMESPACE
from pipelines.kube import CALL, from_here
from pipelines.trainjob import connect
from vitrine.errors import InputError
from vitrine.registry import Champion

KINDS = ("deployment", "inferenceservice")
NAMED = re.compile(rf"({'|'.join(KINDS)})/([a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?)")
ANNOTATION = "vitrine/champion-"  # and the task
TRIES, WAIT = 5, 2.0  # seconds between two tries, doubled each time


def check_serving(serving: str) -> None:
    """Whether a setting names something that can be rolled out; "" names nothing.

    Raises:
        InputError: if not.
    """
    if serving and not NAMED.fullmatch(serving):
        raise InputError(f"serving={serving}: {' or '.join(f'{kind}/NAME' for kind in KINDS)} is needed")


def roller(serving: str) -> Callable[[Champion, Sequence[str]], None] | None:
    """What a step that promotes calls, with its pod's own account; None where nothing is named."""
    if not serving:
        return None
    check_serving(serving)
    return lambda champion, deleted: roll_out(serving, champion, *connect())


def roll_out_from_here(serving: str, champion: Champion) -> None:
    """The same with the user's kubeconfig, in the namespace of $VITRINE_NAMESPACE.

    Raises:
        InputError: as `roll_out`, or if there is no cluster to ask.
    """
    check_serving(serving)
    api, namespace = from_here(), os.environ.get(NAMESPACE, "")
    if api is None or not namespace:
        raise InputError(f"{serving}: a kubeconfig and ${NAMESPACE} are needed to reach it")
    roll_out(serving, champion, api, namespace)


def roll_out(serving: str, champion: Champion, api: Any, namespace: str) -> None:
    """Writes the champion's version into the pods of a Deployment or an InferenceService.

    Args:
        serving: `deployment/NAME` or `inferenceservice/NAME`.
        champion: What is in use now.
        api: A `kubernetes.client.ApiClient`.
        namespace: Of what serves.

    Raises:
        InputError: if there is none, this account may not patch it, or the API does not answer.
    """
    from kubernetes import client
    from urllib3.exceptions import HTTPError

    named = NAMED.fullmatch(serving)
    assert named, serving
    kind, name = named.groups()
    pods = {"annotations": {f"{ANNOTATION}{champion.task}": champion.version}}
    custom = client.CustomObjectsApi(api)
    spec = {"template": {"metadata": pods}} if kind == "deployment" else {"predictor": pods}
    group, version, plural = {
        "deployment": ("apps", "v1", "deployments"),
        "inferenceservice": ("serving.kserve.io", "v1beta1", "inferenceservices"),
    }[kind]
    for attempt in range(TRIES):
        try:
            custom.patch_namespaced_custom_object(
                group, version, namespace, plural, name, {"spec": spec}, _request_timeout=CALL
            )
            print(f"{serving}: {champion.task} {champion.version} is being rolled out", flush=True)
            return
        except client.ApiException as error:
            if error.status < 500 and error.status != 429:
                raise InputError(f"{serving} in {namespace}: {error.status} {_words(error)}") from error
            reason = f"{error.status} {error.reason}"
        except HTTPError as error:
            reason = type(error).__name__
        if attempt + 1 < TRIES:
            time.sleep(WAIT * 2**attempt)
    raise InputError(f"{serving} in {namespace}: the Kubernetes API does not answer ({reason})")


def _words(error: Any) -> str:
    return " ".join(str(error.body or error.reason).split())[:200]
