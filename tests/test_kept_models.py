"""Model folders that version 0.1.0 wrote still load, and say what its code made of them."""

import json

import numpy as np
import pytest
from kept import KEPT, labelled_noise, write_kept

from vitrine import tasks
from vitrine.predict import Model


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.stem)
def test_a_folder_of_an_earlier_version_says_what_it_said(kept, tmp_path):
    told = write_kept(kept, tmp_path / "model")
    model = Model.load(tmp_path / "model")
    assert model.task.name == told["config"]["task"]
    predictions = model.predict(labelled_noise(tmp_path))
    said = {"embedding": predictions.embeddings[:, :4]}
    if model.task.output == "verdict":
        said["probability"] = predictions.probability
    else:
        said |= {target.name: target.scores for target in predictions.targets}
    assert set(said) == set(told["predictions"])
    for name, expected in told["predictions"].items():  # of the first two photos (listings)
        np.testing.assert_allclose(said[name][:2], expected, rtol=1e-3, atol=1e-4, err_msg=name)


def test_every_task_has_one():
    assert {json.loads(path.read_text())["config"]["task"] for path in KEPT} == set(tasks.names())
