"""The pipelines by name, their compiled packages, and their parameters."""

import hashlib
import importlib
import inspect
import json
import sys
import traceback
import unittest.mock
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler
from kfp.dsl import graph_component

from pipelines import PIPELINES
from pipelines.agreed import VOLUME_PATH
from pipelines.form import FORM, RENAMED, SETTINGS, check, near, of_kind, of_parameter, whole_settings
from vitrine.errors import InputError, did_you_mean
from vitrine.files import atomic_write
from vitrine.untrusted import parse_json, parse_yaml


def load(name: str) -> graph_component.GraphComponent:
    """A pipeline by name.

    Raises:
        InputError: for an unknown name, with the nearest known one.
    """
    if name not in PIPELINES:
        raise InputError(f"no pipeline {name!r}; {did_you_mean(name, PIPELINES)}")
    with unittest.mock.patch.object(inspect, "stack", _callers):
        return getattr(importlib.import_module(f"pipelines.{name}"), name)


def _callers() -> list[inspect.FrameInfo]:
    """`inspect.stack` without files and lines of source, which kfp asks for at each setting of a task and never reads.

    Finding them takes nearly all of a pipeline's loading: 0.7 of 0.8 s, and several times that among many modules.
    """
    return [
        inspect.FrameInfo(frame, frame.f_code.co_filename, line, frame.f_code.co_name, None, None)
        for frame, line in traceback.walk_stack(sys._getframe(1))
    ]


def compile_pipeline(name: str, out: Path, image: str = "", *, claim: bool = True) -> None:
    """Writes a pipeline's package as YAML, whole or not at all.

    Args:
        name: The pipeline.
        out: Ends in .yaml.
        image: The default of the package's `cluster_image` parameter; "" for this version's.
        claim: Keep checkpoints on the claim that the parameter `cluster_volume` names. Without, they are on the disk of
            the training's pod and go with it, and the package has no such parameter.

    Raises:
        InputError: for an unknown pipeline or another ending.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"{out}: a package's name ends in .yaml")
    pipeline = load(name)
    with atomic_write(out) as temporary:
        package = temporary.with_suffix(".yaml")
        compiler.Compiler().compile(
            pipeline, str(package), pipeline_parameters={"cluster_image": image} if image else None
        )
        if not claim:
            _without_claim(package)
        package.replace(temporary)


def _without_claim(package: Path) -> None:
    """Kubeflow's driver fails on a claim without a name, so no parameter of a run can ask for none."""
    header, spec, platform = package.read_text(encoding="utf-8").partition("components:")[0], *_documents(package)
    claim_names = ("cluster_volume", "pipelinechannel--cluster_volume")
    for part in (spec["root"], *spec["components"].values()):
        tasks = part.get("dag", {}).get("tasks", {}).values()
        for side in (part.get("inputDefinitions", {}), *(task.get("inputs", {}) for task in tasks)):
            given = side.get("parameters", {})
            for name, value in list(given.items()):
                if name in claim_names or value.get("componentInputParameter") in claim_names:
                    del given[name]
    for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        if executor.pop("pvcMount", None):
            executor["emptyDirMounts"].append({"volumeName": "checkpoints", "mountPath": VOLUME_PATH})
    comment = "".join(
        line for line in header.splitlines(True) if line.startswith("#") and " cluster_volume:" not in line
    )
    package.write_text(comment + yaml.dump_all([spec, platform], sort_keys=True), encoding="utf-8")


def _documents(package: Path) -> list[dict[str, Any]]:
    return list(yaml.load_all(package.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def content_hash(package: Path) -> str:
    """SHA-256 of what a package says, in whatever order.

    kfp writes a default's keys into the header's comment in an order that differs from process to process.
    """
    return hashlib.sha256(json.dumps(_documents(package), sort_keys=True).encode()).hexdigest()


def parameters(
    name: str,
    overrides: Iterable[str],
    path: Path | None = None,
    warn: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> dict[str, Any]:
    """Typed pipeline parameters from a file, and `key=value` strings that win over it.

    A key of `settings` may stand by itself. What has another name by now is taken with a warning.

    Args:
        name: The pipeline.
        overrides: `key=value`.
        path: The file.
        warn: Takes a line about what has another name.

    Returns:
        Those given, of `settings` too.

    Raises:
        InputError: for an unknown key (with the nearest known one) or a value of the wrong type.
    """
    given: dict[str, Any] = {}
    for key, value in _in_order((read_parameters(path) if path else {}).items()):
        _add(name, given, str(key), value, f"{path}: {key}", warn)
    pairs = [override.partition("=") for override in overrides]
    if unread := [key for key, separator, _ in pairs if not separator]:
        raise InputError(f"--set {unread[0]}: reads key=value")
    for key, text in _in_order((key, text) for key, _, text in pairs):
        _add(name, given, key, text, f"--set {key}", warn, text=True)
    return given


def renamed(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A run's parameters by the names that they have now; see `parameters`."""
    renamed_values: dict[str, Any] = {}
    for key, value in _in_order(given.items()):
        _add(name, renamed_values, key, value, key, lambda line: None)
    return renamed_values


def complete(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All of a pipeline's parameters: those given, and the others' defaults; checked as a run checks them.

    Raises:
        InputError: for a value of no use.
    """
    merged = {**defaults(name), **given}
    merged["settings"] = whole_settings(name, merged["settings"])
    check(name, merged)
    return merged


def defaults(name: str) -> dict[str, Any]:
    """A pipeline's parameters where nothing else is asked for."""
    return {key: value.default for key, value in (load(name).component_spec.inputs or {}).items()}


def step_names(name: str) -> dict[str, str]:
    """What each step of a pipeline is called for people, by its name in the package."""
    spec = load(name).pipeline_spec
    dags = [spec.root.dag, *(part.dag for part in spec.components.values() if part.HasField("dag"))]
    return {
        key: task.task_info.name
        for dag in dags
        for key, task in dag.tasks.items()
        if spec.components[task.component_ref.name].executor_label
    }


def read_parameters(path: Path) -> dict[str, Any]:
    """A file of pipeline parameters, YAML or JSON: one mapping of names to values.

    Raises:
        InputError: if it is none.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no parameters; one `name: value` a line")
    return content


def _in_order(given: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Which pipeline is retrained comes first: how its parameters are read hangs on it."""
    return sorted(given, key=lambda pair: pair[0] not in ("retrain", "retrain_pipeline"))


def _add(
    name: str,
    found: dict[str, Any],
    key: str,
    value: Any,
    where: str,
    warn: Callable[[str], None],
    *,
    text: bool = False,
) -> None:
    """Adds one parameter, or key of `settings`, to those found."""
    inputs, settings = load(name).component_spec.inputs or {}, SETTINGS[name]
    target = RENAMED.get(key, key)
    if key not in inputs and key not in settings and (target in inputs or target in settings):
        warn(f"warning: {where}: is called {target} now")
        key = target
    if key in settings:
        like = settings[key].default
        if text and isinstance(like, dict | list):
            value = _of_text("Dict", value, where)
        given = found.setdefault("settings", {})
        given[key] = of_kind(like, value, where)
        return
    kind = inputs[near(key, [*inputs, *settings], where)].type
    value = of_parameter(kind, _of_text(kind, value, where) if text else value, where)
    pipeline = str(found.get("retrain_pipeline", "retrain"))
    if name == "monitor" and key == "settings" and not value.keys() <= settings.keys():
        _check_retraining_names(value, settings, pipeline, where)
        warn(f"warning: {where}: parameters of the retraining are called retrain_parameters now")
        key = "retrain_parameters"
    if key == "retrain_parameters" and pipeline in PIPELINES:
        given = found.setdefault(key, {})
        for inner_key, inner in value.items():
            _add(pipeline, given, str(inner_key), inner, f"{where}: {inner_key}", warn)
    elif key == "settings":
        for inner_key, inner in value.items():
            near(str(inner_key), settings, where)
            _add(name, found, str(inner_key), inner, f"{where}: {inner_key}", warn)
    else:
        found[key] = value


def _check_retraining_names(value: Mapping[str, Any], settings: Mapping[str, Any], pipeline: str, where: str) -> None:
    """Refuses a `settings` of the monitor that is neither its own nor, as it was before, of the retraining."""
    theirs = {*SETTINGS.get(pipeline, ()), *FORM.get(pipeline, ()), *RENAMED}
    for parameter in value:
        if parameter not in theirs:
            near(str(parameter), settings, where)


def _of_text(kind: str, text: str, where: str) -> Any:
    try:
        return _typed(kind, text)
    except ValueError as error:
        raise InputError(f"{where}={text}: not of type {kind.lower()}") from error


def _typed(kind: str, text: str) -> Any:
    if kind == "Boolean":
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if kind in ("Integer", "Double", "Float"):
        return int(text) if kind == "Integer" else float(text)
    if kind in ("List", "Dict", "Struct"):
        return parse_json(text)
    return text
