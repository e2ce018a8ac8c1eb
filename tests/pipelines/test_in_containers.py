"""The compiled `retrain` package to its end with every step in a container. `make test-containers` runs this."""

import os
import subprocess
import sys
import time

import pytest
from vitrine_command import environment

from vitrine.registry import Registry
from vitrine.synth import render_catalog

IMAGE = os.environ.get("VITRINE_TEST_IMAGE", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IMAGE, reason="VITRINE_TEST_IMAGE names no image; `make test-containers` builds one"),
]
SMALL = [
    "train_epochs=1",
    "student_epochs=1",
    "image_size=32",
    "batch_size=16",
    "min_class_count=5",
    "allow_below_baseline=true",
]


def test_it_ends_as_without_containers_and_nothing_is_root_s(tmp_path):
    render_catalog(tmp_path / "data", listings=60)
    took = {}
    for runner, more in (("subprocess", []), ("docker", [f"cluster_image={IMAGE}"])):
        command = [sys.executable, "-m", "vitrine.cli", "pipeline", "run", "retrain", "--runner", runner]
        settings = [f"data_catalog={tmp_path / 'data'}", *SMALL, *more]
        started = time.monotonic()
        ended = subprocess.run(
            [*command, "--runs", tmp_path / runner, *(f"--set={pair}" for pair in settings)],
            env=environment(tmp_path / f"cache-{runner}"),
            capture_output=True,
            text=True,
            check=False,
        )
        took[runner] = time.monotonic() - started
        assert ended.returncode == 0, ended.stdout + ended.stderr
        for task in ("attributes", "taxonomy"):
            assert Registry(str(tmp_path / runner / "registry")).champion(task)
    written = [path for path in (tmp_path / "docker" / "registry").rglob("*") if path.is_file()]
    assert written
    assert all(path.stat().st_uid != 0 for path in written)
    print(f"\nsubprocess {took['subprocess']:.0f} s, containers {took['docker']:.0f} s")
