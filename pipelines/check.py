"""`vitrine pipeline check`: whether what a run needs is there, before it waits for it for ever."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.form import ADDRESSES
from pipelines.kube import from_here
from vitrine import files
from vitrine.errors import InputError

THERE, MISSING, UNKNOWN = "there", "missing", "unknown"
SECONDS = 10.0  # at most of one request
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Finding:
    """One thing that a run needs.

    Attributes:
        what: Such as `claim vitrine-checkpoints`.
        state: `there`, `missing`, or `unknown` where this user's rights or network do not reach.
        said: What that means.
        needed: Without it no run gets on.
    """

    what: str
    state: str
    said: str = ""
    needed: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.state}{f' ({self.said})' if self.said else ''}"


def check(given: Mapping[str, Any], namespace: str, account: str) -> Iterator[Finding]:
    """What a run with these parameters needs.

    Args:
        given: All parameters of the run.
        namespace: Of its pods.
        account: Service account of its pods.
    """
    yield from _in_kubernetes(given, namespace, account)
    yield from _buckets(given)
    yield _image(str(given["cluster_image"]))


def _in_kubernetes(given: Mapping[str, Any], namespace: str, account: str) -> Iterator[Finding]:
    from kubernetes import client

    api = from_here()
    if api is None:
        yield Finding(f"namespace {namespace}", UNKNOWN, "neither a pod's token nor a kubeconfig is here")
        return
    core, claim, secret = client.CoreV1Api(api), given.get("cluster_volume"), given.get("cluster_credentials")
    place = f"in namespace {namespace}"
    if claim:
        read = core.read_namespaced_persistent_volume_claim
        state, reason = _look(lambda: read(claim, namespace, _request_timeout=SECONDS))
        hint = f"{place}; every training would wait for it, or compile with --no-claim" if state == MISSING else ""
        yield Finding(f"claim {claim}", state, reason or hint, needed=True)
    state, reason = _look(lambda: core.read_namespaced_service_account(account, namespace, _request_timeout=SECONDS))
    yield Finding(f"account {account}", state, reason or (place if state == MISSING else ""), needed=True)
    if secret:
        state, reason = _look(lambda: core.read_namespaced_secret(secret, namespace, _request_timeout=SECONDS))
        hint = f"{place}; not needed where pods have a role" if state == MISSING else ""
        yield Finding(f"secret {secret}", state, reason or hint)
    if given["settings"].get("pool"):
        yield _pool(core, given["settings"], given["cluster_gpus"])


def _pool(core: Any, given: Mapping[str, Any], gpus: int) -> Finding:
    selector = ",".join(f"{key}={value}" for key, value in given["pool"].items())
    nodes: list[Any] = []
    state, reason = _look(lambda: nodes.extend(core.list_node(label_selector=selector, _request_timeout=SECONDS).items))
    what = f"node pool {selector}"
    if state != THERE:
        return Finding(what, state, reason)
    if not nodes:
        return Finding(what, MISSING, "no node has these labels; or an autoscaler makes one")
    wanted = {"cpu": given["train_cpu"], "memory": given["train_memory"]}
    wanted |= {given["gpu"]: gpus} if gpus else {}
    short = [_short(node.status.allocatable or {}, wanted) for node in nodes]
    if all(short):
        return Finding(what, MISSING, f"none of {len(nodes)} nodes has what a training asks for: {min(short, key=len)}")
    return Finding(what, THERE, f"{short.count('')} of {len(nodes)} nodes take a training")


def _short(allocatable: Mapping[str, str], wanted: Mapping[str, Any]) -> str:
    """What a node has too little of, "" if nothing."""
    from kubernetes.utils.quantity import parse_quantity

    return ", ".join(
        f"{name} {allocatable.get(name, 0)} of {amount}"
        for name, amount in wanted.items()
        if parse_quantity(allocatable.get(name, "0")) < parse_quantity(str(amount))
    )


def _look(read: Callable[[], object]) -> tuple[str, str]:
    from kubernetes import client
    from urllib3.exceptions import HTTPError

    try:
        read()
    except client.ApiException as error:
        return (MISSING, "") if error.status == 404 else (UNKNOWN, f"{error.status} {error.reason}")
    except HTTPError as error:
        return UNKNOWN, f"the Kubernetes API does not answer: {type(error).__name__}"
    return THERE, ""


def _buckets(given: Mapping[str, Any]) -> Iterator[Finding]:
    from botocore.exceptions import BotoCoreError, ClientError

    places = [str(given.get(name) or "") for name in ADDRESSES]
    for bucket in dict.fromkeys(files.split_s3(place)[0] for place in places if files.is_s3(place)):
        what = f"bucket {bucket}"
        try:
            files.s3_client().head_bucket(Bucket=bucket)
        except ClientError as error:
            code = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            missing = code == 404
            yield Finding(what, MISSING if missing else UNKNOWN, "" if missing else f"with the keys here: {code}")
        except (BotoCoreError, InputError, OSError) as error:
            yield Finding(what, UNKNOWN, f"from here: {' '.join(str(error).split())}")
        else:
            yield Finding(what, THERE)


def _image(image: str) -> Finding:
    """Asks the registry as a node without credentials does."""
    host, path = _registry(image)
    name, _, digest = path.partition("@")
    name, _, tag = name.partition(":")
    address = f"{'http' if host.partition(':')[0] in ('localhost', '127.0.0.1') else 'https'}://{host}"
    address = f"{address}/v2/{name}/manifests/{digest or tag or 'latest'}"
    try:
        code = _head(address, "")
    except (OSError, ValueError) as error:
        return Finding(f"image {image}", UNKNOWN, f"its registry cannot be asked from here: {error}")
    if code == 200:
        return Finding(f"image {image}", THERE)
    if code in (401, 403):
        return Finding(f"image {image}", UNKNOWN, f"{host} shows it to nobody without a pull secret, or has it not")
    return Finding(f"image {image}", MISSING if code == 404 else UNKNOWN, f"{host} answers {code}")


def _registry(image: str) -> tuple[str, str]:
    first, _, rest = image.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "registry-1.docker.io", image if rest else f"library/{image}"


def _head(address: str, token: str) -> int:
    headers = {"Accept": MANIFESTS} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(address, headers=headers, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        asked = dict(CHALLENGE.findall(error.headers.get("WWW-Authenticate", "")))
        if error.code != 401 or token or not asked.get("realm", "").startswith(("https://", "http://")):
            return error.code
    query = urllib.parse.urlencode({key: asked[key] for key in ("service", "scope") if key in asked})
    try:
        with urllib.request.urlopen(f"{asked['realm']}?{query}", timeout=SECONDS) as response:
            token_reply = json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code
    return _head(address, str(token_reply.get("token") or token_reply.get("access_token") or "none"))
