"""Teachers and the student learn a toy catalog (MTSS, Section 3)."""

import copy
import uuid

import numpy as np
import pandas as pd
import pytest
import torch
from toys import OUTLINE, toy_catalog

from vitrine import tasks
from vitrine.blocks.cut import cut_off
from vitrine.catalog import Catalog
from vitrine.data.feature_store import FeatureStore
from vitrine.data.photo_store import PhotoStore
from vitrine.data.truth import label_matrix, top1_accuracy
from vitrine.errors import InputError
from vitrine.inference import run_net
from vitrine.predict import apply, load_model
from vitrine.tasks.attributes import fit
from vitrine.tasks.attributes.net import AttributeNet, LogisticNet, build
from vitrine.tasks.attributes.objective import bce_objective, classes_of, student_objective, teacher_objective
from vitrine.tasks.attributes.predictions import label_targets
from vitrine.tasks.attributes.settings import BceSettings, StudentSettings, TeacherSettings
from vitrine.tasks.attributes.teacher_embeddings import teacher_embeddings

LABELS = {"items": ["a", "b", "c"], "training": ["x", "y"], "a.b": ["l", "m", "n", "o"]}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return AttributeNet("resnet18_narrow", 32, LABELS, embedding_dim=8)


@pytest.fixture
def store(trained):
    catalog, _ = trained
    return PhotoStore([catalog.uri(image) for image in catalog.table["image"]], 32, workers=1)


def accuracy(model, catalog):
    outcome = apply(model, catalog)
    return {
        question.name: top1_accuracy(question.scores, label_matrix(question.truth, question.labels))
        for question in outcome.targets
    }


def embedded(folder, store, teacher=None):
    """Where a teacher places photos, (n, D) of unit length, asked anew."""
    store.contents = [f"{uuid.uuid4()}" for _ in range(len(store))]
    return teacher_embeddings(folder, teacher or load_model(folder)[0], store, np.arange(len(store)))[0][:, 0]


def test_shapes_and_names(net):
    photos = torch.randn(5, 3, 32, 32)
    features, embeddings = net.embed(photos)
    assert features.shape == (5, 128)
    assert {kind: tuple(own.shape) for kind, own in embeddings.items()} == dict.fromkeys(LABELS, (5, 8))
    _, scores = net(photos)
    assert {kind: own.shape[1] for kind, own in scores.items()} == {"items": 3, "training": 2, "a.b": 4}
    assert net.training


def test_scores_are_the_cosines_to_the_label_embeddings(net):
    net.eval()
    photos = torch.randn(4, 3, 32, 32)
    _, embeddings = net.embed(photos)
    _, scores = net(photos)
    for kind, dictionary in zip(net.kinds, net.dictionaries, strict=True):
        for i in range(4):
            for n in range(len(dictionary)):
                wanted = torch.cosine_similarity(embeddings[kind][i], dictionary[n], dim=0)
                assert scores[kind][i, n].item() == pytest.approx(wanted.item(), abs=1e-5)


def test_build_from_a_config():
    config = {
        "variant": "student",
        "backbone": "resnet18_narrow",
        "image_size": 32,
        "labels": LABELS,
        "embedding_dim": 8,
    }
    assert [len(own) for own in build(config).dictionaries] == [3, 2, 4]


def test_tasks_name_truth_and_labels():
    table = pd.DataFrame({"image": ["1", "2"], "attr:items": ["a|b", ""]})
    assert label_targets({"labels": {"items": ["a", "b"]}}, table) == [("items", [["a", "b"], []], ["a", "b"])]


@pytest.mark.parametrize(("labels", "what"), [(["x", "x"], "one value"), (["", ""], "no label"), (["x", "x|"], "one")])
def test_one_value_cannot_be_learnt(labels, what):
    table = pd.DataFrame({"image": ["1", "2", "3"], "attr:k": [*labels, "other"], "split": ["train", "train", "test"]})
    with pytest.raises(InputError, match=f"attr:k has {what}"):
        classes_of(Catalog("/r", table), "k")


def test_the_teachers_learn(trained):
    catalog, folder = trained
    test = catalog.of_split("test")
    assert accuracy(folder / "teacher colour", test)["attr:colour"] > 0.8  # chance: 1/3
    assert accuracy(folder / "teacher a.b", test)[f"attr:{OUTLINE}"] > 0.8  # chance: 1/2


def test_the_student_learns_every_type(trained):
    catalog, folder = trained
    found = accuracy(folder / "student", catalog.of_split("test"))
    assert found["attr:colour"] > 0.8
    assert found[f"attr:{OUTLINE}"] > 0.8


def test_the_student_agrees_with_its_teachers(trained, store):
    catalog, folder = trained
    rows = np.flatnonzero(catalog.table["split"] == "test")
    student, _ = load_model(folder / "student")
    for kind in ("colour", OUTLINE):
        taught = embedded(folder / f"teacher {kind}", store)[rows]
        learnt = run_net(student, store, rows, embeddings=True)[1][kind]
        cosines = (taught * learnt).sum(1) / np.linalg.norm(taught, axis=1) / np.linalg.norm(learnt, axis=1)
        assert cosines.mean() > 0.7


def test_the_dictionaries_do_not_move_in_the_student(trained):
    _, folder = trained
    student, _ = load_model(folder / "student")
    for kind, own in zip(student.kinds, student.dictionaries, strict=True):
        teacher, _ = load_model(folder / f"teacher {kind}")
        assert torch.equal(own, teacher.dictionaries[0])


@pytest.mark.parametrize("was_training", [True, False])
def test_teaching_leaves_the_teacher_as_it_was(trained, store, was_training):
    _, folder = trained
    teacher, _ = load_model(folder / "teacher colour")
    teacher.train(was_training)
    before = copy.deepcopy(teacher.state_dict())
    taught = embedded(folder / "teacher colour", store, teacher)
    assert taught.shape == (len(store), 32)
    assert taught.dtype == np.float16
    assert teacher.training is was_training
    assert all(torch.equal(own, before[name]) for name, own in teacher.state_dict().items())
    assert not any(module.training for module in load_model(folder / "teacher colour")[0].modules())


def test_teaching_does_not_depend_on_what_else_is_in_the_batch(trained, store):
    """As it would if batch norm used the batch's own statistics."""
    _, folder = trained
    teacher, _ = load_model(folder / "teacher colour")
    alone = run_net(teacher, store, np.array([5]), embeddings=True)[1]["colour"][0]
    taught = embedded(folder / "teacher colour", store)[5]
    assert np.allclose(alone / np.linalg.norm(alone), taught, atol=1e-3)


class TestTeacherLesson:
    @pytest.fixture(scope="class")
    def catalog(self, tmp_path_factory):
        catalog = toy_catalog(tmp_path_factory.mktemp("t") / "toys", photos=48)
        colours = catalog.table["attr:colour"].tolist()
        colours[3] = "red|blue"
        return catalog.with_table(catalog.table.assign(**{"attr:colour": colours}))

    def objective(self, catalog, gamma=0.0):
        torch.manual_seed(0)
        classes = classes_of(catalog, "colour")
        net = AttributeNet("resnet18_narrow", 16, {"colour": classes}, 8)
        store = PhotoStore([catalog.uri(image) for image in catalog.table["image"]], 16, workers=1)
        settings = TeacherSettings(image_size=16, batch_size=8, gamma=gamma, type="colour")
        return teacher_objective(net, catalog, store, "colour", classes, settings), classes

    def test_batches_hold_annotated_training_photos_of_even_classes(self, catalog):
        objective, classes = self.objective(catalog)
        drawn = [batch for epoch in range(6) for batch in objective.batches(epoch, 0)]
        assert len(drawn) == 6 * objective.steps
        for (rows, labels), pixels in drawn:
            assert pixels.shape == (8, 3, 16, 16)
            for row, label in zip(rows, labels, strict=True):
                assert catalog.table["split"][row] == "train"
                assert classes[label] in catalog.table["attr:colour"][row].split("|")
        counts = np.bincount(np.concatenate([labels for (_, labels), _ in drawn]))
        assert counts.max() - counts.min() <= 6  # at most one an epoch

    def test_batches_from_a_later_step_are_the_rest(self, catalog):
        objective, _ = self.objective(catalog)
        whole, rest = list(objective.batches(2, 0)), list(objective.batches(2, 1))
        assert [rows.tolist() for (rows, _), _ in whole[1:]] == [rows.tolist() for (rows, _), _ in rest]
        assert list(objective.batches(2, objective.steps)) == []

    def test_a_photo_of_two_labels_is_no_negative_of_either(self, catalog):
        objective, classes = self.objective(catalog)
        both = np.array([3, 3])
        labels = np.array([classes.index("red"), classes.index("blue")])
        pixels = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
        assert objective.at(0, 0, ((both, labels), pixels), torch.device("cpu")).item() == 0

    def test_no_validation_photo_no_score(self, catalog):
        table = catalog.table.assign(split="train")
        assert self.objective(catalog.with_table(table))[0].score() is None


class TestStudentLesson:
    def test_every_training_photo_serves_labelled_or_not_and_rows_keep_their_targets(self, tmp_path):
        """With targets that name their row, a loss on a shuffled batch shows which rows it was compared with."""
        catalog = toy_catalog(tmp_path / "toys", photos=24)
        catalog = catalog.with_table(catalog.table.assign(**{"attr:colour": "", "split": "train"}))
        torch.manual_seed(0)
        net = AttributeNet("resnet18_narrow", 16, {"colour": ["a", "b"]}, 24).eval()
        store = PhotoStore([catalog.uri(image) for image in catalog.table["image"]], 16, workers=1)
        taught = np.eye(24, dtype=np.float32)
        settings = StudentSettings(image_size=16, batch_size=8, beta=0.0, views=1, mixup=0)
        objective = student_objective(
            net, catalog, store, {"colour": taught[:, None]}, settings, {"colour": ["a", "b"]}
        )
        batches = list(objective.batches(0, 0))
        assert sorted(np.concatenate([rows for rows, _ in batches]).tolist()) == list(range(24))
        rows, pixels = batches[0]

        from vitrine.data.augment import augment

        with torch.no_grad():
            got = objective.at(0, 0, (rows, pixels), torch.device("cpu")).item()
            embedded = torch.nn.functional.normalize(net.embed(augment(pixels, (0, 0, 0)))[1]["colour"], dim=1)
        wanted = np.mean([1 - embedded[i, row].item() for i, row in enumerate(rows)])
        assert got == pytest.approx(wanted, rel=1e-5)
        assert objective.score() is None

    def test_a_blend_is_to_lie_between_what_the_teacher_says_of_both(self, tmp_path):
        """Eq. 4 on mixed photos, pair by pair."""
        catalog = toy_catalog(tmp_path / "toys", photos=12)
        catalog = catalog.with_table(catalog.table.assign(split="train"))
        torch.manual_seed(0)
        net = AttributeNet("resnet18_narrow", 16, {"colour": ["a", "b"]}, 4).eval()
        store = PhotoStore([catalog.uri(image) for image in catalog.table["image"]], 16, workers=1)
        taught = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
        settings = StudentSettings(image_size=16, batch_size=12, views=1, mixup=1.0, seed=3)
        objective = student_objective(
            net, catalog, store, {"colour": taught[:, None]}, settings, {"colour": ["a", "b"]}
        )
        (rows, pixels), *_ = objective.batches(0, 0)

        from vitrine.blocks.mixup import mixup
        from vitrine.data.augment import augment

        with torch.no_grad():
            got = objective.at(0, 5, (rows, pixels), torch.device("cpu")).item()
            blends, partners, share = mixup(augment(pixels, (3, 0, 5)), 1.0, (3, 0, 5))
            placed = net.embed(blends)[1]["colour"].double().numpy()
        labels = net.dictionaries[0].detach().double().numpy()

        def cosine(a, b):
            return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

        def apart(e, row):
            sure = max(0.0, *(cosine(d, taught[row]) for d in labels))
            return sure * (1 - cosine(e, taught[row]))

        wanted = np.mean(
            [share * apart(e, rows[i]) + (1 - share) * apart(e, rows[partners[i]]) for i, e in enumerate(placed)]
        )
        assert got == pytest.approx(wanted, rel=1e-4)

    def test_each_view_is_compared_with_where_the_teacher_places_that_view(self, tmp_path):
        """Which copy a photo was shown as is told by its maps."""
        catalog = toy_catalog(tmp_path / "toys", photos=8)
        catalog = catalog.with_table(catalog.table.assign(split="train"))
        torch.manual_seed(0)
        net = AttributeNet("resnet18_narrow", 16, {"colour": ["a", "b"]}, 4).eval()
        uris = [catalog.uri(image) for image in catalog.table["image"]]
        photos = PhotoStore(uris, 16, workers=1, contents=uris)
        taught = np.random.default_rng(0).normal(size=(8, 3, 4)).astype(np.float16)
        settings = StudentSettings(image_size=16, batch_size=8, beta=0.0, views=1, mixup=0, seed=3)
        cpu = torch.device("cpu")
        with cut_off(net, 2) as first, torch.no_grad():
            store = FeatureStore(photos, first, copies=3, folder=tmp_path / "maps")
            objective = student_objective(net, catalog, store, {"colour": taught}, settings, {"colour": ["a", "b"]})
            (rows, batch), *_ = objective.batches(0, 0)
            got = objective.at(0, 5, (rows, batch), cpu).item()
            shown = store.augmented(batch, cpu, (3, 0, 5))
            placed = net.embed(shown.clone())[1]["colour"].double().numpy()  # a ReLU may work in place
            looks = torch.stack([store.copy(batch, cpu, number) for number in (1, 2, 3)])
        copies = np.array([next(n for n in range(3) if torch.equal(looks[n, i], shown[i])) for i in range(8)])
        assert len(set(copies.tolist())) > 1
        targets = taught[rows, copies].astype(np.float64)
        cosines = (placed * targets).sum(1) / np.linalg.norm(placed, axis=1) / np.linalg.norm(targets, axis=1)
        assert got == pytest.approx((1 - cosines).mean(), rel=1e-4)

    def test_uncertain_photos_weigh_nothing(self, tmp_path):
        catalog = toy_catalog(tmp_path / "toys", photos=12)
        net = AttributeNet("resnet18_narrow", 16, {"colour": ["a", "b"]}, 4)
        with torch.no_grad():
            net.dictionaries[0].copy_(torch.eye(2, 4))
        store = PhotoStore([catalog.uri(image) for image in catalog.table["image"]], 16, workers=1)
        taught = np.tile(np.float32([-1, -1, 0, 0]), (12, 1))
        objective = student_objective(
            net, catalog, store, {"colour": taught[:, None]}, StudentSettings(image_size=16, views=1), {"colour": []}
        )
        (batch,) = objective.batches(0, 0)
        assert objective.at(0, 0, batch, torch.device("cpu")).item() == 0

    def test_unlabelled_and_corrupted_photos_are_mixed_in(self, tmp_path):
        catalog = toy_catalog(tmp_path / "toys", photos=24)
        catalog = catalog.with_table(catalog.table.assign(split=["train"] * 20 + ["test"] * 4))
        uris = [catalog.uri(image) for image in catalog.table["image"]]
        store = PhotoStore([*uris, *uris[:6]], 16, workers=1)  # six photos of another catalog
        net = AttributeNet("resnet18_narrow", 16, {"colour": ["red", "blue"]}, 4)
        settings = StudentSettings(
            image_size=16, batch_size=8, views=2, labelled=0.1, unlabelled="x", unlabelled_share=0.2, corrupted=0.2
        )
        taught = np.ones((30, 4), np.float32)
        objective = student_objective(
            net, catalog, store, {"colour": taught[:, None]}, settings, {"colour": ["red", "blue"]}
        )
        batches = list(objective.batches(0, 0))
        assert len(batches) == objective.steps == 10
        rows = np.concatenate([rows for rows, _ in batches])
        assert not np.isin(rows, np.arange(20, 24)).any()  # test photos
        assert (rows >= 24).sum() >= 16  # a fifth of 80, and some of the corrupted
        changed = [
            not torch.equal(pixels[i], store.read(np.array([row]))[0])
            for rows, pixels in batches
            for i, row in enumerate(rows)
        ]
        assert np.mean(changed) == pytest.approx(0.2, abs=0.03)
        again = list(objective.batches(0, 3))
        assert all(torch.equal(a[1], b[1]) for a, b in zip(batches[3:], again, strict=True))


class TestBceLesson:
    def objective(self, tmp_path, labels, **settings):
        catalog = toy_catalog(tmp_path / "toys", photos=48)
        torch.manual_seed(0)
        net = LogisticNet("resnet18_narrow", 16, labels)
        store = PhotoStore([catalog.uri(image) for image in catalog.table["image"]], 16, workers=1)
        return (
            catalog,
            net,
            bce_objective(net, catalog, store, labels, BceSettings(image_size=16, batch_size=8, **settings)),
        )

    def test_one_type_is_drawn_as_its_teacher_draws(self, tmp_path):
        labels = {"colour": ["blue", "green", "red"]}
        catalog, _, objective = self.objective(tmp_path, labels)
        net = AttributeNet("resnet18_narrow", 16, labels, 8)
        store = PhotoStore([catalog.uri(image) for image in catalog.table["image"]], 16, workers=1)
        settings = TeacherSettings(image_size=16, batch_size=8, type="colour")
        other = teacher_objective(net, catalog, store, "colour", labels["colour"], settings)
        assert objective.steps == other.steps
        mine, theirs = list(objective.batches(1, 0)), list(other.batches(1, 0))
        assert [rows.tolist() for rows, _ in mine] == [rows.tolist() for (rows, _), _ in theirs]

    def test_each_type_has_its_share(self, tmp_path):
        kinds = ("colour", OUTLINE)
        toys = toy_catalog(tmp_path / "same", photos=48)
        catalog, _, objective = self.objective(tmp_path, {kind: classes_of(toys, kind) for kind in kinds})
        rows, pixels = next(iter(objective.batches(0, 0)))
        assert len(rows) == len(pixels) == 8
        assert (catalog.table["split"].iloc[rows] == "train").all()
        loss = objective.at(0, 0, (rows, pixels), torch.device("cpu"))
        assert loss.item() > 0


@pytest.mark.parametrize("stored_by", ["this training", "another meanwhile", "one that was stopped before it stored"])
def test_a_teacher_is_stored_once_whoever_trains_it(tmp_path, monkeypatch, stored_by):
    catalog = toy_catalog(tmp_path / "toys", photos=24)
    store = str(tmp_path / "store")
    settings = StudentSettings(type="colour", teacher_store=store, backbone="resnet18_narrow", weights="none")
    trained = []

    def train_teacher(catalog, out, own, folder, task):
        trained.append(out)
        out.mkdir(parents=True)
        (out / "model").write_text("this training's")
        if stored_by == "another meanwhile":
            place = tmp_path / "store" / fit.teacher_key(catalog, own)
            place.mkdir(parents=True)
            (place / "model").write_text("another's")

    monkeypatch.setattr(fit, "train_teacher", train_teacher)
    if stored_by == "one that was stopped before it stored":
        (tmp_path / "checkpoints/teachers/0").mkdir(parents=True)
        (tmp_path / "checkpoints/teachers/0/model").write_text("its own")
    (first,) = fit._train_teachers(catalog, settings, tmp_path / "checkpoints", tasks.get("attributes"))
    assert first == tmp_path / "checkpoints/teachers/0"  # the one it trained, whatever came into the store
    (stored,) = (tmp_path / "store").iterdir()
    said = {"this training": "this training's", "another meanwhile": "another's"}.get(stored_by, "its own")
    assert (stored / "model").read_text() == said
    assert fit._train_teachers(catalog, settings, tmp_path / "later", tasks.get("attributes")) == [stored]
    assert len(trained) == (stored_by != "one that was stopped before it stored")
