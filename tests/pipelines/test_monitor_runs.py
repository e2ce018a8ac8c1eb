"""The `monitor` DAG on this machine, as a user starts it: darker photos start one retraining on the cluster."""

import json
import os
import subprocess
import sys

import pytest
from fake_kubeflow import FakeKubeflow
from PIL import Image

from vitrine.catalog import read_catalog, write_catalog
from vitrine.monitoring.retraining import retrainings
from vitrine.registry import Registry
from vitrine.steps.gate import evaluate
from vitrine.steps.monitoring import drift_reference
from vitrine.steps.training import train
from vitrine.synth import render_catalog

pytestmark = pytest.mark.slow

COLUMNS = ["image", "listing", "product", "category"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A registry with a champion of categories, and new photos: `same` are like those it learnt, `dark` are not."""
    folder = tmp_path_factory.mktemp("monitor")
    render_catalog(folder / "data", listings=30)
    rendered = read_catalog(folder / "data")
    table = rendered.table[COLUMNS].copy()
    table["split"] = ["train" if i % 3 else "test" for i in range(len(table))]
    write_catalog(rendered.with_table(table), folder / "parted")
    small = {"epochs": 1, "batch_size": 16, "image_size": 16, "weights": "none"}
    train("taxonomy", "bcnn", folder / "parted", folder / "model", str(folder / "checkpoints"), small)
    evaluate(folder / "model", folder / "parted", folder / "evaluation")
    drift_reference(folder / "model", folder / "parted", folder / "reference")
    Registry(folder / "registry").promote(
        "taxonomy", folder / "model", {"top1": 0.5}, "Promoted: the first.", extra={"drift": folder / "reference"}
    )
    dark = folder / "new" / "2026-11-24"
    for image in table["image"]:
        (dark / image).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(rendered.uri(image)) as photo:
            photo.convert("RGB").point(lambda value: value * 0.5).save(dark / image)
    write_catalog(type(rendered)(str(dark), table[COLUMNS], "dark-1"), dark)
    return folder


@pytest.fixture
def kubeflow():
    server = FakeKubeflow()
    yield server
    server.close()


def monitor(home, kubeflow, name):
    """A run of the DAG in processes, for the photos of one day."""
    given = {
        "data_catalog": f"{home}/new/%Y-%m-%d",
        "data_period": "2026-11-24",
        "out_registry": f"{home}/registry",
        "out_reports": f"{home}/reports",
        "retrain_pipeline": "retrain",
        "retrain_parameters": json.dumps({"data_catalog": "s3://photos/data.dvc", "train_epochs": 3}),
        "endpoint": kubeflow.address,
    }
    command = [
        sys.executable,
        "-m",
        "vitrine.cli",
        "pipeline",
        "run",
        "monitor",
        "--runs",
        str(home / name),
        "--verbose",
    ]
    done = subprocess.run(
        [*command, *(f"--set={key}={value}" for key, value in given.items())],
        env=os.environ | {"OMP_NUM_THREADS": "1", "VITRINE_REVISION": COMMIT, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_photos_that_moved_start_one_retraining(home, kubeflow):
    code, out, err = monitor(home, kubeflow, "runs")
    assert code == 0, out + err
    (run,) = kubeflow.state.runs.values()
    assert run["runtime_config"]["parameters"] == {"data_catalog": "s3://photos/data.dvc", "train_epochs": 3}
    assert "after drift of" in run["display_name"]
    (entry,) = retrainings(str(home / "registry"))
    assert entry.run == run["run_id"]
    assert "brightness" in entry.reason
    (line,) = (home / "reports/monitor/history.jsonl").read_text().splitlines()
    assert json.loads(line)["drifted"]
    (summary,) = (home / "reports").glob("*/summary.html")
    assert f"started run {run['run_id']}" in summary.read_text()
