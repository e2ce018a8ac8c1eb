"""From a catalog to a model folder: the same bits again, after a stop too, and one line for what cannot be trained."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from killing import killed_at
from safetensors.torch import load_file
from toys import OUTLINE

from vitrine import tasks
from vitrine import train as train_module
from vitrine.catalog import Catalog, read_catalog, write_catalog
from vitrine.catalog.ingest import ingest
from vitrine.data.truth import label_matrix, teachable_types, top1_accuracy
from vitrine.errors import InputError
from vitrine.predict import apply
from vitrine.tasks.attributes import fit as attributes_fit
from vitrine.tasks.task import check_variant
from vitrine.tasks.taxonomy import fit as taxonomy_fit
from vitrine.tasks.taxonomy import objective
from vitrine.train import train
from vitrine.training import engine

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SMALL = ["image_size=16", "batch_size=16", "epochs=2", "precision=32", "weights=none"]
TASKS = {
    "teacher": ("attributes", "teacher", ["type=colour", "embedding_dim=8", *SMALL]),
    "student": ("attributes", "student", ["embedding_dim=8", "views=1", *SMALL]),
    "bce": ("attributes", "bce", SMALL),
    "bcnn": ("taxonomy", "bcnn", ["hidden=8", *SMALL]),
    "ssmtl-ca": ("taxonomy", "ssmtl-ca", ["hidden=8", *SMALL]),
}


class Stopped(Exception):
    pass


def bits(model):
    return (model / "model.safetensors").read_bytes()


@pytest.fixture(scope="session")
def unbroken(toys, decoded, tmp_path_factory, slow_to_make):
    """A model folder of each task."""
    folder = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINE_CACHE", str(decoded))
        torch.set_num_threads(1)
        for name, (task, variant, overrides) in TASKS.items():
            train(task, variant, toys, folder / name, overrides)
    return folder


def interrupted(*_):
    """As a process is that is killed."""
    raise KeyboardInterrupt


def stop_at(monkeypatch, stop):
    """Every objective raises at the steps whose running number (over all of them) is `stop`."""
    count = iter(range(10_000))

    def breaking(make):
        def made(*args):
            objective = make(*args)

            def loss(*step):
                if next(count) == stop:
                    raise Stopped
                return objective.loss(*step)

            return dataclasses.replace(objective, loss=loss)

        return made

    for module, name in (
        (attributes_fit, "teacher_objective"),
        (attributes_fit, "student_objective"),
        (attributes_fit, "bce_objective"),
        (taxonomy_fit, "objective"),
    ):
        monkeypatch.setattr(module, name, breaking(getattr(module, name)))


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_gives_the_same_weights(toys, unbroken, tmp_path, name):
    task, variant, overrides = TASKS[name]
    torch.rand(5)
    assert train(task, variant, toys, tmp_path / "m", [*overrides, "workers=3"]) == tmp_path / "m"
    assert bits(tmp_path / "m") == bits(unbroken / name)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]  # no checkpoint is left


def test_another_seed_gives_other_weights(toys, unbroken, tmp_path):
    train("taxonomy", "bcnn", toys, tmp_path / "m", [*TASKS["bcnn"][2], "seed=1"])
    assert bits(tmp_path / "m") != bits(unbroken / "bcnn")


@pytest.mark.parametrize("every_step", [True, False])
@pytest.mark.parametrize(
    ("name", "stop"), [("teacher", 1), ("teacher", 3), ("student", 5), ("student", 10), ("bce", 3), ("ssmtl-ca", 4)]
)
def test_stopped_and_resumed_equals_unbroken(toys, unbroken, tmp_path, monkeypatch, name, stop, every_step):
    task, variant, overrides = TASKS[name]
    with monkeypatch.context() as patch:
        if every_step:
            patch.setattr(engine, "CHECKPOINT_SECONDS", -1.0)
        stop_at(patch, stop)
        with pytest.raises(Stopped):
            train(task, variant, toys, tmp_path / "m", overrides)
    assert not (tmp_path / "m").exists()
    train(task, variant, toys, tmp_path / "m", overrides, resume=True)
    assert bits(tmp_path / "m") == bits(unbroken / name)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


class TestCheckpoints:
    @pytest.fixture
    def stopped(self, toys, tmp_path, monkeypatch):
        """A student that was stopped while its second teacher was learning."""
        with monkeypatch.context() as patch:
            stop_at(patch, 5)
            with pytest.raises(Stopped):
                train("attributes", "student", toys, tmp_path / "m", TASKS["student"][2])
        assert (tmp_path / ".m.training" / "teachers" / "0").is_dir()
        return tmp_path / "m"

    @pytest.mark.parametrize("other", ["epochs=3", "gamma=2", "seed=1"])
    def test_those_of_other_settings_are_refused(self, toys, stopped, other):
        """A finished teacher of other settings must not slip into the student."""
        with pytest.raises(InputError, match="checkpoints of another training"):
            train("attributes", "student", toys, stopped, [*TASKS["student"][2], other], resume=True)
        assert not stopped.exists()

    def test_those_of_other_data_or_tasks_are_refused(self, toys, stopped):
        fewer = toys.with_table(toys.table.iloc[:-1])
        with pytest.raises(InputError, match="checkpoints of another training"):
            train("attributes", "student", fewer, stopped, TASKS["student"][2], resume=True)
        with pytest.raises(InputError, match="checkpoints of another training"):
            train("taxonomy", "bcnn", toys, stopped, TASKS["bcnn"][2], resume=True)

    def test_without_resume_they_are_dropped(self, toys, stopped, unbroken):
        train("attributes", "student", toys, stopped, TASKS["student"][2])
        assert bits(stopped) == bits(unbroken / "student")

    def test_a_wrong_argument_drops_none(self, toys, stopped):
        with pytest.raises(InputError):
            train("attributes", "student", toys, stopped, ["epoch=3"])
        assert (stopped.parent / ".m.training" / "teachers" / "0").is_dir()

    def test_a_folder_of_one_s_own_keeps_what_else_is_in_it(self, toys, tmp_path):
        (tmp_path / "kept").mkdir()
        (tmp_path / "kept" / "mine.txt").write_text("mine")
        train("taxonomy", "bcnn", toys, tmp_path / "m", TASKS["bcnn"][2], checkpoints=tmp_path / "kept")
        assert [path.name for path in (tmp_path / "kept").iterdir()] == ["mine.txt"]

    def test_a_place_that_cannot_be_written_is_found_before_training(self, toys, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="cannot be written"):
            train("taxonomy", "bcnn", toys, tmp_path / "file" / "m", TASKS["bcnn"][2])


def test_a_loss_that_is_not_finite_is_an_input_error(toys, tmp_path, monkeypatch):
    monkeypatch.setattr(objective, "subtree_cross_entropy", lambda scores, *_: scores.sum() * float("nan"))
    with pytest.raises(InputError, match=rf"no longer finite .* \(training on {re.escape(toys.root)}\)"):
        train("taxonomy", "bcnn", toys, tmp_path / "m", TASKS["bcnn"][2])
    assert not (tmp_path / "m").exists()


class TestRefusals:
    def refused(self, toys, tmp_path, match, task="taxonomy", variant="bcnn", overrides=SMALL):
        with pytest.raises(InputError, match=match) as caught:
            train(task, variant, toys, tmp_path / "m", overrides)
        assert len(str(caught.value).splitlines()) == 1
        assert not (tmp_path / "m").exists()

    @pytest.mark.parametrize(
        ("task", "variant", "nearest"),
        [
            ("taxonomie", "", "taxonomy"),
            ("attribute", "teacher", "attributes"),
            ("taxonomy", "bccn", "bcnn"),
            ("taxonomy", "ssmtl-c", "ssmtl-ca"),
            ("attributes", "studnt", "student"),
            ("attributes", "bcnn", ""),
        ],
    )
    def test_unknown_task_or_variant_names_the_nearest(self, toys, tmp_path, task, variant, nearest):
        self.refused(toys, tmp_path, rf"did you mean {nearest}.*\? \(known: ", task, variant)

    def test_where_nothing_is_near_all_there_are_is_said(self, toys, tmp_path):
        self.refused(toys, tmp_path, "task '': unknown; known: attributes, taxonomy", "")
        self.refused(toys, tmp_path, r"'momentum': unknown key \(known: epochs, ", overrides=["momentum=0.9"])

    def test_unknown_setting_names_the_nearest(self, toys, tmp_path):
        self.refused(toys, tmp_path, "did you mean epochs", overrides=["epoch=3"])
        self.refused(toys, tmp_path, "unknown key", overrides=["gamma=1"])  # another task's

    @pytest.mark.parametrize("split", [None, "", "test"])
    def test_no_training_rows(self, toys, tmp_path, split):
        table = toys.table.drop(columns="split") if split is None else toys.table.assign(split=split)
        placed = dataclasses.replace(toys.with_table(table), place="/mine")
        self.refused(placed, tmp_path, "^/mine: no row has split 'train'; run `vitrine split` first")
        self.refused(placed, tmp_path, "did you mean epochs", overrides=["epoch=3"])  # what is asked for is first

    def test_one_valued_labels(self, toys, tmp_path):
        one = toys.with_table(toys.table.assign(**{"category": "A/B", "attr:colour": "red", f"attr:{OUTLINE}": ""}))
        self.refused(one, tmp_path, "category has one value")
        self.refused(one, tmp_path, "attr:colour has one value", "attributes", "teacher", ["type=colour", *SMALL])
        self.refused(one, tmp_path, "no attr:<type> column has two labels", "attributes", "student")

    @pytest.mark.parametrize("kind", ["", "color", "category"])
    def test_a_teacher_of_no_such_type(self, toys, tmp_path, kind):
        self.refused(
            toys, tmp_path, r"no attribute type .*a\.b, colour", "attributes", "teacher", [f"type={kind}", *SMALL]
        )

    def test_an_existing_folder(self, toys, tmp_path):
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "x").write_text("kept")
        for out in (tmp_path / "m", tmp_path / "m" / "x"):
            with pytest.raises(InputError, match="exists already"):
                train("taxonomy", "bcnn", toys, out, SMALL)
        (tmp_path / ".m.training").mkdir()
        (tmp_path / ".m.training" / "identity").write_text("of a training that was stopped")
        with pytest.raises(InputError, match="exists already"):
            train("taxonomy", "bcnn", toys, tmp_path / "m", SMALL, resume=True)
        assert (tmp_path / "m" / "x").read_text() == "kept"

    def test_the_place_of_a_model_of_another_training(self, toys, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(train_module, "_remove_checkpoints", interrupted)
            with pytest.raises(KeyboardInterrupt):
                train("taxonomy", "bcnn", toys, tmp_path / "m", SMALL)
        with pytest.raises(InputError, match="exists already, and is of another training"):
            train("taxonomy", "bcnn", toys, tmp_path / "m", [*SMALL, "seed=1"], resume=True)
        made = (tmp_path / "m" / "config.json").stat().st_mtime_ns
        assert train("taxonomy", "bcnn", toys, tmp_path / "m", SMALL, resume=True) == tmp_path / "m"
        assert (tmp_path / "m" / "config.json").stat().st_mtime_ns == made
        assert [path.name for path in tmp_path.iterdir()] == ["m"]

    def test_a_missing_photo(self, toys, tmp_path):
        lost = toys.table.copy()
        lost.loc[5, "image"] = "images/lost.png"
        self.refused(toys.with_table(lost), tmp_path, r"lost\.png: no such photo")


class TestGivenTeachers:
    @pytest.fixture(scope="class")
    def teachers(self, toys, decoded, tmp_path_factory):
        folder = tmp_path_factory.mktemp("teachers")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VITRINE_CACHE", str(decoded))
            for name, kind, dim, size in (
                ("colour", "colour", 8, 16),
                ("outline", OUTLINE, 8, 24),
                ("wide", OUTLINE, 9, 16),
            ):
                own = [
                    "epochs=1",
                    "batch_size=16",
                    f"type={kind}",
                    f"embedding_dim={dim}",
                    f"image_size={size}",
                    "weights=none",
                ]
                train("attributes", "teacher", toys, folder / name, own)
        return folder

    def student(self, toys, out, *teachers):
        return train("attributes", "", toys, out, ["teachers=" + ",".join(map(str, teachers)), *SMALL])

    def test_are_taken_as_they_are(self, toys, teachers, tmp_path):
        """Their own image sizes too; their embeddings' length counts, not the student's setting."""
        self.student(toys, tmp_path / "m", teachers / "colour", teachers / "outline")
        config = json.loads((tmp_path / "m" / "config.json").read_text())
        assert config["embedding_dim"] == 8
        assert list(config["labels"]) == ["colour", OUTLINE]
        learnt = load_file(tmp_path / "m" / "model.safetensors")
        for i, name in enumerate(("colour", "outline")):
            own = load_file(teachers / name / "model.safetensors")
            assert torch.equal(learnt[f"dictionaries.{i}"], own["dictionaries.0"])

    def test_may_teach_photos_without_any_label(self, toys, teachers, tmp_path):
        bare = toys.with_table(toys.table[["image", "split"]])
        self.student(bare, tmp_path / "m", teachers / "colour")
        assert json.loads((tmp_path / "m" / "metrics.json").read_text()) == {}

    def test_a_stopped_student_goes_on_with_teachers_found_elsewhere(self, toys, teachers, tmp_path, monkeypatch):
        self.student(toys, tmp_path / "whole", teachers / "colour")
        with monkeypatch.context() as patch:
            stop_at(patch, 5)
            with pytest.raises(Stopped):
                self.student(toys, tmp_path / "m", teachers / "colour")
        shutil.copytree(teachers / "colour", tmp_path / "copy")
        own = [f"teachers={tmp_path / 'copy'}", *SMALL]
        train("attributes", "", toys, tmp_path / "m", own, resume=True)
        assert bits(tmp_path / "m") == bits(tmp_path / "whole")

    @pytest.mark.parametrize(
        ("names", "match"),
        [
            (["colour", "colour"], "a second teacher of colour"),
            (["outline", "wide"], r"a second teacher of a\.b"),
            (["colour", "wide"], r"embeddings differ in length \(8, 9\)"),
            (["none"], "not a model folder"),
        ],
    )
    def test_refused(self, toys, teachers, tmp_path, names, match):
        with pytest.raises(InputError, match=match):
            self.student(toys, tmp_path / "m", *(teachers / name for name in names))
        assert not (tmp_path / "m").exists()

    def test_other_models_are_refused(self, toys, unbroken, tmp_path):
        with pytest.raises(InputError, match="is a model for taxonomy, not for attributes"):
            self.student(toys, tmp_path / "m", unbroken / "bcnn")
        with pytest.raises(InputError, match="is a net for 2 attribute types, not a teacher of one"):
            self.student(toys, tmp_path / "m", unbroken / "student")


@pytest.mark.parametrize("name", TASKS)
def test_the_folder_says_what_it_is(toys, unbroken, name):
    task, variant, _ = TASKS[name]
    folder = unbroken / name
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.md",
        "config.json",
        "metrics.json",
        "model.safetensors",
    ]
    config = json.loads((folder / "config.json").read_text())
    assert (config["task"], config["variant"], config["data_version"]) == (task, variant, "toy-1")
    assert config["normalisation"]["mean"] == [0.485, 0.456, 0.406]
    assert config["settings"]["epochs"] == 2
    assert all(temperature > 0 for temperature in config["temperatures"].values())
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f"validation/{tasks.get(task).decides}" in metrics
    shares = {key: value for key, value in metrics.items() if not key.endswith("/count")}
    assert all(key.startswith("validation/") and 0 <= value <= 1 for key, value in shares.items())
    assert "2 epochs, the best one" in (folder / "card.md").read_text()


def test_variants():
    for task in map(tasks.get, tasks.names()):
        assert check_variant(task, "") == task.default
        assert [check_variant(task, variant) for variant in task.variants] == list(task.variants)


def test_teachable_types(toys):
    table = toys.table.assign(**{"attr:one": "x", "attr:test only": np.where(toys.table["split"] == "test", "x", "")})
    assert teachable_types(toys.with_table(table)) == [OUTLINE, "colour"]


def test_without_validation_rows_the_last_epoch_is_kept(toys, tmp_path):
    everything = toys.with_table(toys.table.assign(split="train"))
    train("taxonomy", "ssmtl-ca", everything, tmp_path / "m", TASKS["ssmtl-ca"][2])
    assert "the best one 2" in (tmp_path / "m" / "card.md").read_text()


def test_progress_is_plain_lines_in_a_log(toys, tmp_path, capsys):
    train("taxonomy", "bcnn", toys, tmp_path / "m", TASKS["bcnn"][2])
    out, err = capsys.readouterr()
    assert re.fullmatch(
        r"(taxonomy bcnn: epoch \d/2, loss \d\.\d{4}, validation leaf top1 \d\.\d{4}, \d+\.\d s\n){2}", out
    )
    assert err == ""


def test_a_student_of_real_photos_beats_chance(datasets, tmp_path):
    """Gender and the five commonest colours of 400 catalogue photos of clothes."""
    ingest(datasets / "fashion", tmp_path / "catalog", format="fashion")
    catalog = read_catalog(tmp_path / "catalog")
    table = catalog.table[["image", "attr:gender", "attr:colour"]].sample(400, random_state=0)
    common = table["attr:colour"].value_counts().index[:5]
    table["attr:colour"] = table["attr:colour"].where(table["attr:colour"].isin(common), "")
    table["split"] = ["train"] * 280 + ["validation"] * 40 + ["test"] * 80
    catalog = Catalog(catalog.root, table.reset_index(drop=True), catalog.data_version)
    settings = ["image_size=40", "epochs=6", "embedding_dim=32", "batch_size=32", "weights=none", "views=1"]
    train("attributes", "student", catalog, tmp_path / "m", settings)
    outcome = apply(tmp_path / "m", catalog.of_split("test"))
    for question in outcome.targets:
        matrix = label_matrix(question.truth, question.labels)
        known = matrix[matrix.any(axis=1)]
        chance = known.sum(axis=1).mean() / len(question.labels)
        assert top1_accuracy(question.scores, matrix) > 1.5 * chance


UNNEEDED = ("torch._dynamo", "torchvision", "sklearn", "scipy.signal", "scipy.stats", "matplotlib", "evidently", "kfp")


def test_a_training_and_a_baseline_load_nothing_that_they_do_not_need(toys, tmp_path):
    write_catalog(toys, tmp_path / "table")
    code = (
        "import sys; from vitrine.catalog import read_catalog; from vitrine.train import train\n"
        f"train('taxonomy', 'bcnn', read_catalog({str(tmp_path / 'table')!r}), {str(tmp_path / 'm')!r}, {TASKS['bcnn'][2]!r})\n"
        "import numpy; from vitrine.blocks.logistic import fit_logistic; fit_logistic(numpy.eye(4), numpy.eye(4))\n"
        f"print('LOADED', sorted(set({UNNEEDED!r}) & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert said.splitlines()[-1] == "LOADED []"  # seconds each, in every step of a pipeline


def test_a_training_killed_at_any_rename_is_done_by_its_retry(toys, unbroken, tmp_path):
    """Also where its model was in place already, and even its checkpoints gone."""
    number = 0
    while True:
        number += 1
        out = tmp_path / str(number) / "m"
        again = {"resume": True, "checkpoints": tmp_path / str(number) / "kept"}
        killed = killed_at(number, train, "taxonomy", "bcnn", toys, out, TASKS["bcnn"][2], **again)
        assert train("taxonomy", "bcnn", toys, out, TASKS["bcnn"][2], **again) == out
        assert bits(out) == bits(unbroken / "bcnn")
        there = sorted(path.name for path in out.parent.iterdir() if path.suffix != ".tmp")  # what a kill leaves
        assert there in (["kept", "m"], ["m"])
        if not killed:
            break
    assert number > 3
    shutil.rmtree(tmp_path / "1/kept", ignore_errors=True)
    assert train("taxonomy", "bcnn", toys, tmp_path / "1/m", TASKS["bcnn"][2], resume=True) == tmp_path / "1/m"
