"""Commands that make and measure models."""

import json

import pytest
from commands import SMALL, in_, says

from vitrine.catalog import read_catalog


@pytest.mark.slow
@pytest.mark.parametrize("name", ["taxonomy", "teacher"])
def test_a_model_folder_is_evaluated_and_asked(vitrine, home, tmp_path, request, name):
    model = request.getfixturevalue(name)
    assert in_(model) == ["card.md", "config.json", "metrics.json", "model.safetensors"]
    assert not [left for left in in_(home) if left.endswith(".training")]  # no checkpoints are left
    done = vitrine("evaluate", model, home / "parted", tmp_path / "evaluation")
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    headline = {"taxonomy": "macro_top1", "teacher": "recall@1"}[name]
    assert f"{headline} {metrics[headline]:.4f}" in done.out
    assert metrics["count"] == (read_catalog(home / "parted").table["split"] == "test").sum()
    photos = [home / "data" / image for image in read_catalog(home / "parted").table["image"][:2]]
    asked = vitrine("predict", model, *photos, "-k", "2")
    assert asked.code == 0
    lines = [json.loads(line) for line in asked.out.splitlines()]
    assert [line["image"] for line in lines] == [str(photo) for photo in photos]
    answers = [answer for name, answer in lines[0].items() if name != "image"]
    assert answers
    assert all(len(answer) <= 2 and 0 <= answer[0]["confidence"] <= 1 for answer in answers)


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("train taxnomy PARTED x", ["'taxnomy'", "did you mean taxonomy"]),
        ("train taxonomy PARTED x --variant ssmtl-c", ["'ssmtl-c'", "did you mean ssmtl-ca"]),
        ("train taxonomy PARTED x --set epoch=1", ["'epoch'", "did you mean epochs"]),
        ("train taxonomy PARTED x --set train_epochs", ["key=value"]),
        ("train taxonomy PARTED x --set epochs=-1", ["epochs='-1'"]),
        ("train taxonomy DATA x", ["no row has split 'train'"]),
        ("train taxonomy PARTED DATA", ["exists already"]),
        ("evaluate EMPTY PARTED x", ["not a model folder"]),
        ("evaluate MODEL DATA x", ["no row has split 'test'"]),
        ("evaluate MODEL PARTED x --split all", ["'all' is not one of"]),
        ("evaluate MODEL PARTED DATA", ["exists already"]),
    ],
)
def test_unusable_arguments(refused, command, parts):
    refused(command, *parts)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda table: table.drop(columns="image"), ["no column 'image'"]),
        (lambda table: table[:0], ["has no rows"]),
        (lambda table: table.assign(image="../x.jpg"), ["row 1", "'../x.jpg'"]),
        (lambda table: table.assign(image="/etc/passwd"), ["row 1", "'/etc/passwd'"]),
        (lambda table: table.assign(split="tset"), ["row 1", "split 'tset' is not one of train"]),
    ],
)
@pytest.mark.parametrize(
    "command",
    [["split", "CATALOG", "OUT"], ["train", "taxonomy", "CATALOG", "OUT"], ["evaluate", "MODEL", "CATALOG", "OUT"]],
)
def test_unusable_tables(vitrine, taxonomy, broken, tmp_path, change, parts, command):
    places = {"CATALOG": broken(change), "MODEL": taxonomy, "OUT": tmp_path / "out"}
    says(vitrine(*(places.get(word, word) for word in command)), *parts)
    assert in_(tmp_path) == ["broken"]


def test_training_names_the_truncated_photo(vitrine, broken, tmp_path):
    folder = broken()
    victim = folder / read_catalog(folder).table.query("split == 'train'")["image"].iloc[0]
    victim.write_bytes(victim.read_bytes()[:700])
    says(vitrine("train", "taxonomy", folder, tmp_path / "model", *SMALL), victim.name, "cannot be decoded")
    assert in_(tmp_path) == ["broken"]


def test_a_label_column_with_one_value(vitrine, broken, tmp_path):
    folder = broken(lambda table: table.assign(**{"attr:colour": "red", "category": "Apparel"}))
    arguments = ["--variant", "teacher", "--set", "type=colour", *SMALL]
    says(vitrine("train", "attributes", folder, tmp_path / "a", *arguments), "attr:colour has one value ('red')")
    says(vitrine("train", "taxonomy", folder, tmp_path / "b", *SMALL), "category has one value ('Apparel')")
    assert in_(tmp_path) == ["broken"]
