"""A whole run of `authenticate` on this machine, from rendered listings to a verdict on a new one."""

import json
import re
import shutil
from pathlib import Path

import pytest
from vitrine_command import vitrine

from vitrine.catalog import read_catalog, write_catalog
from vitrine.registry import Registry
from vitrine.synth import render_catalog

pytestmark = pytest.mark.slow


def test_from_listings_to_the_verdict_on_a_new_one(tmp_path):
    render_catalog(tmp_path / "data", listings=72)
    rendered = read_catalog(tmp_path / "data")
    shoes = rendered.table["listing"].isin(rendered.table.loc[rendered.table["view"] == "tag", "listing"])
    write_catalog(rendered.with_table(rendered.table[shoes]), tmp_path / "data")
    settings = [
        "data_catalog=data",
        "shards=2",
        "train_epochs=1",
        "batch_size=32",
        "image_size=16",
        "weights=none",
        "ratios=0.4,0.2,0.4",
        "ask=2",
        "allow_below_baseline=true",  # one pass from nothing is hardly better than chance
    ]
    run = vitrine(
        tmp_path, "pipeline", "run", "authenticate", "--runs", "runs", *(f"--set={pair}" for pair in settings)
    )
    assert (run.returncode, run.stderr) == (0, ""), run.stdout + run.stderr
    summary = Path(re.search(r"^Summary: (.+)$", run.stdout, re.M)[1])
    pages = {Path(address).name for address in re.findall(r'href="([^"#]+)"', summary.read_text())}
    assert pages == {
        f"{name}.html" for name in ("validate", "clean", "split", "evaluate-authenticity", "gate-authenticity")
    }
    assert all((summary.parent / page).is_file() for page in pages)

    model = Path(Registry(str(tmp_path / "runs/registry")).champion("authenticity").model)
    assert (model / "drift/reference.json").is_file()
    assert json.loads((model / "config.json").read_text())["settings"]["ask"] == 2
    own = rendered.table[rendered.table["listing"] == rendered.table.loc[shoes, "listing"].iloc[0]]
    for image in own["image"]:
        (tmp_path / "new").mkdir(exist_ok=True)
        shutil.copy(tmp_path / "data" / image, tmp_path / "new")
    answer = vitrine(tmp_path, "predict", model, "new")
    assert answer.returncode == 0, answer.stderr
    verdict = json.loads(answer.stdout)
    assert verdict["verdict"] in ("authentic", "counterfeit", "ask an expert")
    assert 0 <= verdict["probability"] <= 1
    assert {Path(photo["image"]).name for photo in verdict["deciding_photos"]} <= {
        Path(image).name for image in own["image"]
    }
    (tmp_path / "empty").mkdir()
    refused = vitrine(tmp_path, "predict", model, "empty")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
