"""Every figure against a slow loop, and where rankings mislead: ties, unknown labels, photos without annotation."""

import doctest
import itertools
import math

import numpy as np
import pytest

from vitrine.errors import InputError
from vitrine.evaluate import compute_metrics
from vitrine.evaluation import metrics
from vitrine.evaluation.metrics import bootstrap_intervals, f1, macro_topk, recall, topk, true_ranks
from vitrine.predictions import LabelPredictions, PhotoPredictions
from vitrine.tasks.attributes import metrics as attributes
from vitrine.tasks.taxonomy import metrics as taxonomy


def of_target(figure):
    """A figure of ranks as one of predictions."""
    return lambda target, k: figure(true_ranks(target), k)


topk_accuracy, macro_topk_accuracy, recall_at_k, f1_at_k = map(of_target, (topk, macro_topk, recall, f1))


def ask(scores, truth, name="attr:colour", labels=None):
    scores = np.asarray(scores, dtype=np.float32)
    labels = labels or [f"c{i}" for i in range(scores.shape[1])]
    return LabelPredictions(name, labels, scores, scores.max(axis=1), truth)


def answered(task, questions, seconds=2.0):
    photos = len(questions[0].truth)
    return PhotoPredictions(
        task, [f"{i}.jpg" for i in range(photos)], questions, np.zeros((photos, 4), np.float32), seconds
    )


def random_question(photos=60, labels=7, seed=0, levels=4):
    """Few distinct scores, so that many are tied; some photos without labels, some with labels nobody knows."""
    rng = np.random.default_rng(seed)
    names = [f"c{i}" for i in range(labels)]
    truth = [list(rng.choice([*names, "new"], size=rng.integers(0, 4), replace=False)) for _ in range(photos)]
    return ask(rng.integers(0, levels, (photos, labels)), truth, labels=names)


def orders(row):
    """All ways to rank a row whose ties have no order."""
    groups = [[i for i in range(len(row)) if row[i] == value] for value in sorted(set(row.tolist()), reverse=True)]
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield [i for part in parts for i in part]


def by_the_book(question, k):
    """top-k, macro top-k, recall and F1, each averaged over every order that ties leave open."""
    hits, found, labels, photos = [], 0.0, 0, 0
    per_class = {}
    for row, truth in zip(question.scores, question.truth, strict=True):
        if not truth:
            continue
        best = [{question.labels[i] for i in order[:k]} for order in orders(row)]
        hits.append(np.mean([bool(shown & set(truth)) for shown in best]))
        for label in truth:
            share = np.mean([label in shown for shown in best])
            per_class.setdefault(label, []).append(share)
            found += share
        labels += len(truth)
        photos += 1
    answers = photos * min(k, len(question.labels))
    macro = np.mean([np.mean(shares) for shares in per_class.values()])
    return np.mean(hits), macro, found / labels, 2 * found / (answers + labels)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_formula(k, seed):
    question = random_question(photos=40, labels=5, seed=seed)
    got = (f(question, k) for f in (topk_accuracy, macro_topk_accuracy, recall_at_k, f1_at_k))
    assert list(got) == pytest.approx(by_the_book(question, k))


def test_ranks_do_not_depend_on_the_size_of_a_chunk(monkeypatch):
    question = random_question(photos=50)
    whole = topk_accuracy(question, 2)
    monkeypatch.setattr(metrics, "ROWS_AT_ONCE", 7)
    assert topk_accuracy(question, 2) == whole


@pytest.mark.parametrize("k", [1, 3])
def test_scores_that_are_all_equal_give_chance(k):
    question = ask(np.full((50, 10), 0.3), [["c0"]] * 50)
    for metric in (topk_accuracy, macro_topk_accuracy, recall_at_k):
        assert metric(question, k) == pytest.approx(k / 10)


def test_two_true_labels_in_one_tie_have_two_chances():
    assert topk_accuracy(ask(np.zeros((1, 4)), [["c0", "c1"]]), 1) == pytest.approx(0.5)
    assert topk_accuracy(ask(np.zeros((1, 4)), [["c0", "c1"]]), 2) == pytest.approx(1 - 1 / 6)


def test_a_label_that_the_model_does_not_know_is_a_miss():
    question = ask([[0.9, 0.1], [0.9, 0.1]], [["c0"], ["unheard of"]])
    assert topk_accuracy(question, 50) == 0.5
    assert macro_topk_accuracy(question, 1) == 0.5
    assert recall_at_k(question, 50) == 0.5


def test_a_score_that_is_not_a_number_is_a_miss():
    question = ask([[np.nan, 0.1]], [["c0"]])
    assert topk_accuracy(question, 2) == 0.0


def test_macro_weighs_classes_and_not_photos():
    scores = np.tile([0.9, 0.1], (10, 1))
    question = ask(scores, [["c0"]] * 9 + [["c1"]])
    assert topk_accuracy(question, 1) == pytest.approx(0.9)
    assert macro_topk_accuracy(question, 1) == pytest.approx(0.5)


def test_photos_without_annotation_count_nowhere():
    full = ask([[0.9, 0.1], [0.2, 0.8]], [["c0"], ["c0"]])
    padded = ask([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], [["c0"], [], ["c0"]])
    for metric in (topk_accuracy, macro_topk_accuracy, recall_at_k, f1_at_k):
        assert metric(full, 1) == metric(padded, 1)


def test_a_label_named_twice_counts_once():
    assert recall_at_k(ask([[0.9, 0.1]], [["c0", "c0", "c1"]]), 1) == 0.5


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="scores are"):
        topk_accuracy(ask([[0.9, 0.1]], [["c0"], ["c1"]]), 1)


def test_taxonomy_keys():
    levels = [ask(np.eye(3), [["c0"], ["c1"], ["c2"]], name=f"level{i}") for i in (1, 2)]
    colour = ask(np.eye(3), [["c0"], [], ["c0"]])
    never = ask(np.eye(3), [[], [], []], name="attr:never")
    got = compute_metrics(answered("taxonomy", [*levels, colour, never]))
    four = ["top1", "top5", "macro_top1", "macro_top5"]
    want = {*four, *(f"level{i}/{key}" for i in (1, 2) for key in four), "attr:colour/top1"}
    counts = {"count", "level1/count", "level2/count", "attr:colour/count"}
    assert set(got) == want | counts | {"seconds_per_1000_images"}
    assert all(type(value) is float for value in got.values())
    assert got["attr:colour/top1"] == 0.5
    assert (got["count"], got["level1/count"], got["attr:colour/count"]) == (3, 3, 2)
    assert got["seconds_per_1000_images"] == pytest.approx(2000 / 3)


def test_the_headline_is_about_the_deepest_level_that_is_annotated():
    shallow = ask(np.eye(2), [["c0"], ["c1"]], name="level1")
    deep = ask(np.eye(2), [["c1"], []], name="level2")
    assert compute_metrics(answered("taxonomy", [shallow, deep]))["top1"] == 0.0
    unknown = ask(np.eye(2), [[], []], name="level2")
    assert compute_metrics(answered("taxonomy", [shallow, unknown]))["top1"] == 1.0


def test_attribute_keys_and_means_over_types():
    colour = ask(np.eye(4), [["c0"], ["c1"], ["c2"], ["c0"]], name="attr:colour")
    sleeve = ask(np.eye(4), [["c1"], [], [], []], name="attr:sleeve")
    got = compute_metrics(answered("attributes", [colour, sleeve]))
    keys = [f"{metric}@{k}" for metric in ("recall", "f1") for k in (1, 3, 5)]
    want = {*keys, *(f"attr:{kind}/{key}" for kind in ("colour", "sleeve") for key in keys)}
    assert set(got) == want | {"count", "attr:colour/count", "attr:sleeve/count", "seconds_per_1000_images"}
    assert (got["count"], got["attr:colour/count"], got["attr:sleeve/count"]) == (4, 4, 1)
    for key in keys:
        assert got[key] == pytest.approx((got[f"attr:colour/{key}"] + got[f"attr:sleeve/{key}"]) / 2)
    assert got["attr:colour/recall@1"] == 0.75


def test_nothing_measurable_is_refused():
    with pytest.raises(InputError, match="none of 2 photos is annotated for attr:colour"):
        compute_metrics(answered("attributes", [ask(np.eye(2), [[], []])]))
    with pytest.raises(InputError, match="task 'pricing': unknown"):
        compute_metrics(answered("pricing", [ask(np.eye(2), [["c0"], []])]))


@pytest.mark.slow
def test_intervals_cover_the_truth_about_as_often_as_they_say():
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        right = rng.random(200) < 0.7
        scores = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
        outcome = answered("taxonomy", [ask(scores, [["c0"]] * 200, name="level1")])
        low, high = bootstrap_intervals(outcome, taxonomy.measure, np.arange(200), draws=100, seed=seed)["top1"]
        covered += low <= 0.7 <= high
    assert 51 <= covered <= 60


@pytest.mark.slow
def test_photos_of_one_product_are_no_independent_trials():
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        right = np.repeat(rng.random(40) < 0.5, 5)  # 40 products of 5 photos that are answered alike
        scores = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
        outcome = answered("taxonomy", [ask(scores, [["c0"]] * 200, name="level1")])
        products = np.repeat(np.arange(40), 5)
        low, high = bootstrap_intervals(outcome, taxonomy.measure, products, draws=100, seed=seed)["top1"]
        covered += low <= 0.5 <= high
    assert 51 <= covered <= 60


def test_intervals_are_the_same_for_the_same_seed_and_hold_no_counts():
    outcome = answered("attributes", [random_question()])
    units = np.arange(len(outcome.images))
    first, again = (bootstrap_intervals(outcome, attributes.measure, units, draws=20, seed=3) for _ in range(2))
    assert first == again
    assert set(first) == set(compute_metrics(outcome)) - {"count", "attr:colour/count", "seconds_per_1000_images"}
    assert all(math.isfinite(bound) for bounds in first.values() for bound in bounds)


def test_examples_in_the_docstrings():
    assert doctest.testmod(metrics).failed == 0
    assert doctest.testmod(metrics).attempted > 8
