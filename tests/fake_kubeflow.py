"""A Kubeflow Pipelines API server over HTTP for tests: it keeps state, and holds requests to the API's own models.

Bodies are read by `kfp_server_api`'s deserialiser; a field that its model lacks, a value of another type, an unknown
parameter of the package, or a second object of the same name is refused as the real server does (400, 404, 409).
"""

import email
import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import policy
from typing import Any

import kfp_server_api
import yaml
from json_server import Asked, JsonServer, Refused
from kfp_server_api import models

API = "/apis/v2beta1"
KINDS = {"STRING": str, "NUMBER_INTEGER": (int, float), "NUMBER_DOUBLE": (int, float), "BOOLEAN": bool}
KINDS |= {"STRUCT": dict, "LIST": list}
PAGE = 2  # objects a page at most, so that callers have to turn pages


@dataclass
class State:
    """What the server holds, by id."""

    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    recurring: dict[str, dict[str, Any]] = field(default_factory=dict)
    ends: list[str] = field(default_factory=lambda: ["PENDING", "RUNNING", "SUCCEEDED"])
    error: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)  # task_details of any run
    multi_user: bool = False
    pods: set[str] = field(default_factory=set)  # runs that have any


class FakeKubeflow(JsonServer):
    """Serves until closed; `state` may be looked at and changed."""

    def __init__(self) -> None:
        self.state = State()
        super().__init__()

    def fire(self, recurring_run_id: str) -> dict[str, Any]:
        """A schedule's minute has come: its run, which goes until its state is changed."""
        schedule = self.state.recurring[recurring_run_id]
        own = {key: schedule[key] for key in ("experiment_id", "pipeline_version_reference", "runtime_config")}
        number = sum(run.get("recurring_run_id") == recurring_run_id for run in self.state.runs.values()) + 1
        own |= {"display_name": f"{schedule['display_name']}dl5c8-{number}-907546245", "state": "RUNNING"}
        made = _store(self.state.runs, "run_id", own | {"recurring_run_id": recurring_run_id, "looks": None})
        self.state.pods.add(made["run_id"])
        return self.state.runs[made["run_id"]]

    def posts(self) -> list[str]:
        """What was written, in order."""
        return [path for method, path in self.seen if method in ("POST", "DELETE")]

    def answer(self, asked: Asked) -> dict[str, Any]:
        query, body = asked.query, asked.body
        routes = {
            ("GET", r"/healthz"): lambda: {"multi_user": self.state.multi_user},
            ("GET", r"/pipelines"): lambda: self._page(self.state.pipelines, query, "pipelines"),
            ("POST", r"/pipelines"): lambda: self._create_pipeline(body),
            ("POST", r"/pipelines/upload_version"): lambda: self._upload(asked),
            ("GET", r"/pipelines/([\w-]+)/versions"): lambda pipeline: self._versions(pipeline, query),
            ("GET", r"/experiments"): lambda: self._page(self.state.experiments, query, "experiments"),
            ("POST", r"/experiments"): lambda: self._create_experiment(body),
            ("GET", r"/runs"): lambda: self._page(self.state.runs, query, "runs"),
            ("POST", r"/runs"): lambda: self._create_run(body),
            ("GET", r"/runs/([\w-]+)"): self._run,
            ("GET", r"/recurringruns"): lambda: self._page(self.state.recurring, query, "recurringRuns"),
            ("POST", r"/recurringruns"): lambda: self._create_recurring(body),
            ("POST", r"/recurringruns/([\w-]+):disable"): self._disable_recurring,
            ("DELETE", r"/recurringruns/([\w-]+)"): self._delete_recurring,
        }
        for (wanted, pattern), action in routes.items():
            found = re.fullmatch(API + pattern, asked.path)
            if found and wanted == asked.method:
                return action(*found.groups())
        raise Refused(404, f"Not Found: {asked.method} {asked.path}")

    def _create_pipeline(self, body: bytes) -> dict[str, Any]:
        asked = read(body, "V2beta1Pipeline")
        if not asked.get("display_name"):
            raise Refused(400, "Invalid input error: pipeline's name cannot be empty")
        _only(self.state.pipelines, asked["display_name"], "pipeline")
        return _store(self.state.pipelines, "pipeline_id", asked)

    def _upload(self, asked: Asked) -> dict[str, Any]:
        query = asked.query
        if set(query) - {"name", "display_name", "pipelineid", "description", "tags"}:
            raise Refused(400, f"Invalid input error: {query}")
        if query.get("pipelineid") not in self.state.pipelines:
            raise Refused(404, "Pipeline not found")
        head = f"Content-Type: {asked.headers['Content-Type']}\r\n\r\n".encode()
        (part,) = email.message_from_bytes(head + asked.body, policy=policy.HTTP).iter_parts()
        if part.get_param("name", header="content-disposition") != "uploadfile":
            raise Refused(400, "Invalid input error: no uploadfile")
        spec, *_ = yaml.load_all(part.get_payload(decode=True), yaml.CSafeLoader)
        if spec.get("schemaVersion") != "2.1.0" or "root" not in spec:
            raise Refused(400, "Invalid input error: unknown template format")
        own = {key: value for key, value in self.state.versions.items() if value["pipeline_id"] == query["pipelineid"]}
        _only(own, query["name"], "pipeline version")
        version = {
            "pipeline_id": query["pipelineid"],
            "display_name": query["name"],
            "name": query["name"],
            "description": query.get("description", ""),
            "pipeline_spec": spec,
        }
        return _store(self.state.versions, "pipeline_version_id", version)

    def _versions(self, pipeline: str, query: dict[str, str]) -> dict[str, Any]:
        own = {key: value for key, value in self.state.versions.items() if value["pipeline_id"] == pipeline}
        return self._page(own, query, "pipeline_versions")

    def _create_experiment(self, body: bytes) -> dict[str, Any]:
        asked = read(body, "V2beta1Experiment")
        if self.state.multi_user and not asked.get("namespace"):
            raise Refused(400, "An experiment cannot have an empty namespace in multi-user mode")
        if asked.get("namespace") and not self.state.multi_user:
            raise Refused(400, "In single-user mode, CreateExperimentRequest shouldn't contain namespace")
        _only(self.state.experiments, asked["display_name"], "experiment")
        return _store(self.state.experiments, "experiment_id", asked)

    def _create_run(self, body: bytes) -> dict[str, Any]:
        asked = self._checked(read(body, "V2beta1Run"))
        return _store(self.state.runs, "run_id", asked | {"state": self.state.ends[0], "looks": 0})

    def _run(self, run_id: str) -> dict[str, Any]:
        if run_id not in self.state.runs:
            raise Refused(404, f"Run {run_id} not found")
        run = self.state.runs[run_id]
        if run["looks"] is not None:
            run["state"] = self.state.ends[min(run["looks"], len(self.state.ends) - 1)]
            run["looks"] += 1
        if run["state"] == "FAILED":
            run["error"] = {"code": 13, "message": self.state.error}
        told = {key: value for key, value in run.items() if key != "looks"}
        return told | {"run_details": {"task_details": self.state.steps}}

    def _create_recurring(self, body: bytes) -> dict[str, Any]:
        asked = self._checked(read(body, "V2beta1RecurringRun"))
        cron = asked["trigger"]["cron_schedule"]["cron"]
        if len(cron.split()) != 6:
            raise Refused(400, f"Invalid input error: Schedule cron is not a valid Cron expression: {cron}")
        if not 1 <= int(asked["max_concurrency"]) <= 10:
            raise Refused(400, "Invalid input error: The max concurrency is out of range")
        return _store(self.state.recurring, "recurring_run_id", asked | {"status": f"{asked['mode']}D"})

    def _delete_recurring(self, recurring: str) -> dict[str, Any]:
        if self.state.recurring.pop(recurring, None) is None:
            raise Refused(404, f"Recurring run {recurring} not found")
        # Kubernetes collects the workflow of its run; the API goes on calling that RUNNING.
        self.state.pods -= {key for key, run in self.state.runs.items() if run.get("recurring_run_id") == recurring}
        return {}

    def _disable_recurring(self, recurring: str) -> dict[str, Any]:
        if recurring not in self.state.recurring:
            raise Refused(404, f"Recurring run {recurring} not found")
        self.state.recurring[recurring] |= {"status": "DISABLED", "mode": "DISABLE"}
        return {}

    def _checked(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A run whose experiment and version exist, and whose parameters are the package's."""
        if asked.get("experiment_id") not in self.state.experiments:
            raise Refused(404, "Experiment not found")
        reference = asked.get("pipeline_version_reference") or {}
        version = self.state.versions.get(reference.get("pipeline_version_id"))
        if version is None or version["pipeline_id"] != reference.get("pipeline_id"):
            raise Refused(404, "Pipeline version not found")
        known = version["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
        for name, value in (asked.get("runtime_config") or {}).get("parameters", {}).items():
            if name not in known:
                raise Refused(400, f"Invalid input error: parameter {name} is not a pipeline input")
            kind = known[name]["parameterType"]
            if not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
                raise Refused(400, f"Invalid input error: parameter {name}: {value!r} is not {kind}")
        return asked

    def _page(self, objects: dict[str, dict[str, Any]], query: dict[str, str], name: str) -> dict[str, Any]:
        found = [dict(value) for value in objects.values()]
        for value in found:
            value.pop("looks", None)
        if query.get("namespace"):
            found = [value for value in found if value.get("namespace") in (None, query["namespace"])]
        if query.get("experiment_id"):
            found = [value for value in found if value["experiment_id"] == query["experiment_id"]]
        for predicate in json.loads(query.get("filter") or '{"predicates": []}')["predicates"]:
            if predicate["operation"] not in ("EQUALS", 1):  # the client sends the number
                raise Refused(400, f"Invalid input error: {predicate}")
            found = [value for value in found if value[predicate["key"]] == predicate["stringValue"]]
        if query.get("sort_by"):
            key, _, direction = query["sort_by"].partition(" ")
            found.sort(key=lambda value: value[key], reverse=direction == "desc")
        start, size = int(query.get("page_token") or 0), min(PAGE, int(query.get("page_size") or PAGE))
        page: dict[str, Any] = {name: found[start : start + size], "total_size": len(found)}
        if start + size < len(found):
            page["next_page_token"] = str(start + size)
        return page


def read(body: bytes, model: str) -> dict[str, Any]:
    """A request's body as a dictionary, if it is one of the API's own model.

    Raises:
        Refused: 400, naming the field that is not.
    """
    try:
        raw = json.loads(body)
    except ValueError as error:
        raise Refused(400, f"Invalid input error: {error}") from error
    _check(raw, model, model)
    response = type("Response", (), {"data": body.decode()})()
    return {
        key: value
        for key, value in kfp_server_api.ApiClient()
        .sanitize_for_serialization(kfp_server_api.ApiClient().deserialize(response, model))
        .items()
        if value is not None
    }


def _check(value: Any, kind: str, where: str) -> None:
    plain = {"str": str, "bool": bool, "int": int, "float": (int, float), "object": object, "datetime": str}
    if value is None:
        return
    if kind.startswith("list["):
        for i, item in enumerate(value):
            _check(item, kind[5:-1], f"{where}[{i}]")
    elif kind.startswith("dict("):
        for key, item in value.items():
            _check(item, kind[5:-1].split(", ")[1], f"{where}.{key}")
    elif kind in plain:
        # protobuf's JSON takes a number for an int64, which the models call str
        if not isinstance(value, plain[kind]) and not (kind == "str" and isinstance(value, int)):
            raise Refused(400, f"Invalid input error: {where}: {value!r} is not {kind}")
    else:
        known = getattr(models, kind)
        if not known.openapi_types:
            if value not in known.allowable_values:
                raise Refused(400, f"Invalid input error: {where}: {value!r} is none of {known.allowable_values}")
            return
        fields = {json_name: name for name, json_name in known.attribute_map.items()}
        for key, item in value.items():
            if key not in fields:
                raise Refused(400, f"Invalid input error: {where}: unknown field {key}")
            _check(item, known.openapi_types[fields[key]], f"{where}.{key}")


def _only(objects: dict[str, dict[str, Any]], name: str, what: str) -> None:
    if any(value["display_name"] == name for value in objects.values()):
        raise Refused(409, f"Already exist error: The name {name} already exists. Please specify a new {what} name")


def _store(objects: dict[str, dict[str, Any]], key: str, value: dict[str, Any]) -> dict[str, Any]:
    made = value | {key: str(uuid.uuid4()), "created_at": datetime.now(UTC).isoformat()}
    objects[made[key]] = made
    return {name: item for name, item in made.items() if name != "looks"}
