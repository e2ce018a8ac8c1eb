"""Answers about listings drift like answers about photos, and a listing counts once however many photos it has."""

import json

import numpy as np
import pytest
from toy_listings import an_outcome, catalog_of

from vitrine.monitoring import DriftRules, build_reference, compare
from vitrine.monitoring.drift import describe

A, C = "authentic", "counterfeit"
LISTINGS = 60


@pytest.fixture(autouse=True)
def no_evidently(monkeypatch):
    monkeypatch.setattr("vitrine.monitoring.pages.evidently_page", lambda drift, before, now, path: path.touch())


def some(folder, seed, sure=0.95):
    random = np.random.default_rng(seed)
    truth = [(A, C)[int(i)] for i in random.integers(2, size=LISTINGS)]
    probability = [sure if verdict == A else 1 - sure for verdict in truth]
    views = [["tag"] * int(n) for n in random.integers(1, 6, LISTINGS)]
    outcome = an_outcome(probability, truth, views=views)
    return outcome, catalog_of(outcome, folder)


def test_every_photo_bears_the_answer_of_its_listing(tmp_path):
    outcome = an_outcome([0.95, 0.5], [A, C], views=[["tag", "stamp"], ["tag"]])
    side = describe(catalog_of(outcome, tmp_path), outcome)
    assert side.table["predicted:verdict"].tolist() == [A, A, "ask an expert"]
    assert side.table["confidence:verdict"].tolist() == [0.95, 0.95, 0.5]
    first = next(column for column in side.table if column.startswith("embedding"))
    assert side.table[first][0] == side.table[first][1] != side.table[first][2]


@pytest.mark.slow
def test_listings_alike_do_not_drift_and_a_model_that_asks_more_does(tmp_path):
    outcome, catalog = some(tmp_path / "then", 0)
    build_reference(catalog, tmp_path / "reference", outcome, rules=DriftRules(draws=100))
    outcome, catalog = some(tmp_path / "alike", 1)
    answers = {"predicted:verdict", "confidence:verdict"}
    alike = compare(tmp_path / "reference", catalog, tmp_path / "a", outcome)
    assert not answers & {finding.signal for finding in alike.findings if finding.moved}
    outcome, catalog = some(tmp_path / "unsure", 1, sure=0.7)
    unsure = compare(tmp_path / "reference", catalog, tmp_path / "u", outcome)
    assert answers <= {finding.signal for finding in unsure.findings if finding.moved}
    assert "ask an expert" in (tmp_path / "u" / "report.html").read_text()
    assert json.loads((tmp_path / "u" / "results.json").read_text())["drifted"]
