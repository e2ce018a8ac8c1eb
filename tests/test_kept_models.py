"""Model folders that earlier versions wrote still load and answer: their config.json, and tensors of their names and
shapes (random ones: what they hold is not what could break)."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from vitrine.catalog import Catalog
from vitrine.predict import Model

KEPT = sorted(Path(__file__).with_name("kept_models").glob("*.json"))


@pytest.fixture
def catalog(tmp_path):
    import pandas as pd

    rng = np.random.default_rng(0)
    images = [f"{i}.png" for i in range(4)]
    for image in images:
        Image.fromarray(rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)).save(tmp_path / image)
    table = pd.DataFrame({"image": images, "listing": ["a", "a", "b", "b"], "domain": ["user", "shop"] * 2})
    return Catalog(str(tmp_path), table, "v-1")


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.stem)
def test_a_folder_of_an_earlier_version(kept, catalog, tmp_path):
    told = json.loads(kept.read_text())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(told["config"]))
    rng = np.random.default_rng(0)
    tensors = {
        name: (rng.random(shape) if kind.startswith("float") else np.zeros(shape)).astype(kind)
        for name, (kind, shape) in told["tensors"].items()
    }
    save_file(tensors, folder / "model.safetensors")
    model = Model.load(folder)
    assert model.task.name == told["config"]["task"]
    predictions = model.predict(catalog)
    assert np.isfinite(predictions.embeddings).all()
    assert sum(len(own) if isinstance(own, list) else 1 for own in predictions.images) == 4


def test_every_task_has_one():
    from vitrine import tasks

    assert {json.loads(path.read_text())["config"]["task"] for path in KEPT} == set(tasks.names())
