"""Both places a registry can be, and models to put there."""

import json

import pytest


@pytest.fixture(params=["local", "s3"])
def root(request, tmp_path):
    if request.param == "local":
        return str(tmp_path / "registry")
    return f"{request.getfixturevalue('bucket')}/models"


@pytest.fixture
def model(tmp_path):
    """Builds a model folder."""

    def build(name, weights=b"weights", task="taxonomy"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "config.json").write_text(json.dumps({"task": task, "data_version": "v-7"}))
        (folder / "metrics.json").write_text("{}")
        (folder / "card.md").write_text("# card")
        return folder

    return build
