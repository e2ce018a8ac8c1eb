"""Attributes from the command line: labels as real catalogs hold them, and all that a student can be given."""

import json
import shutil

import numpy as np
import pytest
import torch
from commands import in_, says
from PIL import Image
from toys import OUTLINE, toy_catalog

from vitrine.catalog import read_catalog, write_catalog
from vitrine.data.corruptions import CORRUPTIONS
from vitrine.train import train

SMALL = ("image_size=16", "batch_size=16", "epochs=2", "precision=32", "workers=1", "weights=none", "embedding_dim=8")
SETTINGS = [f"--set={pair}" for pair in SMALL]
QUICK = [*SETTINGS, "--set=views=1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory, slow_to_make):
    """A catalog, its teachers and their student."""
    folder = tmp_path_factory.mktemp("attributes")
    catalog = toy_catalog(folder / "data", photos=72, size=16)
    write_catalog(catalog, folder / "data")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, kind in (("colour", "colour"), ("outline", OUTLINE)):
        train("attributes", "teacher", catalog, folder / name, [f"type={kind}", *SMALL])
    train("taxonomy", "bcnn", catalog, folder / "taxonomy", ["hidden=8", *SMALL[:-1]])
    teachers = f"teachers={folder / 'colour'},{folder / 'outline'}"
    train("attributes", "student", catalog, folder / "student", [teachers, *SMALL])
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture
def changed(home, tmp_path):
    """The catalog with another table; its photos are where they were."""

    def build(**columns):
        catalog = read_catalog(home / "data")
        write_catalog(catalog.with_table(catalog.table.assign(**columns)), tmp_path / "data")
        return tmp_path / "data"

    return build


def labels_of(model):
    return json.loads((model / "config.json").read_text())["labels"]


class TestLabelsAsTheyAre:
    """A type with one class, one without annotations, a photo with two labels of a type, a class with one photo."""

    @pytest.fixture
    def odd(self, changed, home):
        table = read_catalog(home / "data").table
        colours, train_rows = table["attr:colour"].astype(object), np.flatnonzero(table["split"] == "train")
        two, alone = (int(row) for row in train_rows[:2])
        colours[two], colours[alone] = "red|blue", "violet"
        one = np.where(table["split"] == "test", "", "plain")
        return changed(**{"attr:colour": colours, "attr:one": one, "attr:none": ""})

    @pytest.mark.parametrize("variant", ["student", "bce"])
    def test_what_can_be_learnt_is_and_the_rest_is_named(self, vitrine, odd, home, tmp_path, variant):
        settings = QUICK if variant == "student" else SETTINGS[:-1]
        done = vitrine("train", "attributes", odd, tmp_path / "m", f"--variant={variant}", *settings)
        assert done.code == 0, done.err
        assert "attr:one: left out, it has fewer than two labels" in done.out
        assert "attr:none: left out, it has fewer than two labels" in done.out
        assert labels_of(tmp_path / "m") == {
            OUTLINE: ["angular", "round"],
            "colour": ["blue", "green", "red", "violet"],
        }
        measured = vitrine("evaluate", tmp_path / "m", odd, tmp_path / "evaluation")
        assert measured.code == 0, measured.err
        figures = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
        assert all(0 <= figures[f"attr:{kind}/f1@3"] <= 1 for kind in ("colour", OUTLINE))
        assert not [key for key in figures if "attr:one" in key or "attr:none" in key]
        photo = home / "data" / read_catalog(home / "data").table["image"][0]
        (line,) = vitrine("predict", tmp_path / "m", photo).out.splitlines()
        assert {answer["label"] for answer in json.loads(line)["attr:colour"]} == {"blue", "green", "red", "violet"}

    @pytest.mark.parametrize(
        ("kind", "part"),
        [("one", "attr:one has one value ('plain')"), ("none", "attr:none has no label"), ("nope", "of that name")],
    )
    def test_a_teacher_of_what_cannot_be_learnt_is_refused(self, vitrine, odd, tmp_path, kind, part):
        asked = ("train", "attributes", odd, tmp_path / "m", "--variant=teacher", f"--set=type={kind}", *SETTINGS)
        says(vitrine(*asked), part)
        assert in_(tmp_path) == ["data"]

    def test_a_test_photo_with_two_labels_has_two_to_find(self, vitrine, home, changed, tmp_path):
        """Recall@1 of photos that carry two labels is half of the share that was answered right."""
        table = read_catalog(home / "data").table
        rows = changed(**{"attr:colour": np.where(table["split"] == "test", "red|blue", table["attr:colour"])})
        assert vitrine("evaluate", home / "student", rows, tmp_path / "e").code == 0
        figures = json.loads((tmp_path / "e" / "metrics.json").read_text())
        assert figures["attr:colour/recall@1"] <= 0.5
        assert figures["attr:colour/recall@3"] == 1

    def test_without_any_annotation_there_is_nothing_to_measure(self, vitrine, home, changed, tmp_path):
        bare = changed(**{"attr:colour": "", f"attr:{OUTLINE}": ""})
        says(vitrine("evaluate", home / "student", bare, tmp_path / "e"), "nothing to measure")
        says(vitrine("train", "attributes", bare, tmp_path / "m", *QUICK), "no attr:<type> column has two labels")
        assert in_(tmp_path) == ["data"]


class TestEvaluation:
    def test_against_the_teachers_and_on_corrupted_photos(self, vitrine, home, tmp_path):
        against = ("--against", home / "colour", "--against", home / "outline")
        done = vitrine("evaluate", home / "student", home / "data", tmp_path / "e", "--corrupted", *against)
        assert done.code == 0, done.err
        figures = json.loads((tmp_path / "e" / "metrics.json").read_text())
        groups = [*CORRUPTIONS, *(f"severity{level}" for level in range(1, 6))]
        assert len(groups) == 20
        for key in ("recall@1", "recall@3", "recall@5", "f1@1"):
            own = [figures[f"corrupted/{group}/{key}"] for group in groups]
            assert figures[f"corrupted/{key}"] == pytest.approx(np.mean(own[:15]))
            assert figures[f"corrupted/{key}"] == pytest.approx(np.mean(own[15:]))
        page = (tmp_path / "e" / "report.html").read_text()
        for part in ("colour: class by class", "a.b: class by class", "embeddings of attr:colour in two dimensions"):
            assert part in page
        assert "Corrupted photos" in page
        again = vitrine("evaluate", home / "student", home / "data", tmp_path / "again", "--corrupted")
        assert again.code == 0
        second = json.loads((tmp_path / "again" / "metrics.json").read_text())
        assert {**second, "seconds_per_1000_images": 0} == {**figures, "seconds_per_1000_images": 0}
        assert "class by class" not in (tmp_path / "again" / "report.html").read_text()

    def test_bce_has_no_space_of_label_embeddings_to_show(self, vitrine, home, tmp_path):
        settings = [*SETTINGS[:-1], "--set=type=colour"]
        assert vitrine("train", "attributes", home / "data", tmp_path / "bce", "--variant=bce", *settings).code == 0
        done = vitrine("evaluate", home / "student", home / "data", tmp_path / "e", "--against", tmp_path / "bce")
        assert done.code == 0, done.err
        page = (tmp_path / "e" / "report.html").read_text()
        assert "colour: class by class" in page
        assert "embeddings of attr:colour" not in page

    @pytest.mark.parametrize(
        ("model", "other", "part"),
        [
            ("student", "taxonomy", "is not a model for attributes"),
            ("colour", "outline", "predicts nothing that the model predicts"),
            ("student", "data", "not a model folder"),
        ],
    )
    def test_what_cannot_be_compared_is_refused(self, vitrine, home, tmp_path, model, other, part):
        asked = ("evaluate", home / model, home / "data", tmp_path / "e", "--against", home / other)
        says(vitrine(*asked), part)
        assert in_(tmp_path) == []


class TestStudent:
    def test_a_type_added_later_costs_one_teacher_and_the_student(
        self,
        vitrine,
        home,
        changed,
        tmp_path,
    ):
        store = [f"--set=teacher_store={tmp_path / 'store'}"]
        first = vitrine("train", "attributes", home / "data", tmp_path / "first", *QUICK, *store)
        assert first.code == 0, first.err
        kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()}
        assert len(kept) == 2
        category = read_catalog(home / "data").table["category"].str.rpartition("/")[2]
        # The same address and another column: what the photos' owner would do to the table.
        table = read_catalog(home / "data").table.assign(**{"attr:shape": category})
        source = read_catalog(home / "data")
        write_catalog(source.with_table(table), tmp_path / "data")
        second = vitrine("train", "attributes", tmp_path / "data", tmp_path / "second", *QUICK, *store)
        assert second.code == 0, second.err
        assert second.out.count("is there already") == 2
        assert "teacher shape: epoch 2/2" in second.out
        assert "teacher colour: epoch" not in second.out
        assert sorted(labels_of(tmp_path / "second")) == [OUTLINE, "colour", "shape"]
        assert kept == {path: path.stat().st_mtime_ns for path in kept}
        assert len(in_(tmp_path / "store")) == 3
        # Another label of one type is a reason to train its teacher again, and only that one.
        table.loc[table["attr:colour"].eq("red").idxmax(), "attr:colour"] = "blue"
        write_catalog(source.with_table(table), tmp_path / "third data")
        third = vitrine("train", "attributes", tmp_path / "third data", tmp_path / "third", *QUICK, *store)
        assert third.out.count("is there already") == 2
        assert "teacher colour: epoch 2/2" in third.out

    def test_unlabelled_and_corrupted_photos_are_mixed_in(self, vitrine, home, tmp_path):
        shutil.copytree(home / "data" / "images", tmp_path / "others" / "images")
        for path in (tmp_path / "others" / "images").iterdir():
            Image.open(path).rotate(90).save(path)
        table = read_catalog(home / "data").table[["image"]]
        table.to_csv(tmp_path / "others" / "catalog.csv", index=False)
        own = len(read_catalog(home / "data").of_split("train"))
        teachers = f"--set=teachers={home / 'colour'},{home / 'outline'}"
        more = [f"--set=unlabelled={tmp_path / 'others'}", "--set=corrupted=0.25", "--set=labelled=0.2"]
        done = vitrine("train", "attributes", home / "data", tmp_path / "m", teachers, *QUICK, *more)
        assert done.code == 0, done.err
        assert f"{72 + own} photos embedded" in done.out  # the other catalog's, and those to learn from
        assert len(json.loads((tmp_path / "m" / "config.json").read_text())["further_data"]) == 1

    @pytest.mark.parametrize(
        ("setting", "part"),
        [
            ("unlabelled=nope", "nope: no such folder"),
            ("corrupted=1", "corrupted='1'"),
            ("corrupted=-0.1", "corrupted='-0.1'"),
            ("views=-1", "views='-1'"),
            ("gammas=0,a", "gammas.1='a': Input should be a valid number"),
            ("teachers=nope", "nope: not a model folder"),
        ],
    )
    def test_unusable_settings(self, vitrine, home, tmp_path, monkeypatch, setting, part):
        monkeypatch.chdir(tmp_path)
        says(vitrine("train", "attributes", home / "data", "m", f"--set={setting}", *SETTINGS), part)
        assert in_(tmp_path) == []

    def test_shares_that_leave_nothing(self, vitrine, home, tmp_path):
        settings = ["--set=corrupted=0.6", "--set=labelled=0.4", *SETTINGS]
        says(vitrine("train", "attributes", home / "data", tmp_path / "m", *settings), "must leave some share")
        assert in_(tmp_path) == []

    def test_gamma_is_chosen_on_validation_photos(self, vitrine, home, tmp_path):
        settings = ["--variant=teacher", "--set=type=colour", "--set=gammas=0,2", "--set=gamma_epochs=1", *SETTINGS]
        done = vitrine("train", "attributes", home / "data", tmp_path / "m", *settings)
        assert done.code == 0, done.err
        config = json.loads((tmp_path / "m" / "config.json").read_text())
        tried = config["gamma_tried"]
        assert set(tried) == {"0", "2"}
        assert tried[f"{config['settings']['gamma']:g}"] == max(tried.values())


class TestNewLabel:
    def test_a_label_from_a_few_photos(self, vitrine, home, tmp_path):
        photos = [home / "data" / name for name in read_catalog(home / "data").table["image"][:4]]
        asked = ("add-label", home / "student", tmp_path / "m", *photos, "--type", "colour", "--label", "gaudy")
        done = vitrine(*asked)
        assert done.code == 0, done.err
        assert done.out.startswith(f"{tmp_path / 'm'}: colour knows gaudy now, from 4 photos; ")
        (line,) = vitrine("predict", tmp_path / "m", photos[0]).out.splitlines()
        assert "gaudy" in [answer["label"] for answer in json.loads(line)["attr:colour"]]
        measured = vitrine("evaluate", tmp_path / "m", home / "data", tmp_path / "e", "--against", home / "student")
        assert measured.code == 0, measured.err

    def test_refusals(self, vitrine, home, tmp_path):
        photo = home / "data" / read_catalog(home / "data").table["image"][0]
        model, out = home / "student", tmp_path / "m"
        says(vitrine("add-label", model, out, photo, "--type", "color", "--label", "x"), "did you mean colour")
        says(vitrine("add-label", model, out, photo, "--type", "colour", "--label", "red"), "knows that label")
        says(vitrine("add-label", model, out, photo, "--type", "colour"), "Missing option '--label'")
        says(vitrine("add-label", model, out, "nope.png", "--type", "colour", "--label", "x"), "nope.png")
        says(
            vitrine("add-label", home / "taxonomy", out, photo, "--type", "colour", "--label", "x"),
            "a model of taxonomy has no label embeddings to add to",
        )
        assert in_(tmp_path) == []
