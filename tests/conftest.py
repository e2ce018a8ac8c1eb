"""Real photos, and S3 as moto serves it over HTTP."""

import functools
import gc
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import vitrine_command
from botocore.loaders import JSONFileLoader

from vitrine import files

if "PYTEST_XDIST_WORKER" in os.environ:  # `make test` starts one of these a core
    os.environ.setdefault("OMP_NUM_THREADS", "1")

gc.disable()  # until the tests are collected: what is imported until then stays

_read_api = functools.cache(functools.partial(JSONFileLoader.load_file, JSONFileLoader()))
# What boto3 knows of S3's API is read once a process, not once for each client that a test makes: 0.1 s each.
JSONFileLoader.load_file = lambda _, path: _read_api(path)


def pytest_collection_finish() -> None:
    """From now on garbage is looked for, among what tests make and not a million objects of modules."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Marks what needs a fixture that is `slow_to_make`, and begins with the files that have slow tests.

    One of them at the end would keep a single core busy for minutes.
    """
    for item in items:
        if slow_to_make.__name__ in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    yield
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def slow_to_make() -> None:
    """Asked for by fixtures that take seconds, of training mostly: tests that use them are slow."""


@pytest.fixture(scope="session")
def datasets() -> Path:
    """The folder of real photos (clothing, grocery, fashion)."""
    named = os.environ.get("VITRINE_DATASETS", "")
    if named and Path(named).is_dir():
        return Path(named)
    reason = f"VITRINE_DATASETS={named!r} is no folder of real photos"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests neither use nor leave what the user's own runs keep."""
    os.environ["VITRINE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def vitrine(capsys: pytest.CaptureFixture[str]) -> Callable[..., vitrine_command.Result]:
    """Runs a command in this process."""

    def result(*arguments: object) -> vitrine_command.Result:
        capsys.readouterr()
        return vitrine_command.Result(vitrine_command.run(*arguments), *capsys.readouterr())

    return result


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A folder on a disk of its own, made (or remade) by calling with mount options such as `size=1m` or `ro`."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        command = ["mount", "-t", "tmpfs", "-o", f"remount,{options}" if mounted else options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a disk cannot be mounted here: {done.stderr.strip()}")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": "10"}  # listings come in pages, as of a large bucket
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "moto's server ended"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=10)


@pytest.fixture
def s3_environment(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """This process's environment, and that of the processes it starts, with that server as S3."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    files.forget_clients()  # they may point elsewhere
    yield dict(os.environ)
    files.forget_clients()


@pytest.fixture
def bucket(s3_environment: dict[str, str]) -> str:
    """A new, empty bucket, as s3://name."""
    name = f"b{uuid.uuid4().hex[:12]}"
    files.s3_client().create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    """A toy catalog."""
    from toys import toy_catalog

    return toy_catalog(tmp_path_factory.mktemp("toys") / "toys", photos=72, size=16)


@pytest.fixture(scope="session")
def quick_exporter() -> Iterator[None]:
    """torch reads its table of what ONNX knows once a process, not once for each net: half a second each."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture(scope="session")
def decoded(tmp_path_factory):
    """Where decoded photos are kept, out of the home folder."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def one_thread(decoded, monkeypatch):
    """One thread, because sums over several may differ in their last bit."""
    import torch

    monkeypatch.setenv("VITRINE_CACHE", str(decoded))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
