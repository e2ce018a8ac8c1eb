"""A candidate meets the champion on the same photos; what was decided and why can be read, and nothing is promoted."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vitrine import files, tasks
from vitrine.catalog import Catalog
from vitrine.errors import InputError
from vitrine.evaluate import compute_metrics
from vitrine.evaluation import SAMPLES
from vitrine.evaluation.sample import write_samples
from vitrine.predictions import LabelPredictions, PhotoPredictions
from vitrine.registry import Registry
from vitrine.registry.challenge import DECISION, challenge

LEAVES = ["a", "b", "c", "<i>d</i>"]
PHOTOS = 40


@pytest.fixture
def catalog(tmp_path):
    """Forty test photos, and one of another split that nobody may be measured on."""
    rows = {"image": [f"{i}.png" for i in range(PHOTOS + 1)], "split": ["test"] * PHOTOS + ["train"]}
    return Catalog(str(tmp_path), pd.DataFrame(rows), "v-1")


@pytest.fixture
def model(tmp_path):
    """Makes a model folder that answers `right` photos of forty rightly."""

    def build(right, task="taxonomy"):
        folder, config = tmp_path / f"{task} {right}", {"variant": "v", "backbone": "b", "image_size": 8}
        folder.mkdir()
        for name in ("model.safetensors", "metrics.json", "card.md"):
            (folder / name).write_text(str(right))
        (folder / "config.json").write_text(json.dumps(config | {"task": task, "right": right}))
        return folder

    return build


def answer(model, catalog):
    """What `Model.predict` gives, without a net."""
    right = files.read_json(model / "config.json")["right"]
    truth = [LEAVES[i % 4] for i in range(len(catalog))]
    scores = np.zeros((len(truth), 4), np.float32)
    for i in range(len(truth)):
        scores[i, (i + (i >= right)) % 4] = 1
    asked = LabelPredictions("level1", LEAVES, scores, scores.max(axis=1), [[label] for label in truth])
    return PhotoPredictions(
        "taxonomy", catalog.table["image"].tolist(), [asked], np.zeros((len(truth), 2), np.float32), 1.0
    )


@pytest.fixture
def asked(monkeypatch):
    """The models that were asked, and about how many photos."""
    calls = []

    def measure(model, catalog, split):
        rows = catalog.of_split(split)
        calls.append((files.read_json(model / "config.json")["right"], len(rows)))
        answers = answer(model, rows)
        return compute_metrics(answers), tasks.get("taxonomy").sample(answers, rows)

    monkeypatch.setattr("vitrine.evaluate.measure", measure)
    return calls


@pytest.fixture
def evaluated(catalog, tmp_path):
    def build(model):
        out = tmp_path / f"evaluation of {model.name}"
        out.mkdir()
        rows = catalog.of_split("test")
        answers, task = answer(model, rows), tasks.get("taxonomy")
        blind = task.constant(answers)
        files.write_json(
            out / "metrics.json",
            compute_metrics(answers) | {f"constant/{key}": value for key, value in compute_metrics(blind).items()},
        )
        write_samples(out / SAMPLES, {"own": task.sample(answers, rows), "constant": task.sample(blind, rows)})
        return out

    return build


def promote(root, model, metrics):
    return Registry(root).promote("taxonomy", model, metrics, "Promoted: for a test.")


def test_the_first_model_is_promoted_without_asking_another(root, catalog, model, evaluated, asked, tmp_path):
    candidate = model(30)
    decision = challenge(candidate, evaluated(candidate), catalog, Registry(root), tmp_path / "out")
    assert decision.promote
    assert asked == []
    written = files.read_json(tmp_path / "out" / DECISION)
    assert written["champion"] is None
    assert written["champion_version"] is None
    assert (written["task"], written["promote"], written["reason"]) == ("taxonomy", True, decision.reason)
    assert "There was no champion yet" in (tmp_path / "out" / "report.html").read_text()
    assert Registry(root).champion("taxonomy") is None  # deciding promotes nothing
    assert Registry(root).history("taxonomy") == []


def test_what_a_refused_model_was_compared_with_is_named(root, catalog, model, evaluated, asked, tmp_path):
    candidate = model(0)  # no better than a constant answer, and there is no champion
    decision = challenge(candidate, evaluated(candidate), catalog, Registry(root), tmp_path / "out")
    assert not decision.promote
    (compared,) = files.read_json(tmp_path / "out" / DECISION)["comparisons"]
    assert (compared["key"], compared["champion"], compared["against"]) == ("macro_top1", None, "constant model")
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"constant model {compared['baseline']:.4f}" in page
    assert ">constant model</th>" in page


@pytest.mark.parametrize(
    ("right", "promoted", "word"), [(36, True, "Promoted"), (30, False, "tie"), (20, False, "worse")]
)
def test_the_champion_is_measured_anew_on_the_same_photos(
    root, catalog, model, evaluated, asked, tmp_path, right, promoted, word
):
    champion = model(30.0)  # equal figures, another model
    version = promote(root, champion, {"macro_top1": 0.99, "count": 3}).version  # its old figures say nothing
    candidate = model(right)
    decision = challenge(candidate, evaluated(candidate), catalog, Registry(root), tmp_path / "out")
    assert asked == [(30.0, PHOTOS)]
    assert decision.promote is promoted
    assert word in decision.reason
    assert "0.7500" in decision.reason
    written = files.read_json(tmp_path / "out" / DECISION)
    assert written["champion_version"] == version
    assert written["champion"]["macro_top1"] == pytest.approx(0.75)
    page = (tmp_path / "out" / "report.html").read_text()
    assert version in page
    assert decision.reason in page
    assert Registry(root).champion("taxonomy").version == version


def test_a_gain_that_is_too_small_or_bought_dearly(root, catalog, model, evaluated, asked, tmp_path):
    promote(root, model(30), {})
    candidate = model(32)
    arguments = candidate, evaluated(candidate), catalog, Registry(root)
    assert challenge(*arguments, tmp_path / "a").promote
    assert "more than 0.1 is asked for" in challenge(*arguments, tmp_path / "b", min_gain=0.1).reason
    assert "below the floor" in challenge(*arguments, tmp_path / "c", floor=0.9).reason


def test_the_champion_itself_is_refused_without_asking_it(root, catalog, model, evaluated, asked, tmp_path):
    champion = model(30)
    promote(root, champion, {})
    decision = challenge(champion, evaluated(champion), catalog, Registry(root), tmp_path / "out")
    assert not decision.promote
    assert "the candidate is the champion itself" in decision.reason
    assert asked == []


def test_an_evaluation_on_other_photos_does_not_count(root, catalog, model, evaluated, asked, tmp_path):
    promote(root, model(30), {})
    candidate = model(36)
    evaluation = evaluated(candidate)
    fewer = replace(catalog, table=catalog.table[:20])
    decision = challenge(candidate, evaluation, fewer, Registry(root), tmp_path / "out")
    assert not decision.promote
    assert "different test sets (40 photos for the candidate, 20 photos for the champion)" in decision.reason


def test_unusable_input_leaves_nothing(root, catalog, model, evaluated, asked, tmp_path):
    candidate = model(36)
    evaluation = evaluated(candidate)
    with pytest.raises(InputError, match=r"metrics\.json: no such file"):
        challenge(candidate, candidate.parent, catalog, Registry(root), tmp_path / "out")
    with pytest.raises(InputError, match=r"not a model folder"):
        challenge(evaluation, evaluation, catalog, Registry(root), tmp_path / "out")
    with pytest.raises(InputError, match="min_gain must lie between 0 and 1"):
        challenge(candidate, evaluation, catalog, Registry(root), tmp_path / "out", min_gain=-1)
    champion = promote(root, model(30), {})
    files.write_bytes(files.join(champion.model, "model.safetensors"), b"other weights")
    with pytest.raises(InputError, match="not the promoted"):
        challenge(candidate, evaluation, catalog, Registry(root), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_constant_answer_is_refused_with_the_interval(root, catalog, model, evaluated, asked, tmp_path):
    """Ten of forty right is the share of the commonest label; twenty is not chance any more."""
    blind, seeing = model(10), model(20)
    of_blind = evaluated(blind)
    decision = challenge(blind, of_blind, catalog, Registry(root), tmp_path / "blind")
    assert not decision.promote
    assert "not clearly better than the 0.2500 of the commonest label for every photo (+0.0 points" in decision.reason
    assert "40 photos" in decision.reason
    assert challenge(seeing, evaluated(seeing), catalog, Registry(root), tmp_path / "seeing").promote
    lenient = {"allow_below_baseline": True}
    assert challenge(blind, of_blind, catalog, Registry(root), tmp_path / "lenient", **lenient).promote


@pytest.mark.slow
def test_a_gain_that_few_photos_cannot_tell_is_said_and_decided_by_a_setting(
    root, catalog, model, evaluated, asked, tmp_path
):
    """Of forty photos the candidate answers two more: the interval of the gain holds 0."""
    promote(root, model(30.0), {"macro_top1": 0.75, "count": 40})
    candidate = model(32)
    known = candidate, evaluated(candidate), catalog, Registry(root)
    decision = challenge(*known, tmp_path / "out")
    assert decision.promote
    assert "+5.0 points, 95 % between +0.0 and +" in decision.reason
    assert "40 photos: too few to tell; promoted because" in decision.reason
    refused = challenge(*known, tmp_path / "strict", too_few="refuse")
    assert not refused.promote
    assert "too few to tell; refused because too_few_to_tell is refuse" in refused.reason
    with pytest.raises(InputError, match="too_few_to_tell must be promote or refuse"):
        challenge(*known, tmp_path / "odd", too_few="ask")
