"""The page holds what it promises, and shows a catalog's text as text."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vitrine import tasks
from vitrine.catalog import Catalog
from vitrine.evaluate import compute_metrics
from vitrine.evaluation.calibration import calibration_error
from vitrine.evaluation.report import classification_artifacts, label_page, top1_predictions
from vitrine.predictions import LabelPredictions, PhotoPredictions
from vitrine.tasks.attributes import metrics as attributes
from vitrine.tasks.taxonomy import metrics as taxonomy

PHOTOS = 40
HOSTILE = "<script>alert(1)</script>"


def question(name, labels, truth, right=0.8, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.random((len(truth), len(labels))).astype(np.float32)
    for i, names in enumerate(truth):
        if names and names[0] in labels and rng.random() < right:
            scores[i, labels.index(names[0])] += 3
    odds = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return LabelPredictions(name, labels, odds, odds.max(axis=1), truth)


@pytest.fixture
def answered(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    images = [f"images/{i}.jpg" for i in range(PHOTOS)]
    for image in images[:-1]:  # the last one is missing
        Image.fromarray(rng.integers(0, 255, (24, 20, 3), dtype=np.uint8)).save(tmp_path / image)
    roots, leaves = ["a", "b"], [f"a/{HOSTILE}", "a/2", "b/1", "b/2"]
    truth = [leaves[i % 4] for i in range(PHOTOS)]
    questions = [
        question("level1", roots, [[name[0]] for name in truth]),
        question("level2", leaves, [[name] for name in truth]),
        question("attr:colour", ["red $", "blue $x_$"], [["red $", "new"], [], ["blue $x_$"], ["new"]] * (PHOTOS // 4)),
    ]
    embeddings = rng.normal(size=(PHOTOS, 60)).astype(np.float32)
    catalog = Catalog(str(tmp_path), pd.DataFrame({"image": images}), "v-3")
    return PhotoPredictions("taxonomy", images, questions, embeddings, 1.0), catalog


def write(predictions, catalog, path, champion=None):
    task = tasks.get(predictions.task)
    measure = {"taxonomy": taxonomy.measure, "attributes": attributes.measure}[task.name]
    found = compute_metrics(predictions)
    label_page(predictions, catalog, found, "Evaluation", task.headlines, measure, champion=champion).write(path)


def test_the_page_shows_figures_mistakes_and_the_model_in_use(answered, tmp_path):
    outcome, catalog = answered
    metrics = compute_metrics(outcome)
    champion = {key: value - 0.1 for key, value in metrics.items()}
    champion["attr:size/top1"] = 0.4
    write(outcome, catalog, tmp_path / "report.html", champion)
    page = (tmp_path / "report.html").read_text()
    assert "macro_top1: +10.0 points against the model in use" in page
    assert "attr:size/top1 (only the model in use)" in page
    assert "new (unknown to the model)" in page
    assert "data v-3" in page
    assert page.count('class="plot"') == 5  # three confusion matrices, calibration, embeddings
    assert "true: " in page
    assert HOSTILE not in page
    assert "script&gt;" in page


@pytest.mark.slow
def test_the_page_is_the_same_every_time(answered, tmp_path):
    outcome, catalog = answered
    for name in ("one.html", "two.html"):
        write(outcome, catalog, tmp_path / name)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


@pytest.mark.parametrize("embedding", [0.0, np.nan])
def test_collapsed_embeddings_are_said_and_not_drawn(answered, tmp_path, embedding):
    outcome, catalog = answered
    flat = PhotoPredictions(
        "taxonomy", outcome.images, outcome.targets, np.full((PHOTOS, 8), embedding, np.float32), 1.0
    )
    write(flat, catalog, tmp_path / "report.html")
    assert "Not shown" in (tmp_path / "report.html").read_text()


def test_one_photo_is_enough(answered, tmp_path):
    outcome, catalog = answered
    one = [LabelPredictions(q.name, q.labels, q.scores[:1], q.confidence[:1], q.truth[:1]) for q in outcome.targets]
    single = PhotoPredictions("attributes", outcome.images[:1], one[2:], outcome.embeddings[:1], 1.0)
    write(single, catalog, tmp_path / "report.html")
    assert "1 annotated photos" in (tmp_path / "report.html").read_text()


def test_calibration_error_by_hand():
    """Two bins: 2 photos at 0.95 of which 1 is right, 2 at 0.55 of which 2 are: 0.5 * 0.45 + 0.5 * 0.45."""
    confidence = np.array([0.95, 0.95, 0.55, 0.55], dtype=np.float32)
    scores = np.tile(np.array([[0.9, 0.1]], dtype=np.float32), (4, 1))
    asked = LabelPredictions("level1", ["a", "b"], scores, confidence, [["a"], ["b"], ["a"], ["a"]])
    best = top1_predictions(asked)
    assert calibration_error(best.confidence, best.right) == pytest.approx(0.45, abs=1e-6)


def test_the_confusion_matrix_counts_every_annotated_photo(answered):
    outcome, _ = answered
    got = classification_artifacts(outcome)
    assert got["question"] == "level1"
    assert got["categories"] == ["a", "b"]
    answers = top1_predictions(outcome.targets[0])
    want = [[int(((answers.truth == t) & (answers.predicted == p)).sum()) for p in "ab"] for t in "ab"]
    assert got["matrix"] == want


def test_many_labels_are_counted_as_other():
    labels = [f"c{i:02d}" for i in range(60)]
    truth = [[label] for i, label in enumerate(labels) for _ in range(i + 1)]
    asked = question("attr:style", labels, truth, right=1.0)
    outcome = PhotoPredictions(
        "attributes", [str(i) for i in range(len(truth))], [asked], np.zeros((len(truth), 2)), 1.0
    )
    got = classification_artifacts(outcome)
    assert len(got["categories"]) == 40
    assert got["categories"][-1] == "other"
    assert "c59" in got["categories"]
    assert "c00" not in got["categories"]
    assert np.array(got["matrix"]).sum() == len(truth)


def test_a_right_answer_among_several_true_labels_is_right():
    scores = np.array([[0.1, 0.9]], dtype=np.float32)
    answers = top1_predictions(
        LabelPredictions("attr:colour", ["red", "blue"], scores, scores.max(axis=1), [["red", "blue"]])
    )
    assert answers.right.all()
    assert answers.truth.tolist() == ["blue"]


def test_without_an_annotated_photo_there_is_nothing_to_confuse():
    scores = np.ones((1, 2), dtype=np.float32)
    asked = LabelPredictions("level1", ["a", "b"], scores, scores.max(axis=1), [[]])
    found = classification_artifacts(PhotoPredictions("taxonomy", ["x"], [asked], np.zeros((1, 2)), 1.0))
    assert (found["question"], found["categories"], found["matrix"]) == ("", [], [])
