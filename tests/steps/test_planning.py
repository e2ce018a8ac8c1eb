"""What a catalog allows to be trained."""

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
    from vitrine.tasks.taxonomy import systems as taxonomy

    for columns in (COLOURS, SHELVES, {"category": ["A", "A/B", "A/B", ""]} | COLOURS):
        folder = table(tmp_path, **columns)
        catalog = read_catalog(folder)
        assert teachable(folder) == teachable_types(catalog)
        if "taxonomy" in find_tasks(folder):
            taxonomy.describe(catalog, "ssmtl-ca")
