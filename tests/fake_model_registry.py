"""A Kubeflow Model Registry over HTTP for tests: it keeps state, and holds bodies to the API's own models.

Bodies are read by `mr_openapi`, which the registry's client is generated into; a field that its model lacks, a value of
another type or a second object of the same name is refused as the real server does (400, 404, 409).
"""

import json
import re
from typing import Any

from json_server import Asked, JsonServer, Refused
from pydantic import ValidationError

PAGE = 2  # objects a page at most, so that callers have to turn pages


class FakeModelRegistry(JsonServer):
    """Serves until closed.

    Attributes:
        models: Registered models by id; `versions` and `artifacts` likewise, each with the id of its `parent`.
    """

    def __init__(self, api: str = "v1") -> None:
        self.api = f"/api/model_registry/{api}"
        self.models: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self._next = 0
        super().__init__()

    def writes(self) -> list[str]:
        return [f"{method} {path.removeprefix(self.api)}" for method, path in self.seen if method != "GET"]

    def answer(self, asked: Asked) -> dict[str, Any]:
        return {key: value for key, value in self._route(asked).items() if key != "parent"}

    def refusal(self, refused: Refused) -> dict[str, str]:
        return {"code": str(refused.status), "message": refused.message}

    def _route(self, asked: Asked) -> dict[str, Any]:
        query, body = asked.query, asked.body
        number = r"([1-9]\d*)"
        routes = {
            ("GET", "/registered_models"): lambda: page(self.models, query),
            ("POST", "/registered_models"): lambda: self._make(self.models, "", read(body, "RegisteredModelCreate")),
            ("GET", "/registered_model"): lambda: named(self.models, query["name"], ""),
            ("GET", "/model_version"): lambda: named(self.versions, query["name"], query["parentResourceId"]),
            ("GET", f"/registered_models/{number}/versions"): lambda of: page(self.versions, query, of),
            ("POST", f"/registered_models/{number}/versions"): lambda of: self._make_version(of, body),
            ("PATCH", f"/model_versions/{number}"): lambda of: change(self.versions, of, body, "ModelVersionUpdate"),
            ("GET", f"/model_versions/{number}/artifacts"): lambda of: page(self.artifacts, query, of),
            ("POST", f"/model_versions/{number}/artifacts"): lambda of: self._make_artifact(of, body),
            ("PATCH", f"/model_artifacts/{number}"): lambda of: change(self.artifacts, of, body, "ModelArtifactUpdate"),
        }
        if asked.path.startswith(self.api):
            for (wanted, pattern), action in routes.items():
                found = re.fullmatch(pattern, asked.path.removeprefix(self.api))
                if found and wanted == asked.method:
                    return action(*found.groups())
        raise Refused(404, f"no such path: {asked.method} {asked.path}")

    def _make_version(self, model: str, body: bytes) -> dict[str, Any]:
        asked = read(body, "ModelVersionCreate")
        if model not in self.models or asked["registeredModelId"] != model:
            raise Refused(404, f"no registered model found for id {model}")
        return self._make(self.versions, model, asked)

    def _make_artifact(self, version: str, body: bytes) -> dict[str, Any]:
        if version not in self.versions:
            raise Refused(404, f"no model version found for id {version}")
        asked = json.loads(body)
        if asked.get("artifactType") != "model-artifact":
            raise Refused(400, f"unsupported artifactType: {asked.get('artifactType')}")
        return self._make(self.artifacts, version, read(body, "ModelArtifactCreate"))

    def _make(self, objects: dict[str, dict[str, Any]], parent: str, asked: dict[str, Any]) -> dict[str, Any]:
        if any(value["name"] == asked["name"] and value["parent"] == parent for value in objects.values()):
            raise Refused(409, f"resource already exists: {asked['name']}")
        self._next += 1
        objects[str(self._next)] = {**asked, "id": str(self._next), "parent": parent}
        return objects[str(self._next)]


def read(body: bytes, model: str) -> dict[str, Any]:
    """A body, if it is one of the API's own model."""
    import mr_openapi.models as models  # half a second, not of every process that collects tests

    kind = getattr(models, model)
    try:
        raw = json.loads(body)
        unknown = set(raw) - {field.alias or name for name, field in kind.model_fields.items()}
        if unknown:
            raise Refused(400, f"{model}: unknown fields {sorted(unknown)}")
        read_back = kind.from_dict(raw)
    except (ValueError, ValidationError) as error:
        raise Refused(400, f"{model}: {error}") from error
    return {key: value for key, value in json.loads(json.dumps(read_back.to_dict(), default=str)).items() if key in raw}


def change(objects: dict[str, dict[str, Any]], name: str, body: bytes, model: str) -> dict[str, Any]:
    """Properties are replaced as a whole; what is not given stays."""
    if name not in objects:
        raise Refused(404, f"no object found for id {name}")
    objects[name].update(read(body, model))
    return objects[name]


def named(objects: dict[str, dict[str, Any]], name: str, parent: str) -> dict[str, Any]:
    for value in objects.values():
        if (value["name"], value["parent"]) == (name, parent):
            return value
    raise Refused(404, f"no object found for name {name}")


def page(objects: dict[str, dict[str, Any]], query: dict[str, str], parent: str = "") -> dict[str, Any]:
    found = [value for value in objects.values() if value["parent"] == parent]
    start, size = int(query.get("nextPageToken") or 0), min(PAGE, int(query["pageSize"]))
    token = str(start + size) if start + size < len(found) else ""
    return {"items": found[start : start + size], "nextPageToken": token, "pageSize": size, "size": len(found)}
