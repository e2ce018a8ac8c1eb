"""The answers behind a figure, and intervals of differences over them."""

import numpy as np
import pandas as pd
import pytest

from vitrine import tasks
from vitrine.errors import InputError
from vitrine.evaluation.constant import constant_labels, constant_order
from vitrine.evaluation.sample import Hits, Sample, difference, read_samples, units_of, write_samples
from vitrine.predictions import LabelPredictions, PhotoPredictions, RetrievalPredictions
from vitrine.tasks.matching.report import matching_metrics
from vitrine.tasks.representation.report import representation_metrics


def sample(hits, units=None, counted="photos"):
    hits = np.asarray(hits, float)
    units = np.arange(len(hits)) if units is None else np.asarray(units)
    return Sample(counted, int(units.max()) + 1, {"search": Hits(units, np.zeros(len(hits), int), hits)})


def test_the_interval_is_that_of_the_paired_differences():
    """Against the normal approximation: the difference of paired means has the variance of the differences over n."""
    random = np.random.default_rng(1)
    one, other = (random.random((2, 400)) < [[0.7], [0.6]]).astype(float)
    found = difference(sample(one), sample(other))
    gains = one - other
    half = 1.96 * gains.std() / np.sqrt(400)
    assert found.difference == pytest.approx(gains.mean())
    assert (found.low, found.high) == pytest.approx((gains.mean() - half, gains.mean() + half), abs=0.01)
    assert found.words().startswith(f"{100 * gains.mean():+.1f} points, 95 % between ")
    assert found.words().endswith(", 400 photos")


def test_pairing_tells_what_unpaired_samples_could_not():
    """The better model is right wherever the other is, and on 12 photos more of 200 that are half hard, half easy."""
    other = np.array([1.0] * 100 + [0.0] * 100)
    one = other.copy()
    one[100:112] = 1
    found = difference(sample(one), sample(other))
    assert found.low > 0.02  # unpaired: 6 points within +-9.8
    assert found.clear


def test_photos_of_one_product_are_one_trial():
    """Four hundred photos of four products answer no more than four products do, and of four nothing can be told."""
    gains = np.repeat([1.0, 1.0, 0.0, 1.0], 100)
    units = np.repeat(np.arange(4), 100)
    found = difference(sample(gains, units, "products"), sample(np.zeros(400), units, "products"))
    assert (found.low, found.high, found.count) == (-1, 1, 4)
    assert not found.clear
    tens = np.repeat(np.arange(40), 10)
    wide = difference(sample(gains, tens), sample(np.zeros(400), tens))
    narrow = difference(sample(gains), sample(np.zeros(400)))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_what_the_models_were_not_asked_alike_is_not_compared():
    assert difference(sample([1, 0, 1, 1, 1]), sample([1, 0, 1, 1])) is None
    deep, flat = sample([1] * 9), sample([0] * 9)
    deeper = Sample("photos", 9, {"level1": deep.targets["search"], "level2": flat.targets["search"]})
    shallow = Sample("photos", 9, {"level1": flat.targets["search"]})
    assert difference(deeper, shallow).difference == 1  # of the deepest level that both know


def test_rows_are_drawn_by_product_then_listing_then_photo():
    table = pd.DataFrame({"image": list("abcd"), "product": ["p", "p", "q", ""], "listing": ["l", "m", "m", "m"]})
    counted, units = units_of(table)
    assert (counted, units.tolist()) == ("products", [0, 0, 1, 2])
    counted, units = units_of(table.assign(product=["p", "", "", ""]))
    assert (counted, units.tolist()) == ("listings", [0, 1, 1, 1])
    assert units_of(table[["image"]])[0] == "photos"


def test_samples_are_kept_and_read(tmp_path):
    kept = {"own": sample([1, 0, 0.5], [0, 1, 1], "listings")}
    write_samples(tmp_path / "samples.npz", kept)
    found = read_samples(tmp_path / "samples.npz")["own"]
    assert (found.counted, found.units) == ("listings", 2)
    assert found.targets["search"].hit.tolist() == [1, 0, 0.5]
    assert read_samples(tmp_path / "none.npz") == {}
    (tmp_path / "samples.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read_samples(tmp_path / "samples.npz")


def labels(truth, name="level1", known=("a", "b", "c")):
    scores = np.tile([0.1, 0.2, 0.7], (len(truth), 1))
    return LabelPredictions(
        name, list(known), scores, scores.max(axis=1), [[label] if label else [] for label in truth]
    )


def test_the_constant_answer_is_the_commonest_label():
    truth = ["a"] * 6 + ["b"] * 3 + ["c"] + [""] * 5
    (blind,) = constant_labels([labels(truth)])
    taxonomy = tasks.get("taxonomy")
    predictions = PhotoPredictions("taxonomy", [str(n) for n in range(15)], [blind], np.zeros((15, 1)), 1.0)
    found = taxonomy.metrics(predictions)
    assert (found["top1"], found["macro_top1"]) == (0.6, pytest.approx(1 / 3))
    (answers,) = taxonomy.hits(predictions).values()
    assert answers.figure() == found["macro_top1"]


def test_the_figures_of_samples_are_those_that_decide():
    random = np.random.default_rng(0)
    truth = [str(label) for label in random.choice(["a", "b", "c", ""], 60)]
    own = [labels(truth, name) for name in ("attr:x", "attr:y")]
    for target in own:
        target.scores[:] = random.random(target.scores.shape)
    images = [str(n) for n in range(60)]
    attributes = tasks.get("attributes")
    predictions = PhotoPredictions("attributes", images, own, np.zeros((60, 1)), 1.0)
    figures = [answers.figure() for answers in attributes.hits(predictions).values()]
    assert np.mean(figures) == pytest.approx(attributes.metrics(predictions)["recall@1"])


def test_a_random_order_is_chance():
    """One of ten shop photos is right: of twenty shown all are, of one a tenth."""
    features = np.random.default_rng(0).random((20, 3), np.float32)
    shown = [f"p{n % 10}" for n in range(20)]
    matching = RetrievalPredictions(
        "matching", shown, [], features, 1.0, paths=[""] * 20, product_ids=shown, domains=["user"] * 10 + ["shop"] * 10
    )
    found = matching_metrics(constant_order(matching))
    assert found["top1"] == pytest.approx(0.1)
    assert found["top20"] == 1
    paths = ["A"] * 5 + ["B"] * 5
    alike = RetrievalPredictions("representation", shown[:10], [], features[:10], 1.0, paths=paths)
    assert representation_metrics(constant_order(alike))["recall@1"] == pytest.approx(4 / 9)
