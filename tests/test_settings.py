"""Settings from `--set k=v`: typed, and refused in one line."""

import pytest
from pydantic import ValidationError

from vitrine.errors import InputError
from vitrine.settings import Settings, parse_settings
from vitrine.tasks.attributes.settings import StudentSettings, TeacherSettings
from vitrine.tasks.taxonomy.settings import TaxonomySettings

EVERY_TASK = {"epochs", "batch_size", "image_size", "backbone", "weights", "learning_rate", "seed", "workers"}
KINDS = [Settings, TeacherSettings, StudentSettings, TaxonomySettings]


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_and_the_keys_every_task_knows(kind):
    assert set(kind.model_fields) >= EVERY_TASK
    assert parse_settings(kind, []) == kind()
    assert all(field.description for field in kind.model_fields.values())


def test_values_are_typed_and_a_path_may_hold_an_equals_sign():
    settings = parse_settings(TeacherSettings, ["epochs=3", "gamma=0.5", "type=a.b", "weights=/x/a=b.pth"])
    assert (settings.epochs, settings.gamma, settings.type, settings.weights) == (3, 0.5, "a.b", "/x/a=b.pth")


def test_the_last_of_two_values_counts():
    assert parse_settings(Settings, ["epochs=3", "epochs=4"]).epochs == 4


def test_frozen():
    with pytest.raises(ValidationError):
        Settings().epochs = 3


@pytest.mark.parametrize(
    ("kind", "key", "nearest"),
    [
        (Settings, "epoch", "epochs"),
        (Settings, "lerning_rate", "learning_rate"),
        (TaxonomySettings, "atribute_weight", "attribute_weight"),
        (StudentSettings, "teacher", "teachers"),
        (Settings, "Batch-Size", "batch_size"),
    ],
)
def test_an_unknown_key_names_the_nearest(kind, key, nearest):
    with pytest.raises(InputError, match=rf"unknown key; did you mean {nearest}\?"):
        parse_settings(kind, [f"{key}=1"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "override",
    [
        "epochs",
        "",
        "=",
        "=3",
        "zz\nzz=3",
        "epochs=-1",
        "epochs=two",
        "epochs=",
        "epochs=1\n2",
        "epochs=1.5",
        "batch_size=1",
        "image_size=8",
        "trunk=half",
        "copies=-1",
        "trunk_rate=2",
        "image_size=100000",
        "learning_rate=-1",
        "learning_rate=nan",
        "learning_rate=inf",
        "weight_decay=-1",
        "seed=-1",
        f"seed={2**32}",
        "workers=-1",
        "precision=16",
    ],
)
def test_bad_values_are_one_line_that_names_the_key(kind, override):
    with pytest.raises(InputError) as caught:
        parse_settings(kind, [override])
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith("--set ")
    assert override.partition("=")[0].encode("unicode_escape").decode() in message
