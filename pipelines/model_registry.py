"""Telling a Kubeflow Model Registry which versions of a model there are and which one is in use.

The champion is decided by `vitrine.registry` alone; here it is only announced, so that other tools of the cluster find
it. Every call can be repeated. The API's two addresses (`v1` and, before it, `v1alpha3`) take the same bodies.
"""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitrine import files
from vitrine.errors import InputError
from vitrine.registry import Champion

API = "api/model_registry"
VERSIONS = ("v1", "v1alpha3")
TOKEN = "KF_PIPELINES_SA_TOKEN_PATH"
POD_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"
PAGE = 100
CALL = 60.0  # seconds at most of one request
IN_USE = "in_use"  # the property of a version that says so


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The token goes to the address that was named, and to no other that it points to."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


class ModelRegistry:
    """A Kubeflow Model Registry at one address.

    Args:
        address: Such as http://model-registry-service.kubeflow:8080.

    Raises:
        InputError: if nobody answers there.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        if not self.address.startswith(("http://", "https://")):
            raise InputError(f"{address}: the address of a model registry begins with http:// or https://")
        for version in VERSIONS:
            self._root = f"{self.address}/{API}/{version}"
            if self._ask("GET", "registered_models", {"pageSize": "1"}) is not None:
                return
        raise InputError(f"{self.address}: no Kubeflow Model Registry ({' and '.join(VERSIONS)} are not known there)")

    def announce(self, champion: Champion, deleted: Sequence[str] = ()) -> str:
        """Registers a champion as a version of the model `vitrine-<task>`, the only one that is marked as in use.

        Args:
            champion: The model in use.
            deleted: Versions that are no longer there; they are archived.

        Returns:
            The id of the version.

        Raises:
            InputError: if the registry cannot be reached or refuses.
        """
        name = f"vitrine-{champion.task}"
        about = {"name": name, "description": f"Vitrine's model in use for {champion.task}"}
        model = self._made("registered_model", {"name": name}, "registered_models", about)["id"]
        registered = {"name": champion.version, "parentResourceId": model}
        body = {"name": champion.version, "registeredModelId": model, **_described(champion)}
        version = self._made("model_version", registered, f"registered_models/{model}/versions", body)["id"]
        self._hold(version, champion)
        self._ask("PATCH", f"model_versions/{version}", body={"state": "LIVE", **_described(champion)})
        for other in self._all(f"registered_models/{model}/versions"):
            properties = other.get("customProperties") or {}
            if other["id"] != version and properties.get(IN_USE, {}).get("bool_value"):
                self._ask(
                    "PATCH",
                    f"model_versions/{other['id']}",
                    body={"customProperties": properties | _properties({IN_USE: False})},
                )
            if other["name"] in deleted and other.get("state") != "ARCHIVED":
                self._ask("PATCH", f"model_versions/{other['id']}", body={"state": "ARCHIVED"})
        return str(version)

    def _hold(self, version: str, champion: Champion) -> None:
        """Says where the model folder of a version is, once."""
        uri = champion.model if files.is_s3(champion.model) else Path(champion.model).as_uri()
        held = list(self._all(f"model_versions/{version}/artifacts"))
        if any(artifact.get("uri") == uri for artifact in held):
            return
        body = {
            "artifactType": "model-artifact",
            "name": f"{champion.task}-{champion.version}",
            "uri": uri,
            "modelFormatName": "safetensors",
            "state": "LIVE",
        }
        if held:  # the same version, mounted elsewhere
            self._ask(
                "PATCH", f"model_artifacts/{held[0]['id']}", body={"artifactType": body["artifactType"], "uri": uri}
            )
        else:
            self._ask("POST", f"model_versions/{version}/artifacts", body=body, conflicts=True)

    def _made(self, what: str, named: Mapping[str, str], where: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The object of that name, made if there is none; somebody else may be making it too."""
        existing = self._ask("GET", what, named) or self._ask("POST", where, body=body, conflicts=True)
        existing = existing or self._ask("GET", what, named)
        if not existing:
            raise InputError(f"{self._root}/{where}: {body['name']} is there and is not")
        return existing

    def _all(self, where: str) -> Iterator[dict[str, Any]]:
        query = {"pageSize": str(PAGE)}
        while True:
            page = self._ask("GET", where, query) or {}
            yield from page.get("items") or []
            if not page.get("nextPageToken"):
                return
            query["nextPageToken"] = page["nextPageToken"]

    def _ask(
        self,
        method: str,
        where: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        conflicts: bool = False,
    ) -> dict[str, Any] | None:
        """One request; None where there is no such object, or (if `conflicts`) one of that name already."""
        address = f"{self._root}/{where}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"} | _credentials()
        request = urllib.request.Request(address, data, headers, method=method)
        try:
            with _opener.open(request, timeout=CALL) as response:
                content = json.loads(response.read())
        except urllib.error.HTTPError as error:
            if error.code == 404 and method == "GET":
                return None
            if error.code == 409 and conflicts:
                return None
            raise InputError(f"{address}: {error.code} {error.reason}{_told(error)}") from error
        except (OSError, ValueError) as error:  # no connection, or no JSON
            raise InputError(f"{address}: cannot be reached ({getattr(error, 'reason', error)})") from error
        if not isinstance(content, dict):
            raise InputError(f"{address}: not an answer of a model registry")
        return content


def announcer(address: str) -> Callable[[Champion, Sequence[str]], None] | None:
    """How a step tells a registry, or None where there is no address."""
    if not address:
        return None
    return lambda champion, deleted: print(f"version {ModelRegistry(address).announce(champion, deleted)}", flush=True)


def _described(champion: Champion) -> dict[str, Any]:
    properties: dict[str, bool | float | str] = {
        IN_USE: True,
        "content": champion.content,
        "data_version": champion.data_version,
        "promoted_at": champion.promoted_at,
        **{name: float(value) for name, value in champion.metrics.items()},
    }
    return {"description": champion.reason, "customProperties": _properties(properties)}


def _properties(values: Mapping[str, bool | float | str]) -> dict[str, Any]:
    kinds = {bool: "bool", float: "double", str: "string"}
    return {
        name: {"metadataType": f"Metadata{kinds[type(value)].title()}Value", f"{kinds[type(value)]}_value": value}
        for name, value in values.items()
    }


def _credentials() -> dict[str, str]:
    path = os.environ.get(TOKEN) or (POD_TOKEN if Path(POD_TOKEN).is_file() else "")
    if not path:
        return {}
    try:
        return {"Authorization": f"Bearer {Path(path).read_text(encoding='utf-8').strip()}"}
    except OSError as error:
        raise InputError(f"{TOKEN}={path}: cannot be read ({error.strerror})") from error


def _told(error: urllib.error.HTTPError) -> str:
    try:
        message = json.loads(error.read()).get("message", "")
    except (OSError, ValueError, AttributeError):
        message = ""
    return f": {message}" if message else ""
