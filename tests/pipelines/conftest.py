"""Packages that commands publish are compiled once for all tests; test_compiled holds compiling itself to account."""

import functools
import tempfile
from pathlib import Path

import pytest

from pipelines import cluster, submit
from pipelines.packages import compile_pipeline


@functools.cache
def package(name: str, image: str, claim: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "package.yaml"
        compile_pipeline(name, path, image, claim=claim)
        return path.read_bytes()


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(name: str, out: Path, image: str = "", *, claim: bool = True) -> None:
        out.write_bytes(package(name, image, claim))

    for module in (cluster, submit):
        monkeypatch.setattr(module, "compile_pipeline", write)
