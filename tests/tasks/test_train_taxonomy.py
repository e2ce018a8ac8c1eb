"""All systems from one command each, MCR on given nets, and going on from an earlier net with other leaves."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toys import OUTLINE

from vitrine.catalog.tree import CategoryTree
from vitrine.errors import InputError
from vitrine.evaluate import compute_metrics
from vitrine.predict import apply, load_model
from vitrine.tasks.taxonomy.plan import VARIANTS
from vitrine.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ["image_size=16", "batch_size=16", "epochs=1", "precision=32", "hidden=8", "weights=none"]


@pytest.fixture(scope="session")
def models(toys, decoded, tmp_path_factory, slow_to_make):
    """A model folder of each variant."""
    folder = tmp_path_factory.mktemp("variants")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINE_CACHE", str(decoded))
        torch.set_num_threads(1)
        for variant in VARIANTS:
            train("taxonomy", variant, toys, folder / variant, SMALL)
    return folder


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_system_answers_every_level_without_contradiction(toys, models, variant):
    outcome = apply(models / variant, toys.of_split("test"))
    levels = [question for question in outcome.targets if question.name.startswith("level")]
    assert [question.name for question in levels] == ["level1", "level2", "level3"]
    tree = CategoryTree(levels[-1].labels)
    for i, question in enumerate(levels, start=1):
        assert np.allclose(question.scores, levels[-1].scores @ tree.membership(i), atol=1e-5)
        assert np.allclose(question.scores.sum(axis=1), 1, atol=1e-5)
    attributes = {question.name for question in outcome.targets} - {question.name for question in levels}
    assert attributes == ({f"attr:{OUTLINE}", "attr:colour"} if variant.endswith(("-ca", "n-mtl")) else set())
    assert (outcome.maps is not None) is (variant.startswith("ss") or variant == "modern-mtl")
    metrics = compute_metrics(outcome)
    assert {"top1", "top5", "macro_top1", "macro_top5", "level2/top1"} <= metrics.keys()
    assert ("consistency" in metrics) is variant.endswith(("-rl", "-mcr", "n-mtl"))


def test_the_default_is_balanced_and_only_it(models):
    kept = {v: "balance" in json.loads((models / v / "config.json").read_text()) for v in VARIANTS}
    assert kept == {variant: variant == "ssmtl-ca" for variant in VARIANTS}
    assert "## Balance" in (models / "ssmtl-ca" / "card.md").read_text()


def test_what_the_card_says_of_the_leaves_is_what_the_model_answers(toys, models):
    """With balance, which changes answers, as without."""
    for variant in ("ssmtl-ca", "ssmtl-rl"):
        said = json.loads((models / variant / "metrics.json").read_text())
        assert (
            said["validation/leaf/top1"]
            == compute_metrics(apply(models / variant, toys.of_split("validation")))["top1"]
        )


@pytest.mark.slow
def test_one_level_of_the_tree(toys, tmp_path):
    train("taxonomy", "bcnn", toys, tmp_path / "m", [*SMALL, "level=1"])
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["leaves"] == ["Angular", "Round"]
    with pytest.raises(InputError, match=r"level=4: .* has 3 levels"):
        train("taxonomy", "bcnn", toys, tmp_path / "n", [*SMALL, "level=4"])


class TestRefined:
    @pytest.fixture(scope="class")
    def nets(self, toys, decoded, tmp_path_factory, slow_to_make):
        folder = tmp_path_factory.mktemp("nets")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VITRINE_CACHE", str(decoded))
            for level in (1, 2):
                train("taxonomy", "bcnn", toys, folder / str(level), [*SMALL, f"level={level}"])
        return folder

    def test_given_nets_are_taken_as_they_are(self, toys, models, nets, tmp_path):
        given = f"nets={nets / '1'},{nets / '2'},{models / 'bcnn'}"
        train("taxonomy", "bcnn-mcr", toys, tmp_path / "m", [*SMALL, given])
        own = load_file(tmp_path / "m" / "model.safetensors")
        for name, tensor in load_file(models / "bcnn" / "model.safetensors").items():
            assert torch.equal(own[f"nets.2.{name}"], tensor)
        trained = load_file(models / "bcnn-mcr" / "model.safetensors")  # trained them itself, from the same seed
        assert own.keys() == trained.keys()
        assert all(torch.equal(own[name], trained[name]) for name in own)
        assert "## MCR" in (tmp_path / "m" / "card.md").read_text()

    def test_a_lambda_of_ones_own(self, toys, models, nets, tmp_path):
        given = f"nets={nets / '1'},{nets / '2'},{models / 'bcnn'}"
        train("taxonomy", "bcnn-mcr", toys, tmp_path / "m", [*SMALL, given, "mcr_lambda=0.5"])
        net, _ = load_model(tmp_path / "m")
        weights = net.get_buffer("weights2")
        assert torch.count_nonzero(weights) > len(weights)  # other categories weigh too

    def test_other_nets_are_refused(self, toys, models, nets, tmp_path):
        for given, match in (
            (f"{nets / '1'}", "names 1 nets; the levels to learn are 1, 2, 3"),
            (f"{nets / '2'},{nets / '1'},{models / 'bcnn'}", "does not answer the 2 categories of level 1"),
            (f"{nets / '1'},{nets / '2'},{models / 'sscnn'}", "has salient True, not False"),
            (f"{nets / '1'},{nets / '2'},{models / 'ssmtl-ca'}", "is not the flat net of one level"),
        ):
            with pytest.raises(InputError, match=match):
                train("taxonomy", "bcnn-mcr", toys, tmp_path / "m", [*SMALL, f"nets={given}"])
            assert not (tmp_path / "m").exists()


class TestNewLeaves:
    def grown(self, toys):
        """Half of the discs turn out to be something of their own."""
        table = toys.table.copy()
        discs = table.index[table["category"] == "Round/Disc"]
        table.loc[discs[::2], "category"] = "Round/Button"
        return toys.with_table(table)

    @pytest.mark.parametrize("variant", ["bmtl-rl", "ssmtl-ca"])
    def test_what_was_known_is_kept(self, toys, models, tmp_path, variant):
        """With no step worth mentioning the new net answers the old leaves as the old one does."""
        more = [*SMALL, f"start={models / variant}", "learning_rate=1e-12", "balance=false"]
        train("taxonomy", variant, self.grown(toys), tmp_path / "m", more)
        old, new = load_file(models / variant / "model.safetensors"), load_file(tmp_path / "m" / "model.safetensors")
        before = json.loads((models / variant / "config.json").read_text())["leaves"]
        after = json.loads((tmp_path / "m" / "config.json").read_text())["leaves"]
        assert set(after) - set(before) == {"Round/Button"}
        rows = [after.index(leaf) for leaf in before]
        assert torch.allclose(new["leaf.2.weight"][rows], old["leaf.2.weight"], atol=1e-6)
        siblings = [i for i, leaf in enumerate(before) if leaf.startswith("Round/")]
        mean = old["leaf.2.weight"][siblings].mean(dim=0)
        assert torch.allclose(new["leaf.2.weight"][after.index("Round/Button")], mean, atol=1e-6)
        assert torch.allclose(new["trunk.0.weight"], old["trunk.0.weight"], atol=1e-6)
        if variant == "ssmtl-ca":
            assert torch.allclose(new["attributes.subtasks.0.weight"], old["attributes.subtasks.0.weight"], atol=1e-6)

    def test_says_what_is_new(self, toys, models, tmp_path, capsys):
        train("taxonomy", "bcnn", self.grown(toys), tmp_path / "m", [*SMALL, f"start={models / 'bcnn'}"])
        assert "1 leaves are new to it" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("start", "more", "match"),
        [
            ("bcnn", ["hidden=9"], "has hidden 8, not 9"),
            ("bcnn", ["image_size=24"], "has image_size 16, not 24"),
            ("bcnn-mcr", [], "is not a single net for taxonomy"),
            ("none", [], "not a model folder"),
        ],
    )
    def test_refused(self, toys, models, tmp_path, start, more, match):
        with pytest.raises(InputError, match=match):
            train("taxonomy", "bcnn", toys, tmp_path / "m", [*SMALL, f"start={models / start}", *more])
        assert not (tmp_path / "m").exists()


class TestTasks:
    def weights_of(self, toys, tmp_path, *more, variant="ssmtl-ca"):
        return train("taxonomy", variant, toys, tmp_path / "m", [*SMALL, *more])

    def test_some_attributes(self, toys, tmp_path):
        model = self.weights_of(toys, tmp_path, "attributes=colour")
        assert list(json.loads((model / "config.json").read_text())["labels"]) == ["colour"]

    @pytest.mark.parametrize(
        ("more", "match"),
        [
            ("attributes=color", "attributes=color: .* no attribute type of that name"),
            ("task_weights=attr:color=1", "no such task; did you mean attr:colour"),
            ("task_weights=leaf=much", "'much' is not a number"),
            ("task_weights=leaf=-1", "from 0 on"),
            ("task_weights=leaf=nan", "from 0 on"),
        ],
    )
    def test_refused(self, toys, tmp_path, more, match):
        with pytest.raises(InputError, match=match):
            self.weights_of(toys, tmp_path, more)


class TestOddTrees:
    """Handled, or refused in one line."""

    def outcome(self, toys, tmp_path, categories, variant):
        table = toys.table.assign(category=categories)
        catalog = toys.with_table(table)
        train("taxonomy", variant, catalog, tmp_path / variant, SMALL)
        return compute_metrics(apply(tmp_path / variant, catalog.of_split("test")))

    @pytest.mark.slow
    @pytest.mark.parametrize("variant", ["bcnn-mcr", "ssmtl-rl", "modern-mtl"])
    def test_a_category_seen_only_in_test_is_a_miss(self, toys, tmp_path, variant):
        unseen = toys.table["category"].where(toys.table["split"] != "test", "Other/New")
        metrics = self.outcome(toys, tmp_path, unseen, variant)
        assert metrics["top1"] == metrics["macro_top1"] == metrics["level1/top1"] == 0

    @pytest.mark.parametrize("variant", ["bcnn-mcr", "ssmtl-rl"])
    def test_a_root_with_one_leaf_and_leaves_at_all_depths(self, toys, tmp_path, variant):
        places = {
            "Round/Disc": "Round/Only",
            "Round/Ring": "Ring",
            "Angular/Square/Plain": "A/B/C",
            "Angular/Square/Crossed": "A/B",
        }
        metrics = self.outcome(toys, tmp_path, toys.table["category"].map(places), variant)
        assert 0 <= metrics["top1"] <= 1

    @pytest.mark.parametrize("variant", ["bcnn-mcr", "ssmtl-ca"])
    def test_one_photo_per_leaf(self, toys, tmp_path, variant):
        each = [f"Root{i % 3}/leaf{i}" for i in range(len(toys.table))]
        metrics = self.outcome(toys, tmp_path, each, variant)
        assert metrics["top1"] == 0  # no test photo's leaf was ever seen
        assert metrics["level1/top1"] > 0

    def test_one_root_has_nothing_to_ask_above_the_leaves(self, toys, tmp_path):
        model = train(
            "taxonomy",
            "bmtl-rl",
            toys.with_table(toys.table.assign(category="All/" + toys.table["category"])),
            tmp_path / "m",
            SMALL,
        )
        assert json.loads((model / "config.json").read_text())["levels"] == [2, 3]
