"""A new champion takes over while clients ask: none fails, none gets an answer of two models."""

import threading
import time

import httpx
import pytest
from serving.conftest import running

from vitrine.predict import predict
from vitrine.registry.store import Registry
from vitrine.serving.run import Plan
from vitrine.visual_search import add_to_index, make_index


def test_no_request_fails_and_none_mixes_two_models(made, tmp_path):
    registry = Registry(tmp_path / "registry")
    first = registry.promote("taxonomy", made.taxonomy, {"macro_top1": 0.1}, "First.")
    paths = made.photos[:3]
    files = [("photos", (path.name, path.read_bytes(), "image/png")) for path in paths]
    names = [{"image": path.name} for path in paths]
    images = [str(path) for path in paths]

    def answers(model):
        return [line | name for line, name in zip(predict(model, images), names, strict=True)]

    expected = {first.version: answers(made.taxonomy)}
    with running(Plan(registry=str(tmp_path / "registry"), every=0.2)) as client:
        seen, stop = [], threading.Event()

        def ask():
            with httpx.Client(base_url=client.base_url, timeout=300) as own:
                while not stop.is_set():
                    seen.append(own.post("/predict", files=files))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for model in (made.other, made.taxonomy, made.other):
            champion = registry.promote("taxonomy", model, {"macro_top1": 0.2}, "Another.")
            expected[champion.version] = answers(model)
            for _ in range(600):
                if seen and seen[-1].json().get("version") == champion.version:
                    break
                time.sleep(0.05)
        stop.set()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in seen} == {200}
        assert {answer.json()["version"] for answer in seen} == set(expected)
        for answer in seen:
            told = answer.json()
            for line, right in zip(told["answers"], expected[told["version"]], strict=True):
                assert line.keys() == right.keys()
                for question in right.keys() - {"image"}:
                    sure = {one["label"]: one["confidence"] for one in right[question]}
                    assert {one["label"]: one["confidence"] for one in line[question]} == pytest.approx(sure, abs=2e-3)
        assert 'vitrine_model_swaps_total{model="taxonomy"} 3.0' in client.get("/metrics").text


def test_a_registry_that_breaks_leaves_the_models(made, tmp_path):
    registry = Registry(tmp_path / "registry")
    registry.promote("taxonomy", made.other, {"macro_top1": 0.1}, "First.")
    with running(Plan(registry=str(tmp_path / "registry"), every=0.1)) as client:
        (tmp_path / "registry/taxonomy/champion.json").write_text("{")
        for _ in range(200):
            if "vitrine_registry_faults_total 0.0" not in client.get("/metrics").text:
                break
            time.sleep(0.05)
        assert "vitrine_registry_faults_total 0.0" not in client.get("/metrics").text
        photo = made.photos[0].read_bytes()
        assert client.post("/predict", content=photo, headers={"Content-Type": "image/png"}).status_code == 200


def test_photos_added_to_the_index_are_found(made, tmp_path):
    table = made.products.table
    half = made.products.with_table(table.iloc[:72])
    make_index(made.representation, half, tmp_path / "index")
    with running(Plan(index=tmp_path / "index", every=0.1)) as client:
        photo = made.photos[143].read_bytes()

        def ask():
            return client.post("/search?k=1", content=photo, headers={"Content-Type": "image/png"}).json()

        assert ask()["searched_photos"] == 72
        add_to_index(tmp_path / "index", made.products.with_table(table.iloc[72:]))
        for _ in range(200):
            if ask()["searched_photos"] == 144:
                break
            time.sleep(0.05)
        (hit,) = ask()["results"][0]["products"]
        assert hit["product"] == "P47"
        assert client.post("/predict", content=photo, headers={"Content-Type": "image/png"}).status_code == 404
