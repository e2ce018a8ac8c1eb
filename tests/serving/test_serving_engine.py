"""`vitrine serve --engine onnx` answers as torch does."""

import logging
import time

import pytest
from serving.conftest import running

from vitrine.export import export_onnx
from vitrine.graphs import PhotoSession
from vitrine.serving import engines
from vitrine.serving.engines import ENGINES, best_of
from vitrine.serving.run import Plan

pytestmark = pytest.mark.usefixtures("quick_exporter")


def test_answers_of_onnxruntime(made, client):
    rows = made.listings.table[made.listings.table["listing"] == made.listings.table["listing"].iloc[0]]
    listing = [("photos", (made.folder / "listings" / image).open("rb").read()) for image in rows["image"]]
    files = [("photos", path.read_bytes()) for path in made.photos[:4]]
    with running(Plan(models=[str(made.taxonomy), str(made.authenticity)], engine="onnx")) as other:
        engines = {one["name"]: one["engine"] for one in other.get("/models").json()["models"]}
        assert engines == {"taxonomy": "onnx", "authenticity": "onnx"}
        right = client.post("/predict", files=files).json()["answers"]
        for line, own in zip(right, other.post("/predict", files=files).json()["answers"], strict=True):
            for question in line.keys() - {"image"}:
                sure = {one["label"]: one["confidence"] for one in line[question]}
                assert {one["label"]: one["confidence"] for one in own[question]} == pytest.approx(sure, abs=3e-4)
        judged, own = (one.post("/verify", files=listing).json() for one in (client, other))
        assert own["probability"] == pytest.approx(judged["probability"], abs=3e-4)
        weights = [one["weight"] for one in judged["weights"]]
        assert [one["weight"] for one in own["weights"]] == pytest.approx(weights, abs=3e-4)


def test_the_faster_engine_is_kept(made, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    for seconds, engine in (([2.0, 1.0], "onnx"), ([1.0, 2.0], "torch")):
        monkeypatch.setattr(engines, "best_of", lambda models, photos, own=seconds: own)
        model, found = ENGINES["auto"](made.taxonomy)
        assert found == engine
        assert isinstance(model.net, PhotoSession) == (engine == "onnx")
    assert "torch" in caplog.text
    assert "onnxruntime" in caplog.text


def test_engines_are_measured_in_turns():
    class Slow:
        def __init__(self, seconds):
            self.config, self.seconds, self.asked = {"image_size": 8}, seconds, []

        def reply(self, queries):
            self.asked.append(len(queries[0]))
            time.sleep(self.seconds)

    models = [Slow(0.02), Slow(0.001)]
    found = best_of(models, 4)
    assert found[0] >= 0.02 > found[1]
    assert [model.asked for model in models] == [[4] * 6] * 2


def test_an_exported_file_is_served(made, client, tmp_path):
    export_onnx(made.taxonomy, tmp_path / "shop.onnx")
    files = [("photos", path.read_bytes()) for path in made.photos[:3]]
    with running(Plan(models=[f"shop={tmp_path / 'shop.onnx'}"])) as other:
        (told,) = other.get("/models").json()["models"]
        assert (told["name"], told["task"], told["engine"], len(told["version"])) == ("shop", "taxonomy", "onnx", 16)
        right = client.post("/predict", files=files).json()["answers"]
        for line, own in zip(right, other.post("/predict", files=files).json()["answers"], strict=True):
            assert own["level1"][0]["label"] == line["level1"][0]["label"]
            assert own["level1"][0]["confidence"] == pytest.approx(line["level1"][0]["confidence"], abs=3e-4)
