"""Both places a registry can be: a folder, and S3 as moto serves it over HTTP."""

import os
import socket
import subprocess
import sys
import time
import uuid

import pytest

from vitrine import files


@pytest.fixture(scope="session")
def s3_server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
def s3_environment(s3_server):
    variables = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        files._clients.__dict__.clear()  # the cached client may point elsewhere
        yield {**os.environ, **variables}
    files._clients.__dict__.clear()


@pytest.fixture(params=["local", "s3"])
def root(request, tmp_path):
    if request.param == "local":
        return str(tmp_path / "registry")
    request.getfixturevalue("s3_environment")
    bucket = f"b{uuid.uuid4().hex[:12]}"
    files.s3_client().create_bucket(Bucket=bucket)
    return f"s3://{bucket}/models"
