"""The components of `authenticate` on artifacts, in the order the DAG wires them, from rendered shoes to a champion."""

from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import auc
from test_steps_as_components import Step

from components.clean_and_split import clean_and_split
from components.judge import judge
from components.plan import plan
from components.start import start
from components.train import train
from components.validate import validate
from vitrine.catalog import read_catalog, write_catalog
from vitrine.errors import InputError
from vitrine.registry import Registry
from vitrine.synth import render_catalog


@pytest.fixture(scope="module")
def done(tmp_path_factory, slow_to_make):
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
        small = {"batch_size": 32, "image_size": 16, "weights": "none", "ratios": "0.4,0.2,0.4"}
        small["allow_below_baseline"] = True
        made.pages = {"reports": str(root), "run_id": "run"}
        known = {"catalog": str(root / "data"), "settings": small, "variant": "ssa", "backbone": "auto", "epochs": 1}
        begun = step(start, pipeline="authenticate", **known, **made.pages).answer
        checked = step(validate, table=begun.table, photos=[])
        made.parted = step(clean_and_split, table=begun.table, photos=[], cleaning=begun.cleaning).parted
        made.asked = {"pipeline": "authenticate", "settings": begun.settings, "results": checked.results}
        made.counted = step(plan, table=made.parted, **made.asked, **made.pages)
        trains = {"task": "authenticity", "variant": "ssa", "settings": begun.training}
        made.trained = step(train, table=made.parted, checkpoints=str(root / "checkpoints"), **trains)
        known = {"model": made.trained.model, "table": made.parted, "settings": begun.settings}
        made.judged = step(judge, task="authenticity", registry=made.registry, **known, **made.pages)
        yield made
        torch.set_num_threads(threads)


def test_listings_stay_whole_and_undecided_ones_only_teach(done):
    rows = read_catalog(done.parted.path).table
    assert len(rows) == done.rows
    assert rows.groupby("listing")["split"].nunique().eq(1).all()
    assert set(rows.loc[rows["verdict"] == "", "split"]) == {"train"}
    counts = done.counted.counts.metadata
    assert sum(counts.values()) == rows["listing"].nunique()
    assert counts["without"] == rows.loc[rows["verdict"] == "", "listing"].nunique()


def test_the_gate_promotes_the_first_model_by_its_accuracy(done):
    assert done.judged.figures.metadata["count"] == done.counted.counts.metadata["to measure on"]
    assert Registry(done.registry).champion("authenticity") is not None
    pages = {path.name for path in (done.root / "run").iterdir()}
    assert {"examine.json", "evaluate-authenticity.html", "gate-authenticity.html"} <= pages


def test_the_curve_has_the_area_that_the_figures_tell(done):
    curve = done.judged.confusion.metadata["confidenceMetrics"]
    area = auc([point["falsePositiveRate"] for point in curve], [point["recall"] for point in curve])
    assert area == pytest.approx(done.judged.figures.metadata["auc"], abs=1e-6)
    assert all(0 <= point["confidenceThreshold"] <= 1.0001 for point in curve)


def test_a_catalog_without_both_verdicts_is_refused_before_training(done, tmp_path):
    catalog = read_catalog(done.parted.path)
    one_sided = catalog.table.assign(verdict=catalog.table["verdict"].replace("counterfeit", ""))
    write_catalog(catalog.with_table(one_sided), tmp_path)
    with pytest.raises(InputError, match="do not hold both authentic and counterfeit"):
        done.step(plan, table=SimpleNamespace(path=str(tmp_path)), **done.asked, **done.pages)
