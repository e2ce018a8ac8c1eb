"""The pipelines by name, their compiled packages, and their parameters."""

import difflib
import hashlib
import importlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler
from kfp.dsl import graph_component

from pipelines import PIPELINES
from pipelines.agreed import VOLUME_PATH
from vitrine.errors import InputError
from vitrine.files import atomic_write
from vitrine.untrusted import parse_json, parse_yaml

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "String": str,
    "Integer": int,
    "Double": (int, float),
    "Float": (int, float),
    "Boolean": bool,
    "List": list,
    "Dict": dict,
}


def load(name: str) -> graph_component.GraphComponent:
    """A pipeline by name.

    Raises:
        InputError: for an unknown name, with the nearest known one.
    """
    if name not in PIPELINES:
        near = difflib.get_close_matches(name, PIPELINES, n=1, cutoff=0.0)[0]
        raise InputError(f"no pipeline {name!r}; did you mean {near}? (known: {', '.join(PIPELINES)})")
    return getattr(importlib.import_module(f"pipelines.{name}"), name)


def compile_pipeline(name: str, out: Path, image: str = "", *, claim: bool = True) -> None:
    """Writes a pipeline's package as YAML, whole or not at all.

    Args:
        name: The pipeline.
        out: Ends in .yaml.
        image: The default of the package's `image` parameter; "" for this version's.
        claim: Keep checkpoints on the claim that the parameter `volume` names. Without, they are on the disk of the
            training's pod and go with it, and the package has no such parameter.

    Raises:
        InputError: for an unknown pipeline or another ending.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"{out}: a package's name ends in .yaml")
    pipeline = load(name)
    with atomic_write(out) as temporary:
        package = temporary.with_suffix(".yaml")
        compiler.Compiler().compile(pipeline, str(package), pipeline_parameters={"image": image} if image else None)
        if not claim:
            _without_claim(package)
        package.replace(temporary)


def _without_claim(package: Path) -> None:
    """Kubeflow's driver fails on a claim without a name, so no parameter of a run can ask for none."""
    header, spec, platform = package.read_text(encoding="utf-8").partition("components:")[0], *_documents(package)
    own = ("volume", "pipelinechannel--volume")
    for part in (spec["root"], *spec["components"].values()):
        tasks = part.get("dag", {}).get("tasks", {}).values()
        for side in (part.get("inputDefinitions", {}), *(task.get("inputs", {}) for task in tasks)):
            given = side.get("parameters", {})
            for name in own:
                if name in given and part.get("executorLabel") is None:
                    del given[name]
    for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        if executor.pop("pvcMount", None):
            executor["emptyDirMounts"].append({"volumeName": "checkpoints", "mountPath": VOLUME_PATH})
    comment = "".join(line for line in header.splitlines(True) if line.startswith("#") and " volume:" not in line)
    package.write_text(comment + yaml.dump_all([spec, platform], sort_keys=True), encoding="utf-8")


def _documents(package: Path) -> list[dict[str, Any]]:
    return list(yaml.load_all(package.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def content_hash(package: Path) -> str:
    """SHA-256 of what a package says, in whatever order.

    kfp writes a default's keys into the header's comment in an order that differs from process to process.
    """
    return hashlib.sha256(json.dumps(_documents(package), sort_keys=True).encode()).hexdigest()


def parameters(name: str, overrides: Iterable[str], path: Path | None = None) -> dict[str, Any]:
    """Typed pipeline parameters from a file, and `key=value` strings that win over it.

    Raises:
        InputError: for an unknown key (with the nearest known one) or a value of the wrong type.
    """
    inputs = load(name).component_spec.inputs or {}
    found: dict[str, Any] = {}
    for key, value in (read_parameters(path) if path else {}).items():
        kind = inputs[_known(inputs, str(key), f"{path}: {key}")].type
        if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "Boolean"):
            raise InputError(f"{path}: {key}: {json.dumps(value, default=str)}: not of type {kind.lower()}")
        found[key] = value
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise InputError(f"--set {override}: reads key=value")
        kind = inputs[_known(inputs, key, f"--set {key}")].type
        try:
            found[key] = _typed(kind, text)
        except ValueError as error:
            raise InputError(f"--set {key}={text}: not of type {kind.lower()}") from error
    return found


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
        found = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds no parameters; one `name: value` a line")
    return found


def _known(inputs: Mapping[str, Any], key: str, where: str) -> str:
    if key not in inputs:
        near = difflib.get_close_matches(key, inputs, n=1, cutoff=0.0)[0]
        raise InputError(f"{where}: unknown; did you mean {near}? (known: {', '.join(inputs)})")
    return key


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
