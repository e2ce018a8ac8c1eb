"""The pipelines by name, their compiled packages, and their parameters."""

import difflib
import importlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kfp import compiler
from kfp.dsl import graph_component

from pipelines import PIPELINES
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


def compile_pipeline(name: str, out: Path, image: str = "") -> None:
    """Writes a pipeline's package as YAML, whole or not at all.

    Args:
        name: The pipeline.
        out: Ends in .yaml.
        image: The default of the package's `image` parameter; "" for this version's.

    Raises:
        InputError: for an unknown pipeline or another ending.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"{out}: a package's name ends in .yaml")
    pipeline = load(name)
    with atomic_write(out) as temporary:
        package = temporary.with_suffix(".yaml")
        compiler.Compiler().compile(pipeline, str(package), pipeline_parameters={"image": image} if image else None)
        package.replace(temporary)


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
