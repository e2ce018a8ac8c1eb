"""A task that nobody has heard of: one package and one line of the registry, and everything works with it."""

import json
import sys
import textwrap

import pytest
from toys import toy_catalog

from vitrine import steps, tasks
from vitrine.catalog import read_catalog
from vitrine.evaluate import evaluate
from vitrine.predict import predict
from vitrine.registry.store import Registry, figure
from vitrine.train import train
from vitrine.visual_search import make_index, search_photos

PACKAGE = '''
"""How bright is a photo: lighter or darker than most of those it was trained on."""

import re
import time

from vitrine.settings import Settings
from vitrine.tasks.labels import LabelTask
from vitrine.tasks.task import ModelConfig


class BrightnessConfig(ModelConfig):
    """What config.json says."""

    threshold: float


class Brightness(LabelTask):
    """Light or dark."""

    name = "brightness"
    title = "Brightness"
    variants = ("mean",)
    default = "mean"
    decides = "top1"
    guarded = re.compile(r"level1/macro_top1")
    headlines = ("top1",)
    config = BrightnessConfig

    def settings(self, variant):
        return Settings

    def labels_allow(self, catalog):
        return True

    def fit(self, catalog, variant, out, settings, folder):
        from vitrine.model import save_model

        rows = catalog.of_split("train")
        net = self.build({})
        config = {"task": self.name, "variant": variant, "backbone": "none", "image_size": settings.image_size or 32}
        levels = self._means(net, self.photos(config, rows))
        whole = config | {"threshold": float(sorted(levels)[len(levels) // 2]), "data_version": rows.data_version}
        save_model(out, net, whole, {"validation/top1": 1.0})

    def build(self, config):
        import torch
        from torch import nn

        class Mean(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.ones(1))

            def forward(self, photos):
                return photos.mean(dim=(2, 3)) * self.scale, {}

        return Mean()

    def predictions(self, config, table, features, scores, seconds):
        from vitrine.predictions import PhotoPredictions

        targets = self.label_predictions(config, {"features": features}, table)
        return PhotoPredictions(self.name, table["image"].tolist(), targets, features, seconds)

    def label_predictions(self, config, scores, table):
        import numpy as np

        from vitrine.predictions import LabelPredictions

        features = scores.get("features")
        if features is None:
            return []
        light = 1 / (1 + np.exp(config["threshold"] - features.mean(axis=1)))
        values = np.stack([1 - light, light], axis=1)
        truth = [["light" if value > config["threshold"] else "dark"] for value in features.mean(axis=1)]
        return [LabelPredictions("level1", ["dark", "light"], values, values.max(axis=1), truth)]

    def metrics(self, predictions):
        from vitrine.evaluation.metrics import label_metrics

        return label_metrics(predictions, _measure)

    def answers(self, predictions):
        from vitrine.evaluation.metrics import true_ranks
        from vitrine.evaluation.sample import Answers

        return {own.name: Answers.of_ranks(true_ranks(own), 1, by_class=True) for own in predictions.targets}

    def baseline(self, frozen, config, catalog, rows):
        return "there is none"

    def page(self, predictions, rows, metrics, config, title, compared=()):
        from vitrine.evaluation.report import label_page

        return label_page(predictions, rows, metrics, title, self.headlines, _measure)

    def _means(self, net, store):
        import numpy as np

        from vitrine.inference import run_net

        return run_net(net, store, np.arange(len(store)))[0].mean(axis=1)


def _measure(ranks, weights):
    from vitrine.evaluation.metrics import macro_topk, topk

    return {
        "top1": topk(ranks["level1"], 1, weights),
        "level1/macro_top1": macro_topk(ranks["level1"], 1, weights),
    }
'''


@pytest.fixture
def brightness(tmp_path, monkeypatch):
    (tmp_path / "brightness_task").mkdir()
    (tmp_path / "brightness_task/__init__.py").write_text(textwrap.dedent(PACKAGE))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(tasks.TASKS, "brightness", "brightness_task:Brightness")
    toys = toy_catalog(tmp_path / "toys", photos=48, size=16)
    toys.table.assign(split=["train"] * 12 + ["test"] * 12 + ["train"] * 24).to_csv(
        tmp_path / "toys/catalog.csv", index=False
    )
    yield read_catalog(tmp_path / "toys")
    sys.modules.pop("brightness_task", None)


def test_it_trains_evaluates_gates_promotes_indexes_and_is_watched(brightness, tmp_path, capsys):
    table, run = tmp_path / "toys", str(tmp_path / "run")
    registry = str(tmp_path / "registry")
    model = train("brightness", "", brightness, tmp_path / "model", ["image_size=16"])
    metrics = evaluate(model, brightness, tmp_path / "evaluation")
    assert metrics["top1"] == metrics["level1/macro_top1"] == 1.0
    assert (tmp_path / "evaluation/report.html").stat().st_size > 1000
    assert predict(model, [brightness.uri(brightness.table["image"][0])]) == [
        {"image": brightness.uri(brightness.table["image"][0])}
    ]

    said = steps.compare(
        "brightness", model, tmp_path / "evaluation", table, registry, tmp_path / "decision", 0.0, 0.05
    )
    assert said == "promote"
    steps.drift_reference(model, table, tmp_path / "reference")
    steps.promote(
        "brightness", model, tmp_path / "evaluation", tmp_path / "decision", tmp_path / "reference", registry, run
    )
    champion = Registry(registry).champion("brightness")
    assert figure(champion) == "top1 1.000"
    again = steps.compare("brightness", model, tmp_path / "evaluation", table, registry, tmp_path / "again", 0.0, 0.05)
    assert again == "refuse"
    assert (
        "the candidate is the champion itself" in json.loads((tmp_path / "again/decision.json").read_text())["reason"]
    )

    assert make_index(model, brightness, tmp_path / "index") == len(brightness)
    image = brightness.uri(brightness.table["image"][0])
    assert search_photos(tmp_path / "index", [image], k=1)[0]["results"][0]["image"] == brightness.table["image"][0]
    drifted, _ = steps.detect_drift(table, registry, "brightness", str(tmp_path), "run-2", tmp_path / "drift")
    assert drifted == "no drift"


def test_a_pipeline_finds_that_the_labels_allow_it(brightness, tmp_path):
    assert "brightness" in steps.find_tasks(tmp_path / "toys").split("+")


def test_examine_says_what_there_is_to_learn(brightness, tmp_path):
    counts = steps.examine("brightness", "", tmp_path / "toys", str(tmp_path / "run"))
    assert counts["photos of split train"] > 0
