"""`vitrine models`, as a user types it."""

import json

import click
import pytest
from click.testing import CliRunner
from fake_model_registry import FakeModelRegistry

from vitrine.cli import cli
from vitrine.errors import InputError
from vitrine.registry import Registry


@pytest.fixture
def model(tmp_path):
    def build(name, task="taxonomy"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(name.encode())
        (folder / "config.json").write_text(json.dumps({"task": task, "data_version": "0123456789abcdef"}))
        (folder / "metrics.json").write_text("{}")
        (folder / "card.md").write_text("# card")
        return folder

    return build


@pytest.fixture
def registry(tmp_path, model):
    """With versions a and b of one task."""
    registry = Registry(tmp_path / "registry")
    for name, top1 in (("a", 0.5), ("b", 0.75)):
        registry.promote("taxonomy", model(name), {"macro_top1": top1}, f"Promoted: {name}.", version=name)
    return registry


@pytest.fixture
def vitrine(registry):
    def run(*arguments):
        result = CliRunner().invoke(
            cli, ["models", *arguments, "--registry", registry.root], standalone_mode=False, catch_exceptions=False
        )
        return result.return_value or 0, result.output

    return run


@pytest.fixture
def kubeflow():
    server = FakeModelRegistry()
    yield server
    server.close()


def test_list(vitrine, registry):
    code, out = vitrine("list")
    assert code == 0
    assert [line[:34] for line in out.splitlines()] == [
        "  taxonomy a macro_top1 0.500, dat",
        "* taxonomy b macro_top1 0.750, dat",
    ]
    assert out.splitlines()[1].endswith("Promoted: b.")
    assert "data 0123456789ab, " in out
    assert vitrine("list", "taxonomy") == (0, out)
    assert vitrine("list", "attributes") == (1, f"{registry.root}: no version of attributes yet\n")
    with pytest.raises(InputError, match="'taxnomy': unknown"):
        vitrine("list", "taxnomy")


@pytest.mark.parametrize("command", [["list"], ["prune", "taxonomy"]])
def test_no_registry_is_said_to_be_none(tmp_path, command):
    with pytest.raises(InputError, match="nowhere: no such registry"):
        CliRunner().invoke(cli, ["models", *command, "--registry", str(tmp_path / "nowhere")], catch_exceptions=False)


def test_rollback_and_promotion_by_hand(vitrine, registry):
    assert vitrine("rollback", "taxonomy", "--reason", "Boots.") == (0, "taxonomy: a is in use again\n")
    assert registry.champion("taxonomy").reason == "Boots."
    assert vitrine("promote", "taxonomy", "b") == (0, "taxonomy: b is in use now\n")
    assert registry.champion("taxonomy").reason == "Chosen by hand."
    _, out = vitrine("list", "--history")
    assert [line[17:] for line in out.splitlines()] == [
        "taxonomy promoted a Promoted: a.",
        "taxonomy promoted b Promoted: b.",
        "taxonomy rolled back a Boots.",
        "taxonomy promoted b Chosen by hand.",
    ]
    with pytest.raises(InputError, match=r"has no c \(it has: a, b\)"):
        vitrine("promote", "taxonomy", "c")


def test_a_model_folder_is_promoted_by_its_evaluation(vitrine, registry, model, tmp_path):
    folder = model("c")
    with pytest.raises(InputError, match="--evaluation"):
        vitrine("promote", "taxonomy", str(folder))
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation/metrics.json").write_text('{"top1": 0.25}')
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference/reference.json").write_text("{}")
    given = ("--evaluation", str(tmp_path / "evaluation"), "--reference", str(tmp_path / "reference"))
    assert vitrine("promote", "taxonomy", str(folder), *given)[0] == 0
    champion = registry.champion("taxonomy")
    assert (champion.metrics, champion.previous) == ({"top1": 0.25}, "b")
    assert (tmp_path / "registry/taxonomy/versions" / champion.version / "drift/reference.json").is_file()
    with pytest.raises(InputError, match="is not a model for 'attributes'"):
        vitrine("promote", "attributes", str(folder), *given)
    with pytest.raises(InputError, match="not a model folder"):
        vitrine("promote", "taxonomy", "a", *given)


def test_prune(vitrine, registry):
    assert vitrine("prune", "taxonomy", "--keep", "1") == (0, "taxonomy: 0 versions deleted\n")  # both are new
    with pytest.raises(click.BadParameter, match="0 is not in the range"):
        vitrine("prune", "taxonomy", "--keep", "0")
    with pytest.raises(InputError, match="'taxnomy': unknown"):
        vitrine("prune", "taxnomy")


def test_a_kubeflow_model_registry_is_told(vitrine, registry, kubeflow):
    address = ("--model-registry", kubeflow.address)
    assert vitrine("announce", "taxonomy", *address)[0] == 0
    assert "taxonomy: a is in use again\n" in vitrine("rollback", "taxonomy", *address)[1]
    assert "is in use now" in vitrine("promote", "taxonomy", "b", *address)[1]
    used = {found["name"]: found["customProperties"]["in_use"]["bool_value"] for found in kubeflow.versions.values()}
    assert used == {"a": False, "b": True}
    with pytest.raises(InputError, match="no model is in use for 'attributes'"):
        vitrine("announce", "attributes", *address)
