"""The components that only `represent` and `match` have, on artifacts, in the order the DAG wires them."""

from types import SimpleNamespace

import pytest
import torch
from test_steps_as_components import Step
from toy_pairs import toy_pairs
from toys import toy_catalog

from components.build_index import build_index
from components.judge import judge
from components.plan import plan
from components.train import train
from pipelines.form import trainings, whole_settings
from vitrine import files
from vitrine.catalog import write_catalog
from vitrine.errors import InputError
from vitrine.journal import Note, write_note
from vitrine.quality.history import RESULTS
from vitrine.visual_search import search_photos

TINY = {"batch_size": 32, "image_size": 16, "weights": "none", "level": 1, "allow_below_baseline": True}


def checked(folder):
    """What validation leaves of a catalog without fault."""
    write_note(folder, Note("validate", "Validate", ["passed."]))
    (folder / RESULTS).write_text('{"passed": true, "data_version": "", "rules": []}')
    return SimpleNamespace(path=str(folder), metadata={})


@pytest.fixture(scope="module")
def done(tmp_path_factory, slow_to_make):
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
        made.pages = {"reports": str(root), "run_id": "run"}
        settings = whole_settings("represent", TINY)
        made.results = checked(root / "results")
        known = {"table": table, "results": made.results, "settings": settings, "variant": "base-indi-eff"}
        made.examined = step(plan, pipeline="represent", **known, **made.pages)
        _, _, own = trainings("represent", settings, "base-indi-eff", "auto", 1)["training"]
        trains = {"task": "representation", "variant": "base-indi-eff", "settings": own}
        made.trained = step(train, table=table, checkpoints=str(root / "checkpoints"), **trains)
        asked = {"table": table, "task": "representation", "registry": made.registry, **made.pages}
        nobody = {**asked, "registry": str(root / "none")}
        decided = SimpleNamespace(path=str(root / "decided"))
        write_note(root / "decided", Note("gate", "Gate", ["nothing yet."]))
        made.before = step(build_index, decision=decided, **nobody)
        made.judged = step(judge, model=made.trained.model, settings=settings, **asked)
        made.after = step(build_index, decision=made.judged.decision, **asked)
        yield made
        torch.set_num_threads(threads)


def test_what_there_is_to_learn_is_counted(done):
    assert done.examined.counts.metadata == {
        "photos of split train": 48,
        "photos of split test": 12,
        "super-classes": 2,
    }


def test_the_gate_goes_by_recall(done):
    decision = files.read_json(f"{done.judged.decision.path}/decision.json")
    assert decision["promote"]
    assert decision["comparisons"][0]["key"] == "recall@1"


def test_the_index_is_of_the_model_in_use(done):
    assert done.before.index.metadata["photos"] == 0  # none was
    assert done.after.index.metadata["photos"] == 72
    (line,) = search_photos(done.after.index.path, [f"{done.catalog.root}/images/000.png"], k=3)
    assert line["results"][0]["image"] == "images/000.png"


@pytest.mark.parametrize(
    ("changed", "pipeline", "what"),
    [
        ({"category": "A/B"}, "represent", "nothing to learn"),
        ({"split": "train"}, "represent", "no test photo"),
        ({"domain": "shop"}, "match", "no training photo of domain user"),
        ({"split": "train"}, "match", "no user photo of split 'test'"),
    ],
)
def test_nothing_to_learn_or_to_measure_ends_before_a_gpu_is_asked_for(done, tmp_path, changed, pipeline, what):
    catalog = toy_pairs(tmp_path / "pairs", products=10)
    write_catalog(catalog.with_table(catalog.table.assign(**changed)), tmp_path / "table")
    variant = {"represent": "base-indi-eff", "match": "robust"}[pipeline]
    known = {"pipeline": pipeline, "variant": variant, "settings": whole_settings(pipeline, {}), **done.pages}
    table = SimpleNamespace(path=str(tmp_path / "table"), metadata={})
    with pytest.raises(InputError, match=what):
        done.step(plan, table=table, results=done.results, **known)
