"""Training a system for listings: the same bits after a stop, undecided listings used as meant, what is written."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from toy_listings import learnable_catalog

from vitrine.blocks.calibration import fit_platt
from vitrine.blocks.prototypes import PrototypicalLoss
from vitrine.data.bags import bags_of
from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError
from vitrine.settings import parse_settings
from vitrine.tasks.authenticity import Authenticity
from vitrine.tasks.authenticity import fit as training
from vitrine.tasks.authenticity.listings import ask
from vitrine.tasks.authenticity.net import LABELS
from vitrine.tasks.authenticity.objective import objective, training_module
from vitrine.tasks.authenticity.settings import AuthenticitySettings
from vitrine.tasks.authenticity.systems import build, describe
from vitrine.train import train
from vitrine.training import engine

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ["image_size=16", "batch_size=16", "epochs=2", "precision=32", "window=24", "weights=none"]


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def listings(tmp_path_factory):
    return learnable_catalog(tmp_path_factory.mktemp("listings") / "data", listings=36, size=16)


@pytest.fixture(scope="module")
def unbroken(listings, tmp_path_factory, slow_to_make):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("unbroken")
    for variant in ("ssa", "ms-cnn"):
        train("authenticity", variant, listings, folder / variant, SMALL)
    return folder


def bits(model):
    return (model / "model.safetensors").read_bytes()


@pytest.mark.parametrize("every_step", [True, False])
@pytest.mark.parametrize(("variant", "stop"), [("ssa", 2), ("ssa", 5), ("ms-cnn", 5)])
def test_stopped_and_resumed_equals_unbroken(listings, unbroken, tmp_path, monkeypatch, variant, stop, every_step):
    """The window of the prototypes too goes on where it was."""
    make, count = training.objective, iter(range(100))

    def breaking(*args):
        learnt = make(*args)

        def loss(*step):
            if next(count) == stop:
                raise Stopped
            return learnt.loss(*step)

        return dataclasses.replace(learnt, loss=loss)

    with monkeypatch.context() as patch:
        if every_step:
            patch.setattr(engine, "CHECKPOINT_SECONDS", -1.0)
        patch.setattr(training, "objective", breaking)
        with pytest.raises(Stopped):
            train("authenticity", variant, listings, tmp_path / "m", SMALL)
    train("authenticity", variant, listings, tmp_path / "m", SMALL, resume=True)
    assert bits(tmp_path / "m") == bits(unbroken / variant)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_what_the_model_folder_says(listings, unbroken):
    config = json.loads((unbroken / "ssa" / "config.json").read_text())
    assert config["labels"] == ["authentic", "counterfeit"]
    assert config["settings"]["lambda"] == AuthenticitySettings().lambda_
    assert config["thresholds"] == [0.2, 0.9]
    assert [set(epoch) for epoch in config["history"]] == [{"loss", "score", "seconds", "figures"}] * 2
    assert all(0 < epoch["figures"]["attention_entropy"] <= 1 for epoch in config["history"])
    assert set(config["calibration"]) == {"listing"}
    metrics = json.loads((unbroken / "ssa" / "metrics.json").read_text())
    assert set(metrics) == {"validation/accuracy", "validation/auc"}
    card = (unbroken / "ssa" / "card.md").read_text()
    assert "authenticity / ssa" in card
    assert "| lambda |" in card
    assert "2 epochs" in card
    views = json.loads((unbroken / "ms-cnn" / "config.json").read_text())
    assert set(views["calibration"]) == {"listing", "photo"}
    tensors = (unbroken / "ssa" / "model.safetensors").stat().st_size
    assert tensors < 4 * 750_000  # the window is no part of the model


@pytest.mark.slow
def test_costs_set_the_thresholds(listings, tmp_path):
    costs = ["accept_counterfeit=4", "refuse_authentic=4", "ask=1", "epochs=1"]
    train("authenticity", "ssa-mean", listings, tmp_path / "m", [*SMALL, *costs])
    assert json.loads((tmp_path / "m" / "config.json").read_text())["thresholds"] == [0.25, 0.75]


class TestObjective:
    """One step of an objective against its parts."""

    def made(self, listings, variant, *overrides):
        settings = parse_settings(AuthenticitySettings, [*SMALL, "batch_size=4096", *overrides])
        config = {"variant": variant, "backbone": "resnet18_narrow", "image_size": 16}
        config |= describe(listings, settings)
        torch.manual_seed(0)
        parts = training_module(build(config), settings)
        store = PhotoStore.of_catalog(listings, 16, 1)
        learnt = objective(parts, listings, store, config, settings)
        assert learnt.steps == 1
        (batch,) = learnt.batches(0, 0)
        seen = []
        forward = parts["net"].forward
        parts["net"].forward = lambda *args: seen.append(forward(*args)) or seen[-1]
        loss = learnt.at(0, 0, batch, torch.device("cpu"))
        bags = [bag for bag in bags_of(listings.table) if bag.split == "train"]
        return loss, seen[0], [bags[i].verdict for i in batch[0]], parts

    def test_ssa_adds_lambda_times_the_pull_of_all_listings(self, listings):
        loss, answer, verdicts, parts = self.made(listings, "ssa", "lambda=0.7")
        assert "" in verdicts
        of_maximum, of_mean = answer.branches  # the classifier's answers to both over the photos
        decided = [
            -sum(logits[i].log_softmax(dim=0)[LABELS.index(verdict)] for logits in (answer.logits, of_maximum, of_mean))
            for i, verdict in enumerate(verdicts)
            if verdict
        ]
        codes = torch.tensor([LABELS.index(verdict) if verdict else -1 for verdict in verdicts])
        fresh = PrototypicalLoss(128, 24, AuthenticitySettings().temperature)
        wanted = sum(decided) / len(decided) + 0.7 * fresh(answer.features, codes)
        assert torch.allclose(loss, wanted)
        assert parts["prototypes"].seen == len(verdicts)

    def test_without_lambda_undecided_listings_teach_ssa_nothing(self, listings):
        loss, answer, verdicts, _ = self.made(listings, "ssa", "lambda=0")
        answer.logits.retain_grad()
        loss.backward()
        undecided = [i for i, verdict in enumerate(verdicts) if not verdict]
        assert undecided
        assert (answer.logits.grad[undecided] == 0).all()

    @pytest.mark.parametrize("weight", [1.0, 0.25, 0.0])
    def test_the_compared_systems_take_undecided_listings_for_half_authentic(self, listings, weight):
        loss, answer, verdicts, _ = self.made(listings, "mil-att", f"undecided_weight={weight}")
        total = count = 0.0
        for own, verdict in zip(answer.logits.log_softmax(dim=1), verdicts, strict=True):
            y = {"authentic": 1.0, "counterfeit": 0.0, "": 0.5}[verdict]
            w = 1.0 if verdict else weight
            total += -w * (y * own[0] + (1 - y) * own[1])
            count += w
        assert torch.allclose(loss, total / count)


def test_the_validation_score_is_the_area_under_the_curve(listings):
    settings = parse_settings(AuthenticitySettings, SMALL)
    config = {"variant": "ssa", "backbone": "resnet18_narrow", "image_size": 16}
    config |= describe(listings, settings)
    torch.manual_seed(0)
    parts = training_module(build(config), settings)
    store = PhotoStore.of_catalog(listings, 16, 1)
    learnt = objective(parts, listings, store, config, settings)
    assert learnt.figures() == {}
    bags = [bag for bag in bags_of(listings.table) if bag.split == "validation"]
    asked = ask(parts["net"], store, bags, [])
    truth = np.array([bag.verdict == "authentic" for bag in bags])
    wins = [(a > b) + 0.5 * (a == b) for a in asked.score[truth] for b in asked.score[~truth]]
    assert learnt.score() == pytest.approx(np.mean(wins))
    entropies = [-(own * np.log(own)).sum() / np.log(len(own)) for own in asked.attention]
    assert learnt.figures()["attention_entropy"] == pytest.approx(np.mean(entropies), abs=1e-5)
    assert parts["net"].training  # asking leaves it as it was


@pytest.mark.slow
def test_without_validation_listings_it_is_calibrated_on_the_training_ones(listings, tmp_path):
    alone = listings.with_table(listings.table[listings.table["split"] == "train"])
    model = train("authenticity", "ssa-max", alone, tmp_path / "m", SMALL)
    config = json.loads((model / "config.json").read_text())
    assert [epoch["score"] for epoch in config["history"]] == [None, None]
    net, _ = Authenticity().load(model)
    bags = [bag for bag in bags_of(alone.table) if bag.verdict]
    asked = ask(net, PhotoStore.of_catalog(alone, 16, 1), bags, config["views"])
    truth = np.array([bag.verdict == "authentic" for bag in bags])
    assert config["calibration"]["listing"] == pytest.approx(fit_platt(asked.score, truth), abs=1e-4)


@pytest.mark.slow
def test_it_ends_when_the_objective_has_settled(listings, tmp_path, capsys):
    train("authenticity", "ssa", listings, tmp_path / "m", [*SMALL, "epochs=6", "tolerance=100"])
    assert len(json.loads((tmp_path / "m" / "config.json").read_text())["history"]) == 4
    assert "moved less than 100; done after 4 epochs" in capsys.readouterr().out


class TestRefusals:
    def refused(self, listings, tmp_path, match, *overrides):
        with pytest.raises(InputError, match=match):
            train("authenticity", "ssa", listings, tmp_path / "m", [*SMALL, *overrides])
        assert list(tmp_path.iterdir()) == []

    def test_of_settings(self, listings, tmp_path):
        self.refused(listings, tmp_path, "'lamda': unknown key; did you mean lambda", "lamda=1")
        self.refused(listings, tmp_path, "'lambda_': unknown key", "lambda_=1")
        self.refused(listings, tmp_path, "lambda='-1'", "lambda=-1")
        self.refused(listings, tmp_path, "temperature='0'", "temperature=0")
        self.refused(listings, tmp_path, "ask='0'", "ask=0")

    def test_of_data(self, listings, tmp_path):
        table = listings.table
        none = listings.with_table(table.drop(columns="verdict"))
        self.refused(none, tmp_path, "no verdict among training listings")
        torn = table.assign(split=["test", *table["split"][1:]])
        self.refused(listings.with_table(torn), tmp_path, "listing 'L000': its rows are in two splits")
        one = listings.with_table(table.assign(listing="all", verdict="", split="train"))
        self.refused(one, tmp_path, "listing 'all': has .* more than 16")
