"""Model folders that earlier versions wrote still load and answer: their config.json, and tensors of their names and
shapes (random ones: what they hold is not what could break)."""

import json

import numpy as np
import pytest
from kept import KEPT, model_folder
from PIL import Image

from vitrine.catalog import Catalog
from vitrine.predict import Model


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
    model = Model.load(model_folder(kept, tmp_path / "model"))
    assert model.task.name == json.loads(kept.read_text())["config"]["task"]
    predictions = model.predict(catalog)
    assert np.isfinite(predictions.embeddings).all()
    assert sum(len(own) if isinstance(own, list) else 1 for own in predictions.images) == 4


def test_every_task_has_one():
    from vitrine import tasks

    assert {json.loads(path.read_text())["config"]["task"] for path in KEPT} == set(tasks.names())
