"""A class the net was never taught, from a few photos of it."""

import json
import shutil

import numpy as np
import pytest
import torch
import toys
from toys import draw

from vitrine.data.photo_store import PhotoStore
from vitrine.data.truth import label_matrix, top1_accuracy
from vitrine.errors import InputError
from vitrine.inference import run_net
from vitrine.predict import apply, load_model, predict
from vitrine.tasks.attributes import Attributes, new_label
from vitrine.tasks.attributes.new_label import centre_of, recognised
from vitrine.train import train


def add_label(*given):
    return new_label.add_label(*given, Attributes().load)


@pytest.fixture(scope="module")
def yellow(tmp_path_factory):
    """Twelve yellow products."""
    folder = tmp_path_factory.mktemp("yellow")
    random = np.random.default_rng(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(toys.COLOURS, "yellow", (235, 215, 40))
        for i in range(12):
            draw(toys.CATEGORIES[i % 4], "yellow", 32, random).save(folder / f"{i:02}.png")
    return sorted(map(str, folder.iterdir()))


def accuracy(model, catalog):
    return {
        question.name: top1_accuracy(question.scores, label_matrix(question.truth, question.labels))
        for question in apply(model, catalog).targets
    }


@pytest.mark.parametrize("name", ["teacher colour", "student"])
def test_it_is_answered_and_the_others_still_are(trained, yellow, tmp_path, name):
    catalog, folder = trained
    before = accuracy(folder / name, catalog.of_split("test"))
    added = add_label(folder / name, tmp_path / "more", "colour", "yellow", yellow[:5])
    assert added.photos == 5
    answers = [line["attr:colour"][0]["label"] for line in predict(tmp_path / "more", yellow[5:])]
    assert answers.count("yellow") >= 5
    after = accuracy(tmp_path / "more", catalog.of_split("test"))
    assert after["attr:colour"] >= 0.5  # 1 before: yellow lies between red and green, and takes some of both
    assert {**after, "attr:colour": 0} == {**before, "attr:colour": 0}  # other types are as they were


def test_the_embedding_is_the_mean_of_unit_vectors(trained, yellow, tmp_path):
    _, folder = trained
    add_label(folder / "student", tmp_path / "more", "colour", "yellow", yellow[:3])
    (before, _), (after, config) = load_model(folder / "student"), load_model(tmp_path / "more")
    assert config["labels"]["colour"] == ["blue", "green", "red", "yellow"]
    old, new = before.dictionaries[0].detach(), after.dictionaries[0].detach()
    assert torch.equal(new[:3], old)
    rows = run_net(before, PhotoStore(yellow[:3], 32, workers=1), np.arange(3), embeddings=True)[1]["colour"]
    wanted = sum(row / np.linalg.norm(row) for row in rows)
    assert np.allclose(new[3] / new[3].norm(), wanted / np.linalg.norm(wanted), atol=1e-5)
    state, was = after.state_dict(), before.state_dict()
    assert all(torch.equal(state[key], was[key]) for key in was if key != "dictionaries.0")


def test_a_second_one_and_one_photo_alone(trained, yellow, tmp_path):
    _, folder = trained
    first = add_label(folder / "student", tmp_path / "one", "colour", "yellow", yellow[:1])
    assert first.recognised is None
    second = add_label(tmp_path / "one", tmp_path / "two", "a.b", "  of two words ", yellow[1:4])
    assert second.photos == 3
    config = json.loads((tmp_path / "two" / "config.json").read_text())
    assert config["labels"]["a.b"][-1] == "of two words"
    assert [one["label"] for one in config["added_labels"]] == ["yellow", "of two words"]
    assert "`yellow` of `colour`, from 1 photo" in (tmp_path / "two" / "card.md").read_text()


def test_the_next_student_knows_it_from_its_teacher(trained, yellow, tmp_path):
    catalog, folder = trained
    add_label(folder / "teacher colour", tmp_path / "more", "colour", "yellow", yellow[:5])
    settings = [
        f"teachers={tmp_path / 'more'}",
        "image_size=32",
        "batch_size=16",
        "epochs=1",
        "views=1",
        "weights=none",
    ]
    train("attributes", "student", catalog, tmp_path / "student", settings)
    assert load_model(tmp_path / "student")[1]["labels"]["colour"][-1] == "yellow"


def test_it_comes_as_often_as_the_mean_label(trained, yellow, tmp_path):
    _, folder = trained
    shutil.copytree(folder / "student", tmp_path / "before")
    config = json.loads((tmp_path / "before" / "config.json").read_text())
    own = np.linspace(-2, -1, len(config["labels"]["colour"])).tolist()
    (tmp_path / "before" / "config.json").write_text(json.dumps(config | {"priors": {"colour": own}}))
    add_label(tmp_path / "before", tmp_path / "more", "colour", "yellow", yellow[:5])
    assert json.loads((tmp_path / "more" / "config.json").read_text())["priors"]["colour"] == [*own, -1.5]


def test_recognised_leaves_each_photo_out_of_its_own_centre():
    dictionary = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    embedded = torch.tensor([[0.1, 0.0, 1.0], [0.0, 0.1, 2.0], [0.0, 0.3, 0.9], [1.0, 0.0, 0.1]])
    assert recognised(embedded, dictionary) == 3  # the last is nearer to the first label
    assert recognised(embedded[:1], dictionary) is None
    assert centre_of(embedded).norm().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "label", "part"),
    [
        ("color", "yellow", "did you mean colour"),
        ("colour", "red", "knows that label"),
        ("colour", " red ", "knows that label"),
        ("colour", "", "a word or several"),
        ("colour", "red|blue", "a word or several"),
    ],
)
def test_refused(trained, yellow, tmp_path, kind, label, part):
    _, folder = trained
    with pytest.raises(InputError, match=part):
        add_label(folder / "student", tmp_path / "more", kind, label, yellow[:2])
    assert not (tmp_path / "more").exists()


def test_a_model_without_label_embeddings_is_refused(trained, yellow, tmp_path):
    _, folder = trained
    with pytest.raises(InputError, match="is a model for taxonomy, not for attributes"):
        add_label(folder / "taxonomy", tmp_path / "more", "colour", "yellow", yellow[:2])
    with pytest.raises(InputError, match="no such photo"):
        add_label(folder / "student", tmp_path / "more", "colour", "yellow", [*yellow[:2], "nope.png"])
    with pytest.raises(InputError, match="exists already"):
        add_label(folder / "student", folder / "student", "colour", "yellow", yellow[:2])
    assert not (tmp_path / "more").exists()
