"""The components of `authenticate` on artifacts, in the order the DAG wires them, from rendered shoes to a champion."""

from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import auc
from test_steps_as_components import Step

from components.clean import clean
from components.compare import compare
from components.count_listings import count_listings
from components.drift_reference import drift_reference
from components.evaluate import evaluate
from components.fetch import fetch
from components.promote import promote
from components.split import split
from components.train_authenticity import train_authenticity
from components.validate import validate
from vitrine.catalog import read_catalog, write_catalog
from vitrine.errors import InputError
from vitrine.registry import Registry
from vitrine.synth import render_catalog


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("authenticate")
    render_catalog(root / "data", listings=72)
    rendered = read_catalog(root / "data")
    shoes = rendered.table["listing"].isin(rendered.table.loc[rendered.table["view"] == "tag", "listing"])
    write_catalog(rendered.with_table(rendered.table[shoes]), root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINE_CACHE", str(root / "cache"))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        step = Step(root)
        made = SimpleNamespace(root=root, step=step, rows=int(shoes.sum()), registry=str(root / "registry"))
        fetched = step(fetch, catalog=str(root / "data"), state="s")
        checked = step(validate, table=fetched.table, photos=[])
        kept = {"min_class_count": 0, "near_duplicates": False}
        cleaned = step(clean, table=fetched.table, photos=[], validation=checked.results, **kept)
        made.parted = step(split, table=cleaned.cleaned, ratios="0.4,0.2,0.4", measured="verdict").parted
        made.counted = step(count_listings, table=made.parted, reports=str(root), run_id="run")
        small = {"epochs": 1, "batch_size": 32, "image_size": 16, "weights": "none"}
        made.trained = step(train_authenticity, table=made.parted, checkpoints=str(root / "checkpoints"), **small)
        made.evaluated = step(evaluate, model=made.trained.model, table=made.parted)
        known = {"model": made.trained.model, "evaluation": made.evaluated.evaluation}
        made.gate = step(compare, **known, table=made.parted, task="authenticity", registry=made.registry)
        reference = step(drift_reference, model=made.trained.model, table=made.parted).reference
        made.reference = reference
        step(
            promote,
            **known,
            decision=made.gate.decision,
            reference=reference,
            task="authenticity",
            registry=made.registry,
            reports=str(root),
            run_id="run",
        )
        yield made
        torch.set_num_threads(threads)


def test_listings_stay_whole_and_undecided_ones_only_teach(done):
    rows = read_catalog(done.parted.path).table
    assert len(rows) == done.rows
    assert rows.groupby("listing")["split"].nunique().eq(1).all()
    assert set(rows.loc[rows["verdict"] == "", "split"]) == {"train"}
    counts = done.counted.counts.metadata
    assert sum(counts.values()) == rows["listing"].nunique()
    assert counts["undecided"] == rows.loc[rows["verdict"] == "", "listing"].nunique()


def test_the_gate_promotes_the_first_model_by_its_accuracy(done):
    assert done.gate.answer == "promote"
    assert done.evaluated.figures.metadata["count"] == done.counted.counts.metadata["test"]
    assert Registry(done.registry).champion("authenticity") is not None
    pages = {path.name for path in (done.root / "run").iterdir()}
    assert {"listings.json", "evaluate-authenticity.html", "gate-authenticity.html"} <= pages


def test_the_curve_has_the_area_that_the_figures_tell(done):
    curve = done.evaluated.confusion.metadata["confidenceMetrics"]
    area = auc([point["falsePositiveRate"] for point in curve], [point["recall"] for point in curve])
    assert area == pytest.approx(done.evaluated.figures.metadata["auc"], abs=1e-6)
    assert all(0 <= point["confidenceThreshold"] <= 1.0001 for point in curve)


def test_a_catalog_without_both_verdicts_is_refused_before_training(done, tmp_path):
    catalog = read_catalog(done.parted.path)
    one_sided = catalog.table.assign(verdict=catalog.table["verdict"].replace("counterfeit", ""))
    write_catalog(catalog.with_table(one_sided), tmp_path)
    with pytest.raises(InputError, match="do not hold both authentic and counterfeit"):
        done.step(count_listings, table=SimpleNamespace(path=str(tmp_path)), reports=str(tmp_path), run_id="r")
