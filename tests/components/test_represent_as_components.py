"""The components that only `represent` and `match` have, on artifacts, in the order the DAG wires them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_steps_as_components import Step
from toy_pairs import toy_pairs
from toys import toy_catalog

from components.build_index import build_index
from components.compare import compare
from components.evaluate import evaluate
from components.examine import examine
from components.train_representation import train_representation
from vitrine import files
from vitrine.catalog import write_catalog
from vitrine.errors import InputError
from vitrine.registry import Registry
from vitrine.visual_search import search_photos


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("represent")
    catalog = toy_catalog(root / "data", photos=72)
    write_catalog(catalog, root / "table")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINE_CACHE", str(root / "cache"))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        step = Step(root)
        made = SimpleNamespace(root=root, step=step, registry=str(root / "registry"), catalog=catalog)
        table = SimpleNamespace(path=str(root / "table"), metadata={})
        (root / "table" / "journal").mkdir()
        pages = {"reports": str(root), "run_id": "run"}
        made.examined = step(examine, table=table, task="representation", variant="base-indi-eff", **pages)
        small = {"epochs": 1, "batch_size": 32, "image_size": 16, "weights": "none", "level": 1}
        made.trained = step(train_representation, table=table, checkpoints=str(root / "checkpoints"), **small)
        made.evaluated = step(evaluate, model=made.trained.model, table=table)
        known = {"model": made.trained.model, "evaluation": made.evaluated.evaluation}
        made.gate = step(compare, **known, table=table, task="representation", registry=made.registry)
        asked = {"table": table, "decision": made.gate.decision, "task": "representation", "registry": made.registry}
        made.before = step(build_index, **asked, **pages)
        figures = files.read_json(f"{made.evaluated.evaluation.path}/metrics.json")
        Registry(made.registry).promote("representation", Path(made.trained.model.path), figures, "first")
        made.after = step(build_index, **asked, **pages)
        yield made
        torch.set_num_threads(threads)


def test_what_there_is_to_learn_is_counted(done):
    assert done.examined.counts.metadata == {
        "photos of split train": 48,
        "photos of split test": 12,
        "super-classes": 3,
    }


def test_the_gate_goes_by_recall(done):
    assert done.gate.answer == "promote"
    decision = files.read_json(f"{done.gate.decision.path}/decision.json")
    assert decision["comparisons"][0]["key"] == "recall@1"


def test_the_index_is_of_the_model_in_use(done):
    assert done.before.index.metadata["photos"] == 0  # none was
    assert done.after.index.metadata["photos"] == 72
    (line,) = search_photos(done.after.index.path, [f"{done.catalog.root}/images/000.png"], k=3)
    assert line["results"][0]["image"] == "images/000.png"


@pytest.mark.parametrize(
    ("changed", "task", "what"),
    [
        ({"category": "A/B"}, "representation", "nothing to learn"),
        ({"split": "train"}, "representation", "no test photo"),
        ({"domain": "shop"}, "matching", "no training photo of domain user"),
        ({"split": "train"}, "matching", "no user photo of split 'test'"),
    ],
)
def test_nothing_to_learn_or_to_measure_ends_before_a_gpu_is_asked_for(done, tmp_path, changed, task, what):
    catalog = toy_pairs(tmp_path / "pairs", products=10)
    write_catalog(catalog.with_table(catalog.table.assign(**changed)), tmp_path / "table")
    variant = {"representation": "base-indi-eff", "matching": "robust"}[task]
    table = SimpleNamespace(path=str(tmp_path / "table"), metadata={})
    with pytest.raises(InputError, match=what):
        done.step(examine, table=table, task=task, variant=variant, reports=str(tmp_path), run_id="r")
