"""An evaluation folder holds the figures, a page, and answers that later pages show; it appears whole or not at all."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vitrine.catalog import Catalog
from vitrine.errors import InputError
from vitrine.evaluate import EXAMPLE_PHOTOS, evaluate
from vitrine.evaluation.metrics import label_metrics
from vitrine.evaluation.report import label_examples
from vitrine.predictions import LabelPredictions, PhotoPredictions
from vitrine.tasks.taxonomy import Taxonomy
from vitrine.tasks.taxonomy.metrics import measure

LEAVES = ["A/<b>Bags", "A/Caps"]
COLOURS = ["blue", "red"]


def catalog_of(folder, photos=20, photo=True):
    (folder / "images").mkdir()
    names = [f"images/{i:02}.png" for i in range(photos)]
    for i, name in enumerate(names if photo else ()):
        Image.new("RGB", (20, 10), (10 * i, 0, 0)).save(folder / name)
    return Catalog(str(folder), pd.DataFrame({"image": names, "split": ["train", "test"] * (photos // 2)}), "v-1")


def outcome_of(catalog, wrong=(), unlabelled=()):
    """Leaves and colours alternate; the answers about the rows `wrong` are wrong, `unlabelled` rows have no truth."""
    rows = range(len(catalog))

    def question(name, labels):
        scores = np.array([[i % 2 == label for label in (0, 1)] for i in rows], np.float32)
        scores[list(wrong)] = scores[list(wrong)][:, ::-1]
        truth = [[] if i in unlabelled else [labels[i % 2]] for i in rows]
        return LabelPredictions(name, labels, scores, np.full(len(scores), 0.9, np.float32), truth)

    asked = [question("level1", ["A", "B"]), question("level2", LEAVES), question("attr:colour", COLOURS)]
    embeddings = np.random.default_rng(0).normal(size=(len(catalog), 3)).astype(np.float32)
    return PhotoPredictions("taxonomy", catalog.table["image"].tolist(), asked, embeddings, 0.5)


@pytest.fixture
def answered(monkeypatch):
    """What the model was asked about."""
    calls = []

    class Answering(Taxonomy):
        def load(self, folder):
            return None, {"task": "taxonomy"}

        def predict(self, net, config, catalog, **_):
            calls.append(catalog.table["split"].unique().tolist())
            return outcome_of(catalog, wrong=[0, 1, 2])

    monkeypatch.setattr("vitrine.tasks.of_model", lambda _: Answering())
    return calls


def unannotated(predictions):
    targets = [replace(target, truth=[[]] * len(target.truth)) for target in predictions.targets]
    return replace(predictions, targets=targets)


def test_the_folder_of_an_evaluation(tmp_path, answered):
    catalog = catalog_of(tmp_path)
    metrics = evaluate(tmp_path / "model", catalog, tmp_path / "out")
    assert answered == [["test"]]
    assert metrics["count"] == 10
    assert metrics["top1"] == pytest.approx(0.7)
    assert metrics["seconds_per_1000_images"] == pytest.approx(50)
    folder = tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == [
        "confusion.json",
        "examples.json",
        "metrics.json",
        "report.html",
        "samples.npz",
    ]
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert "<b>Bags" not in (folder / "report.html").read_text()
    confusion = json.loads((folder / "confusion.json").read_text())
    assert len(confusion["matrix"]) == len(confusion["categories"])
    assert sum(map(sum, confusion["matrix"])) == 10
    evaluate(tmp_path / "model", catalog, tmp_path / "train", "train")
    assert answered == [["test"], ["train"]]


def test_nothing_is_left_of_what_cannot_be_measured(tmp_path, answered, monkeypatch):
    catalog = catalog_of(tmp_path)
    with pytest.raises(InputError, match="no row has split 'validation'"):
        evaluate(tmp_path / "model", catalog, tmp_path / "out", "validation")
    with pytest.raises(InputError, match="no row has split 'test'"):
        evaluate(tmp_path / "model", catalog.with_table(catalog.table[["image"]]), tmp_path / "out")
    monkeypatch.setattr(Taxonomy, "metrics", lambda _, predictions: label_metrics(unannotated(predictions), measure))
    with pytest.raises(InputError, match="annotated"):
        evaluate(tmp_path / "model", catalog, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


def test_examples_say_what_was_answered_and_what_is_true(tmp_path):
    catalog = catalog_of(tmp_path, photos=4)
    found = label_examples(outcome_of(catalog, wrong=[1], unlabelled=[3]), catalog, EXAMPLE_PHOTOS)
    assert [example["tone"] for example in found] == ["good", "bad", "good"]
    assert found[0]["caption"] == ["✓ <b>Bags"]  # no attributes: another net answers them better
    assert found[1]["caption"] == ["✗ <b>Bags (is Caps)"]
    assert all(example["thumbnail"].startswith("data:image/") for example in found)
    colours = outcome_of(catalog, wrong=[1])
    colours = replace(colours, targets=colours.targets[2:])
    assert label_examples(colours, catalog, EXAMPLE_PHOTOS)[1]["caption"] == ["✗ blue (is red)"]


def test_examples_are_few_and_the_same_again(tmp_path):
    catalog = catalog_of(tmp_path, photos=30)
    outcome = outcome_of(catalog)
    assert len(label_examples(outcome, catalog, EXAMPLE_PHOTOS)) == EXAMPLE_PHOTOS
    assert label_examples(outcome, catalog, EXAMPLE_PHOTOS) == label_examples(outcome, catalog, EXAMPLE_PHOTOS)
    assert label_examples(outcome, catalog, EXAMPLE_PHOTOS, seed=1) != label_examples(outcome, catalog, EXAMPLE_PHOTOS)


def test_a_photo_that_is_gone_is_shown_as_gone(tmp_path):
    catalog = catalog_of(tmp_path, photos=2, photo=False)
    assert [example["thumbnail"] for example in label_examples(outcome_of(catalog), catalog, EXAMPLE_PHOTOS)] == [
        None,
        None,
    ]


def test_a_catalog_of_other_labels_is_refused(tmp_path, monkeypatch):
    """Half of another shop's tree is a figure; all of it is a mistake of the caller."""
    catalog = catalog_of(tmp_path)

    class Answering(Taxonomy):
        foreign = 1.0

        def load(self, folder):
            return None, {"task": "taxonomy"}

        def predict(self, net, config, catalog, **_):
            predictions = outcome_of(catalog)
            first = int(self.foreign * len(catalog))
            targets = [
                replace(
                    target,
                    truth=[[f"X{label}" for label in own] for own in target.truth[:first]] + target.truth[first:],
                )
                for target in predictions.targets
            ]
            return replace(predictions, targets=targets)

    monkeypatch.setattr("vitrine.tasks.of_model", lambda _: Answering())
    with pytest.raises(InputError, match=r"has no label that the model knows: level1 is XA \.\.\., the model's A, B"):
        evaluate(tmp_path / "model", catalog, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(Answering, "foreign", 0.5)
    assert evaluate(tmp_path / "model", catalog, tmp_path / "out")["top1"] == pytest.approx(0.5)
