"""The taxonomy nets learn a toy catalog, and what they answer about the levels agrees."""

import math
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from toys import CATEGORIES, OUTLINE, toy_catalog

from vitrine.blocks.mixup import mixup
from vitrine.catalog import Catalog
from vitrine.data.augment import augment
from vitrine.data.photo_store import PhotoStore
from vitrine.data.truth import label_matrix, labelled_accuracy, top1_accuracy
from vitrine.errors import InputError
from vitrine.predict import apply
from vitrine.predictions import PhotoPredictions
from vitrine.tasks.taxonomy.metrics import taxonomy_metrics
from vitrine.tasks.taxonomy.net import HEAT, LEAF, TaxonomyNet
from vitrine.tasks.taxonomy.objective import objective
from vitrine.tasks.taxonomy.plan import describe
from vitrine.tasks.taxonomy.predictions import label_predictions, label_targets, labelled_targets
from vitrine.tasks.taxonomy.settings import TaxonomySettings
from vitrine.tasks.taxonomy.systems import build


def table(*rows, **columns):
    paths = [path for path, _ in rows]
    return pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(len(rows))],
            "category": paths,
            "split": [split for _, split in rows],
            **columns,
        }
    )


@pytest.mark.parametrize("salient", [True, False])
@pytest.mark.parametrize("states", [{}, {"items": 3, "a.b": 2}])
def test_shapes_and_names(salient, states):
    net = TaxonomyNet("resnet18_narrow", 32, 7, {"level1": 2}, states, salient, hidden=16)
    features, scores = net(torch.randn(3, 3, 32, 32))
    assert features.shape == (3, 16)
    assert {name: tuple(own.shape) for name, own in scores.items()} == {
        LEAF: (3, 7),
        "level1": (3, 2),
        **{f"attr:{kind}": (3, m) for kind, m in states.items()},
        **({HEAT: (3, 2, 2)} if salient else {}),
    }
    assert (net.attention is not None) is salient


@pytest.mark.parametrize(("stage", "size"), [(1, 4), (2, 8), (3, 16)])
def test_the_module_behind_an_earlier_stage(stage, size):
    net = TaxonomyNet("resnet18_narrow", 32, 7, {}, {}, True, hidden=16, stage=stage).eval()
    photos = torch.randn(3, 3, 32, 32)
    _, scores = net(photos)
    assert scores[HEAT].shape == (3, size, size)
    with torch.no_grad():
        net.attention.template.zero_()  # a map of zeros goes on, whatever the photo
    _, blind = net(photos)
    assert torch.allclose(blind[LEAF][0], blind[LEAF][1])
    assert not torch.allclose(scores[LEAF][0], scores[LEAF][1])


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "size", "has"), [("resnet18_narrow", 32, 3), ("vit_b_32", 32, 0)])
def test_a_stage_that_is_none(backbone, size, has):
    with pytest.raises(InputError, match=f"salient_stage=9: {backbone} has {has} stages before its last"):
        TaxonomyNet(backbone, size, 7, {}, {}, True, hidden=16, stage=9)


class TestDescribe:
    CATALOG = Catalog(
        "/r",
        table(
            ("A/B", "train"),
            ("A/C/D", "train"),
            ("A/C", "train"),
            ("Z", "test"),
            **{"attr:two": ["x", "y|z", "", "w"], "attr:one": ["x", "x", "", "y"]},
        ),
    )

    FLAT: ClassVar = {"leaves": ["A/B", "A/C/D"], "levels": [], "labels": {}, "salient": False, "refined": False}

    def test_only_what_training_photos_show(self):
        described = describe(self.CATALOG, "ssmtl-ca")
        assert described == self.FLAT | {"levels": [], "labels": {"two": ["x", "y", "z"]}, "salient": True}

    def test_the_flat_net(self):
        assert describe(self.CATALOG, "bcnn") == self.FLAT

    @pytest.mark.parametrize(("variant", "same"), [("ssmtl-ca", "ssmtl-rl"), ("bmtl-ca", "bmtl-rl")])
    def test_levels_stand_in_for_attributes(self, variant, same):
        leaves = [("A/B", "train"), ("A/C", "train"), ("D/E", "train")]
        one_label = {"attr:one": ["x", "x", ""]}  # which teaches nothing
        catalog = Catalog("/r", table(*leaves, **one_label))
        assert describe(catalog, variant) == describe(catalog, same)
        assert describe(catalog, variant)["levels"] == [1]

    @pytest.mark.parametrize(
        ("rows", "what"),
        [
            ([("A/B", "train"), ("C", "test")], "one value"),
            ([("A/B", "train"), ("A", "train")], "one value"),
            ([("", "train"), ("A", "validation")], "no label"),
        ],
    )
    def test_nothing_to_learn(self, rows, what):
        with pytest.raises(InputError, match=f"category has {what}"):
            describe(Catalog("/r", table(*rows)), "bcnn")
        with pytest.raises(InputError, match="category has no label"):
            describe(Catalog("/r", table(*rows).drop(columns="category")), "bcnn")

    def test_unknown_variant(self):
        with pytest.raises(InputError, match="no variant 'x'"):
            describe(self.CATALOG, "x")


def test_it_learns(trained):
    catalog, folder = trained
    outcome = apply(folder / "taxonomy", catalog.of_split("test"))
    found = {q.name: top1_accuracy(q.scores, label_matrix(q.truth, q.labels)) for q in outcome.targets}
    assert list(found) == ["level1", "level2", "level3", f"attr:{OUTLINE}", "attr:colour"]
    assert found["level3"] > 0.6  # chance: 1/4
    assert found["level1"] > 0.8  # chance: 1/2
    assert found["attr:colour"] > 0.6  # chance: 1/3
    assert outcome.embeddings.shape == (24, 64)


def test_a_coarse_answer_is_the_sum_over_its_leaves(trained):
    catalog, folder = trained
    outcome = apply(folder / "taxonomy", catalog)
    levels = {question.name: question for question in outcome.targets}
    leaves = levels["level3"].scores
    assert np.allclose(leaves.sum(axis=1), 1)
    assert levels["level3"].labels == tuple(sorted(CATEGORIES))
    for name in ("level1", "level2"):
        for place, node in enumerate(levels[name].labels):
            below = [i for i, leaf in enumerate(levels["level3"].labels) if leaf == node or leaf.startswith(f"{node}/")]
            assert np.allclose(levels[name].scores[:, place], leaves[:, below].sum(axis=1), atol=1e-5)
    for question in outcome.targets:
        assert ((question.confidence > 0) & (question.confidence <= 1 + 1e-6)).all()


def test_unseen_labels_count_as_misses_and_rows_cut_short_only_where_known():
    config = {"leaves": ["A/B/C", "A/B/D", "E/F"], "labels": {}}
    rows = table(("A/B/C", ""), ("A/B", ""), ("A/X/Y", ""), ("E/F", ""), ("Z", ""), ("", ""))
    asked = label_predictions(config, {LEAF: np.zeros((6, 3), np.float32)}, rows, {LEAF: 1.0})
    assert [question.truth for question in asked] == [
        [["A"], ["A"], ["A"], ["E"], ["Z"], []],
        [["A/B"], ["A/B"], ["A/X"], ["E/F"], ["Z"], []],
        [["A/B/C"], [], ["A/X/Y"], ["E/F"], ["Z"], []],
    ]


def test_questions_without_a_category_column():
    asked = label_predictions(
        {"leaves": ["A", "B"], "labels": {}},
        {LEAF: np.zeros((1, 2), np.float32)},
        pd.DataFrame({"image": ["x"]}),
        {LEAF: 1.0},
    )
    assert [question.truth for question in asked] == [[[]]]


class TestLesson:
    @pytest.fixture
    def parts(self, tmp_path):
        catalog = toy_catalog(tmp_path / "toys", photos=24, size=16)
        own = catalog.table.assign(split="train")
        own.loc[0, "category"] = "Angular/Square"  # cut short, annotated below
        own.loc[0, "attr:colour"] = "red|blue"
        own.loc[1, ["category", "attr:colour", f"attr:{OUTLINE}"]] = ["Round", "", ""]  # cut short, nothing else
        own.loc[2, ["category", "attr:colour", f"attr:{OUTLINE}"]] = ""
        catalog = catalog.with_table(own)
        settings = TaxonomySettings(image_size=16, batch_size=24, hidden=8, attribute_weight=0.7)
        config = {"backbone": "resnet18_narrow", "image_size": 16, "hidden": 8} | describe(catalog, "ssmtl-ca")
        torch.manual_seed(0)
        net = build(config).eval()
        store = PhotoStore([catalog.uri(image) for image in own["image"]], 16, workers=1)
        return net, config, own, objective(net, catalog, store, config, settings)

    def sum_of_losses(self, config, frame, scores, rows):
        """Eq. 5, photo by photo, label by label: the i-th scores against the labels of the i-th row."""
        annotated = {kind: sum(cell != "" for cell in frame[f"attr:{kind}"]) for kind in config["labels"]}
        rarest = min(annotated.values())
        total = 0.0
        for name, truth, labels in label_targets(config, frame):
            weight = 1.0
            if name != LEAF:
                weight = 0.7 * max(0.1, 0.5 * rarest / annotated[name.removeprefix("attr:")])
            for i, row in enumerate(rows):
                exponentials = [math.exp(score) for score in scores[name][i].tolist()]
                shares = [exponentials[labels.index(label)] / sum(exponentials) for label in truth[row]]
                if name == LEAF:
                    total += -math.log(sum(shares)) if shares else 0.0
                else:
                    total += sum(-weight * math.log(share) / len(shares) for share in shares)
        return total / len(rows)

    def test_photos_without_any_label_are_left_out(self, parts):
        *_, own = parts
        ((rows, pixels),) = own.batches(0, 0)
        assert sorted(rows.tolist()) == [0, 1, *range(3, 24)]  # row 1 says only that some leaf below Round is right
        assert len(pixels) == 23

    def test_the_loss_equals_equation_5(self, parts):
        net, config, frame, own = parts
        ((rows, pixels),) = own.batches(0, 0)
        with torch.no_grad():
            got = own.at(0, 0, (rows, pixels), torch.device("cpu")).item()
            _, scores = net(augment(pixels, (0, 0, 0)))
        assert got == pytest.approx(self.sum_of_losses(config, frame, scores, rows), rel=1e-5)

    def test_a_blend_is_taught_what_both_of_its_photos_are(self, parts, tmp_path):
        net, config, frame, _ = parts
        catalog = toy_catalog(tmp_path / "again", photos=24, size=16).with_table(frame)
        store = PhotoStore([catalog.uri(image) for image in frame["image"]], 16, workers=1)
        settings = TaxonomySettings(image_size=16, batch_size=24, hidden=8, attribute_weight=0.7, mixup=1.0, views=2)
        own = objective(net, catalog, store, config, settings)
        (rows, pixels), (again, _) = own.batches(0, 0)
        assert sorted([*rows, *again]) == sorted([0, 1, *range(3, 24)] * 2)
        assert own.steps == 2
        net.leaf[2].weight.data *= 50  # a net without opinions would lose as much by any labels
        with torch.no_grad():
            got = own.at(0, 7, (rows, pixels), torch.device("cpu")).item()
            blends, partners, share = mixup(augment(pixels, (0, 0, 7)), 1.0, (0, 0, 7))
            _, scores = net(blends)
        losses = [self.sum_of_losses(config, frame, scores, shown) for shown in (rows, rows[partners])]
        assert 0.02 < share < 0.98
        assert losses[0] != pytest.approx(losses[1], rel=1e-3)
        assert got == pytest.approx(share * losses[0] + (1 - share) * losses[1], rel=1e-5)

    def test_a_row_cut_short_teaches_its_subtree_and_its_attributes(self, parts):
        net, config, frame, own = parts
        pixels = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
        below = next(truth for name, truth, _ in label_targets(config, frame) if name == LEAF)
        assert below[0] == ["Angular/Square/Crossed", "Angular/Square/Plain"]
        assert below[1] == [leaf for leaf in config["leaves"] if leaf.startswith("Round/")]
        assert len(below[1]) > 1
        own.at(0, 0, (np.array([1]), pixels), torch.device("cpu")).backward()
        gradient = net.leaf[2].bias.grad
        inside = torch.tensor([leaf in below[1] for leaf in config["leaves"]])
        assert (gradient[inside] < 0).all()  # pushed up together
        assert (gradient[~inside] > 0).all()


def test_a_row_counts_in_the_levels_that_its_category_reaches():
    """Seventy rows with a leaf and six with its root only, which any answer below the root would get right."""
    leaves = ["A/x", "A/y", "B/z"]
    config = {"leaves": leaves, "labels": {}, "levels": [1]}
    paths = ["A/x"] * 40 + ["A/y"] * 20 + ["B/z"] * 10 + ["A"] * 6 + [""] * 4
    table = pd.DataFrame({"image": [str(n) for n in range(80)], "category": paths})
    scores = np.tile([1.0, 0.0, 0.0], (80, 1))  # A/x for every photo
    found = {}
    for name, truth, labels in labelled_targets(config, table):
        own = scores if len(labels) == 3 else np.tile([1.0, 0.0], (80, 1))
        found[name] = labelled_accuracy(own, truth, labels)
    assert found == {"level1": (pytest.approx(66 / 76), 76), "leaf": (pytest.approx(40 / 70), 70)}
    answered = label_predictions(config, {"leaf": np.log(scores + 1e-9)}, table, {"leaf": 1.0})
    metrics = taxonomy_metrics(PhotoPredictions("taxonomy", table["image"].tolist(), answered, np.zeros((80, 1)), 1.0))
    assert (metrics["level1/count"], metrics["level2/count"]) == (76, 70)
    assert (metrics["level1/top1"], metrics["level2/top1"]) == (pytest.approx(66 / 76), pytest.approx(40 / 70))
