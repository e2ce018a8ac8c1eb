"""The `score` DAG on this machine, as a user starts it: a table of answers, rows that cannot be read among them."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from vitrine.catalog import read_catalog, write_catalog
from vitrine.registry import Registry
from vitrine.steps.training import train
from vitrine.synth import render_catalog

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A registry with a champion of categories, and a catalog with one photo that is none."""
    folder = tmp_path_factory.mktemp("score")
    render_catalog(folder / "data", listings=20)
    rendered = read_catalog(folder / "data")
    table = rendered.table[["image", "listing", "product", "category"]].copy()
    table["split"] = ["train" if i % 3 else "test" for i in range(len(table))]
    write_catalog(rendered.with_table(table), folder / "parted")
    small = {"epochs": 1, "batch_size": 16, "image_size": 16, "weights": "none"}
    train("taxonomy", "bcnn", folder / "parted", folder / "model", str(folder / "checkpoints"), small)
    Registry(folder / "registry").promote("taxonomy", folder / "model", {"top1": 0.5}, "Promoted: the first.")
    (folder / "data" / table["image"].iloc[0]).write_bytes(b"no photo")
    return folder


def scored(home, *more):
    given = {
        "data_catalog": home / "data",
        "data_period": "2026-11-24",
        "out_registry": home / "registry",
        "out_reports": home / "reports",
        "out_scores": home / "scores/%Y-%m-%d",
    }
    command = [
        sys.executable,
        "-m",
        "vitrine.cli",
        "pipeline",
        "run",
        "score",
        "--runs",
        str(home / "runs"),
        "--verbose",
    ]
    return subprocess.run(
        [*command, *(f"--set={key}={value}" for key, value in given.items()), *more],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_catalog_is_scored_as_it_is(home):
    done = scored(home, "--set=shards=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Score 1/2: 0 answers." in done.stdout  # all photos are one part
    table = pd.read_parquet(home / "scores/2026-11-24/taxonomy.parquet")
    assert table["image"].tolist() == read_catalog(home / "data").table["image"].tolist()
    assert "is not a photo" in table["error"].iloc[0]
    assert table["error"].notna().sum() == table["level1"].isna().sum() == 1
    about = json.loads((home / "scores/2026-11-24/taxonomy.json").read_text())
    assert about["model"] == Registry(home / "registry").champion("taxonomy").version
    (summary,) = (home / "reports").glob("*/summary.html")
    assert "Scored" in summary.read_text()
    assert "1 cannot be read" in summary.read_text()


def test_a_task_that_is_none_is_said_before_anything_starts(home):
    done = scored(home, "--set=tasks=taxonmy")
    assert done.returncode == 2
    assert "did you mean taxonomy?" in done.stderr
