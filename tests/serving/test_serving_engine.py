"""`vitrine serve --engine onnx` answers as torch does."""

import pytest
from serving.conftest import running

from vitrine.serving.run import Plan


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
