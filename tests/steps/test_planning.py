"""What a catalog allows to be trained."""

import subprocess
import sys

import pytest

from vitrine.catalog import read_catalog
from vitrine.errors import InputError
from vitrine.files import read_bytes
from vitrine.journal import summarise
from vitrine.steps.planning import find_tasks, plan, teachable

from .small import COLOURS, SHELVES, table


@pytest.mark.parametrize(
    ("columns", "tasks"),
    [
        (COLOURS, "attributes"),
        (SHELVES, "taxonomy"),
        (COLOURS | SHELVES, "attributes+taxonomy"),
        (COLOURS | {"category": ["A", "A", "A", "A"]}, "attributes"),
        (COLOURS | {"category": ["A", "A/B", "A/B", "C"]}, "attributes"),  # one leaf among training photos
        (SHELVES | {"attr:colour": ["red", "red", "", "blue"]}, "taxonomy"),  # the second label is for testing only
        ({"attr:colour": ["red|blue", "", "", ""]}, "attributes"),
    ],
)
def test_tasks_that_the_labels_allow(tmp_path, columns, tasks):
    folder = table(tmp_path, **columns)
    assert find_tasks(folder) == tasks
    assert teachable(folder) == (["colour"] if "attributes" in tasks else [])


def test_a_run_is_to_come_to_a_decision_on_each_model_that_can_be_trained(tmp_path):
    run = str(tmp_path / "run")
    assert plan(table(tmp_path, **COLOURS, **SHELVES), run) == "attributes+taxonomy"
    page = read_bytes(summarise(run, "RUNNING", due=["tasks"])).decode()
    assert "Failed" in page
    assert "promote-attributes or refuse-attributes, promote-taxonomy or refuse-taxonomy" in page
    assert "Attributes and Categories." in page


@pytest.mark.parametrize("columns", [{}, {"attr:colour": ["red"] * 4, "category": ["A"] * 4}, {"category": [""] * 4}])
def test_nothing_to_train(tmp_path, columns):
    with pytest.raises(InputError, match="there is nothing to train"):
        find_tasks(table(tmp_path, **columns))


def test_both_agree_with_training(tmp_path):
    """What the pipeline would train must not be refused by training itself."""
    from vitrine.data.truth import teachable_types
    from vitrine.tasks.taxonomy.plan import describe

    for columns in (COLOURS, SHELVES, {"category": ["A", "A/B", "A/B", ""]} | COLOURS):
        folder = table(tmp_path, **columns)
        catalog = read_catalog(folder)
        assert teachable(folder) == teachable_types(catalog)
        if "taxonomy" in find_tasks(folder):
            describe(catalog, "ssmtl-ca")


EXAMINES = """
import sys
from pathlib import Path
from vitrine import tasks
from vitrine.steps.planning import examine
for name in tasks.names():
    assert examine(name, "", Path(sys.argv[1]), sys.argv[2])
sys.exit("torch was loaded" if "torch" in sys.modules else 0)
"""


def test_no_task_loads_torch_to_say_what_there_is_to_learn(tmp_path):
    """It took longer than all else of the step."""
    columns = {
        "image": [f"{i}.png" for i in range(6)],
        "split": ["train"] * 4 + ["test"] * 2,
        "category": ["A/B", "A/C", "D/E", "A/B", "A/B", "A/B"],
        "attr:colour": ["red", "blue"] * 3,
        "listing": list("123456"),
        "verdict": ["authentic", "counterfeit"] * 3,
        "domain": ["user", "shop", "user", "shop", "user", "shop"],
        "product": ["p", "p", "q", "q", "r", "r"],
    }
    command = [sys.executable, "-c", EXAMINES, str(table(tmp_path, **columns)), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
