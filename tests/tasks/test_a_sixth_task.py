"""A task that nobody has heard of: one package and one line of the registry, and everything works with it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serving.conftest import running
from toys import COLOURS, toy_catalog

from vitrine import tasks
from vitrine.catalog import read_catalog, write_catalog
from vitrine.evaluate import evaluate
from vitrine.evaluation.gate import decide
from vitrine.predict import predict
from vitrine.registry.store import Registry, figure
from vitrine.serving.run import Plan
from vitrine.steps.gate import compare, promote
from vitrine.steps.monitoring import detect_drift, drift_reference
from vitrine.steps.planning import examine, find_tasks
from vitrine.train import train
from vitrine.visual_search import make_index, search_photos

ROOT = Path(__file__).parents[2]
PACKAGE = '''
"""The colour of a photo, by the class whose mean chroma is nearest."""

import re

from vitrine.settings import Settings
from vitrine.tasks.labels import LabelTask
from vitrine.tasks.task import ModelConfig

TARGET = "attr:colour"


class TintConfig(ModelConfig):
    """What config.json says."""

    labels: list[str]


class Tint(LabelTask):
    """Nearest mean."""

    name = "tint"
    title = "Tint"
    variants = ("nearest-mean",)
    default = "nearest-mean"
    decides = "top1"
    guarded = re.compile(r"attr:.+/top1")
    headlines = ("top1",)
    corrupted = ("top1",)
    indexed = True
    config = TintConfig

    def settings(self, variant):
        return Settings

    def labels_allow(self, catalog):
        from vitrine.data.truth import teachable_types

        return "colour" in teachable_types(catalog)

    def fit(self, catalog, variant, out, settings, folder):
        import numpy as np
        import torch

        from vitrine.data.truth import attribute_truth, labels_seen
        from vitrine.inference import run_net
        from vitrine.model import save_model

        rows = catalog.of_split("train")
        config = {
            "task": self.name,
            "variant": variant,
            "backbone": "none",
            "image_size": settings.image_size or 32,
            "labels": labels_seen(rows.table, "colour"),
            "data_version": rows.data_version,
        }
        net = self.build(config)
        features, _ = run_net(net, self.photos(config, rows), np.arange(len(rows)))
        truth = attribute_truth(rows.table, "colour")
        for i, label in enumerate(config["labels"]):
            net.means.data[i] = torch.from_numpy(features[[label in labels for labels in truth]].mean(axis=0))
        measured = self.metrics(self.predict(net, config, catalog.of_split("validation")))
        save_model(out, net, config, {f"validation/{key}": value for key, value in measured.items()})

    def build(self, config):
        import torch
        from torch import nn
        from torch.nn import functional as F

        class NearestMean(nn.Module):
            def __init__(self, classes):
                super().__init__()
                self.means = nn.Parameter(torch.zeros(classes, 3))

            def forward(self, photos):
                colour = photos.mean(dim=(2, 3))
                features = F.normalize(colour - colour.mean(dim=1, keepdim=True), dim=1)
                return features, {TARGET: 10 * features @ F.normalize(self.means, dim=1).T}

        return NearestMean(len(config["labels"]))

    def predictions(self, config, table, features, scores, seconds):
        from vitrine.predictions import PhotoPredictions

        targets = self.label_predictions(config, scores, table)
        return PhotoPredictions(self.name, table["image"].tolist(), targets, features, seconds)

    def label_predictions(self, config, scores, table):
        from vitrine.data.truth import attribute_truth
        from vitrine.inference import probabilities
        from vitrine.predictions import LabelPredictions

        values = probabilities(scores[TARGET], 1.0)
        return [LabelPredictions(TARGET, config["labels"], values, values.max(axis=1), attribute_truth(table, "colour"))]

    def metrics(self, predictions):
        from vitrine.evaluation.metrics import label_metrics

        return label_metrics(predictions, _measure)

    def hits(self, predictions):
        from vitrine.evaluation.metrics import true_ranks
        from vitrine.evaluation.sample import Hits

        return {target.name: Hits.of_ranks(true_ranks(target), 1, by_class=False) for target in predictions.targets}

    def baseline(self, frozen, config, catalog, rows):
        return "there is none"

    def page(self, predictions, rows, metrics, config, title, compared=()):
        from vitrine.evaluation.report import label_page

        return label_page(predictions, rows, metrics, title, self.headlines, _measure)


def _measure(ranks, weights):
    from vitrine.evaluation.metrics import topk

    top1 = topk(ranks[TARGET], 1, weights)
    return {"top1": top1, f"{TARGET}/top1": top1}
'''

DAG = """
import sys

from kfp import dsl, local

from components.build_index import build_index
from components.judge import judge
from components.train import train
from pipelines.form import whole_settings

table, runs = sys.argv[1:]
settings = whole_settings("represent", {"allow_below_baseline": True})


@dsl.pipeline(name="tint")
def tint() -> None:
    catalog = dsl.importer(artifact_uri=table, artifact_class=dsl.Dataset).output
    trained = train(
        table=catalog, task="tint", variant="nearest-mean", settings={"image_size": 16}, checkpoints=f"{runs}/checkpoints"
    )
    kept = {"registry": f"{runs}/registry", "reports": f"{runs}/reports", "run_id": "run"}
    judged = judge(model=trained.outputs["model"], table=catalog, task="tint", settings=settings, **kept)
    build_index(table=catalog, decision=judged.outputs["decision"], task="tint", **kept)


local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=f"{runs}/artifacts")
tint()
"""


@pytest.fixture
def tint(tmp_path, monkeypatch):
    """A catalog, and the task beside those that there are."""
    (tmp_path / "tint_task").mkdir()
    (tmp_path / "tint_task/__init__.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(tasks.TASKS, "tint", "tint_task:Tint")
    yield toy_catalog(tmp_path / "toys", photos=72, size=16)
    sys.modules.pop("tint_task", None)


def colour_of(image):
    return list(COLOURS)[int(Path(image).stem) % 3]


@pytest.mark.slow
def test_it_trains_evaluates_is_gated_promoted_searched_watched_and_served(tint, tmp_path):
    write_catalog(tint, tmp_path / "table")
    table, run, registry = tmp_path / "table", str(tmp_path / "run"), str(tmp_path / "registry")
    model = train("tint", "", read_catalog(table), tmp_path / "model", ["image_size=16"])
    metrics = evaluate(model, read_catalog(table), tmp_path / "evaluation")
    assert metrics["top1"] == metrics["attr:colour/top1"] > 0.9
    assert metrics["top1"] > metrics["constant/top1"]
    assert (tmp_path / "evaluation/report.html").stat().st_size > 1000

    decided = compare("tint", model, tmp_path / "evaluation", table, registry, tmp_path / "decision", 0.0, 0.05)
    assert decided == "promote"
    drift_reference(model, table, tmp_path / "reference")
    folders = (model, tmp_path / "evaluation", tmp_path / "decision", tmp_path / "reference")
    promote("tint", *folders, registry, run)
    assert figure(Registry(registry).champion("tint")) == f"top1 {metrics['top1']:.3f}"
    again = compare("tint", model, tmp_path / "evaluation", table, registry, tmp_path / "again", 0.0, 0.05)
    assert again == "refuse"
    reason = json.loads((tmp_path / "again/decision.json").read_text())["reason"]
    assert "the candidate is the champion itself" in reason
    worse = {**metrics, "top1": 1.0, "attr:colour/top1": metrics["attr:colour/top1"] - 0.1}
    assert not decide(worse, metrics, tasks.get("tint").gate_rules(max_drop=0.05)).promote
    drifted, _ = detect_drift(table, registry, "tint", str(tmp_path), "run-2", tmp_path / "drift")
    assert drifted == "no drift"

    assert make_index(model, tint, tmp_path / "index") == len(tint)
    photo = tint.uri(tint.table["image"][0])
    (hit,) = search_photos(tmp_path / "index", [photo], k=1)[0]["results"]
    assert colour_of(hit["image"]) == colour_of(photo)
    (record,) = predict(model, [photo])
    assert record["attr:colour"][0]["label"] == tint.table["attr:colour"][0]
    form = [("photos", ("one.png", Path(photo).read_bytes(), "image/png"))]
    with running(Plan(models=[str(model)], index=tmp_path / "index")) as client:
        (served,) = client.get("/models").json()["models"]
        assert (served["name"], served["task"], served["output"]) == ("tint", "tint", "labels")
        assert client.post("/predict", files=form).json()["answers"] == [record | {"image": "one.png"}]
        (result,) = client.post("/search", files=form, data={"k": "1"}).json()["results"]
        assert result["products"][0]["image"] == hit["image"]
        outputs = [output["name"] for output in client.get("/v2/models/tint").json()["outputs"]]
        assert outputs == ["attr:colour", "attr:colour/confidence", "embedding"]


def test_a_pipeline_finds_that_the_labels_allow_it(tint, tmp_path):
    write_catalog(tint, tmp_path / "table")
    assert "tint" in find_tasks(tmp_path / "table").split("+")
    counts = examine("tint", "", tmp_path / "table", str(tmp_path / "run"))
    assert counts["photos of split train"] > 0


@pytest.mark.slow
def test_it_runs_as_a_dag_of_the_steps_that_there_are(tint, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "src/vitrine", copy / "vitrine", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "vitrine/tasks/tint").mkdir()
    (copy / "vitrine/tasks/tint/__init__.py").write_text(PACKAGE)
    line = '    "tint": "vitrine.tasks.tint:Tint",\n'
    registry = (copy / "vitrine/tasks/__init__.py").read_text()
    (copy / "vitrine/tasks/__init__.py").write_text(registry.replace("TASKS = {", "TASKS = {\n" + line, 1))
    write_catalog(tint, tmp_path / "table")
    (tmp_path / "dag.py").write_text(DAG)
    environment = {**os.environ, "PYTHONPATH": f"{copy}{os.pathsep}{ROOT}"}
    command = [sys.executable, str(tmp_path / "dag.py"), str(tmp_path / "table"), str(tmp_path / "runs")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    champion = Registry(str(tmp_path / "runs/registry")).champion("tint")
    assert champion.metrics["top1"] > 0.9
    (index,) = (tmp_path / "runs/artifacts").glob("tint-*/build-index/index")
    photo = tint.uri(tint.table["image"][0])
    (hit,) = search_photos(index, [photo], k=1)[0]["results"]
    assert colour_of(hit["image"]) == colour_of(photo)
