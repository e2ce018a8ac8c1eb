"""What every component file keeps to, so that it runs in a subprocess, in a container and on a cluster."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
from kfp.dsl import base_component

import components
from components import IMAGE
from vitrine import __version__

FOLDER = Path(components.__file__).parent
FILES = sorted(path.stem for path in FOLDER.glob("[!_]*.py") if path.stem != "outputs")
ALLOWED = {*sys.stdlib_module_names, "kfp", "components"}


def imports(nodes: list[ast.stmt]) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_all_are_here():
    assert len(FILES) == 13


@pytest.mark.parametrize("name", [*FILES, "outputs"])
def test_module_scope_imports_nothing_heavy(name):
    """A DAG is compiled where neither torch nor pandas need be installed."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    assert imports(tree.body) <= ALLOWED


@pytest.mark.parametrize("name", FILES)
def test_one_documented_component_per_file(name):
    module = importlib.import_module(f"components.{name}")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, base_component.BaseComponent) and value.python_func.__module__ == module.__name__
    ]
    assert [component.python_func.__name__ for component in found] == [name]
    spec = found[0].component_spec
    assert spec.description
    assert [key for key, value in (spec.inputs or {}).items() if not value.description] in ([], ["status"])
    container = spec.implementation.container
    assert container.image == IMAGE
    assert "pip install" not in " ".join(map(str, container.command))
    body = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")).body
    function = next(node for node in body if isinstance(node, ast.FunctionDef))
    assert not [node for node in ast.walk(function) if isinstance(node, ast.If | ast.For | ast.While | ast.Try)]


@pytest.mark.parametrize("name", FILES)
def test_tables_and_models_are_stamped_with_their_data_version(name):
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    made = re.findall(r"(\w+): Output\[(?:Dataset|Model)\]", source)
    stamped = re.findall(r"^    stamp\(.+?, (.+)\)$", source, re.M)
    assert set(made) <= set(", ".join(stamped).split(", "))


def test_the_image_is_of_this_version():
    assert IMAGE.endswith(f":{__version__}")
