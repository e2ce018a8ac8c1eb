"""The fifteen systems for listings: what none of them may depend on, what each is, and what is asked of a trained one."""

import copy
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F
from toy_listings import learnable_catalog

from vitrine.catalog.photos import PhotoError
from vitrine.data.bags import bags_of
from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError
from vitrine.predict import apply, predict
from vitrine.tasks.authenticity import Authenticity
from vitrine.tasks.authenticity.deep_miml import SUB_CONCEPTS
from vitrine.tasks.authenticity.listings import (
    ask,
    calibrated,
    could_be_judged,
    photo_weights,
    view_numbers,
)
from vitrine.tasks.authenticity.net import evidence, regression_loss
from vitrine.tasks.authenticity.settings import AuthenticitySettings
from vitrine.tasks.authenticity.systems import build, describe
from vitrine.train import train

LENGTHS = torch.tensor([3, 1, 16, 2])


def config(variant, **own):
    common = {"backbone": "resnet18_narrow", "image_size": 32, "attention": 16, "hidden": 16, "labels": []}
    return {"variant": variant, "views": ["box", "tag"], "viewless": True, **common, **own}


@pytest.fixture(scope="module")
def nets():
    """Every system with statistics of its own in its batch norms, as after training."""
    made = {}
    for variant in Authenticity.variants:
        torch.manual_seed(0)
        net = build(config(variant))
        net.train()
        with torch.no_grad():
            for seed in range(3):
                photos, views = batch(seed=seed + 10)
                net(photos, LENGTHS, views)
        made[variant] = net.eval()
    return made


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    m = int(LENGTHS.sum())
    return torch.randn(m, 3, 32, 32, generator=generator), torch.randint(-1, 2, (m,), generator=generator)


def outputs(answer):
    """What is said about listings, and about photos."""
    return [answer.logits, answer.features], [
        own for own in (answer.attention, answer.photo_logits, answer.maps) if own is not None
    ]


every_system = pytest.mark.parametrize("variant", Authenticity.variants)


class TestEverySystem:
    @every_system
    def test_the_order_of_a_listing_s_photos_changes_nothing(self, nets, variant):
        photos, views = batch()
        starts = LENGTHS.cumsum(0) - LENGTHS
        order = torch.cat([start + torch.randperm(n) for start, n in zip(starts, LENGTHS, strict=True)])
        with torch.inference_mode():
            before = outputs(nets[variant](photos, LENGTHS, views))
            after = outputs(nets[variant](photos[order], LENGTHS, views[order]))
        for a, b in zip(before[0], after[0], strict=True):
            assert (a - b).abs().max() <= 1e-5
        for a, b in zip(before[1], after[1], strict=True):
            assert (a[order] - b).abs().max() <= 1e-5

    @every_system
    def test_listings_of_different_sizes_are_answered_as_each_alone(self, nets, variant):
        """So neither padding nor a neighbour changes anything, and a listing of one photo works."""
        photos, views = batch()
        with torch.inference_mode():
            together = outputs(nets[variant](photos, LENGTHS, views))
            alone = [
                outputs(nets[variant](own, torch.tensor([len(own)]), own_views))
                for own, own_views in zip(
                    torch.split(photos, LENGTHS.tolist()), torch.split(views, LENGTHS.tolist()), strict=True
                )
            ]
        for part in range(2):
            for i, whole in enumerate(together[part]):
                assert (torch.cat([own[part][i] for own in alone]) - whole).abs().max() <= 1e-5

    @every_system
    @pytest.mark.parametrize("lengths", [[4, 0, 18], [0, 22]])
    def test_an_empty_listing_is_refused(self, nets, variant, lengths):
        photos, views = batch()
        with pytest.raises(ValueError, match="without photos"):
            nets[variant](photos, torch.tensor(lengths), views)

    @every_system
    def test_answers_are_well_formed(self, nets, variant):
        photos, views = batch()
        with torch.inference_mode():
            got = nets[variant](photos, LENGTHS, views)
            assert torch.equal(got.logits, nets[variant](photos, LENGTHS, views).logits)
        b, m = len(LENGTHS), len(photos)
        assert got.logits.shape == (b, 2)
        assert got.features.shape[0] == b
        assert got.features.ndim == 2
        assert got.maps.shape == (m, 2, 2)
        assert (got.maps >= 0).all()
        assert (got.attention is not None) == (variant in ("ssa", "mil-att"))
        judges_photos = variant in ("cnn", "ms-cnn", "ms-bilinear", "deepmiml", "mi-net-instance")
        assert (got.photo_logits is not None) == judges_photos
        if got.attention is not None:
            assert [own.sum().item() for own in torch.split(got.attention, LENGTHS.tolist())] == pytest.approx([1] * b)

    @every_system
    def test_a_step_teaches_every_parameter(self, nets, variant):
        torch.manual_seed(0)
        net = build(config(variant)).train()
        photos, views = batch()
        loss = net.loss(net(photos, LENGTHS, views), LENGTHS, torch.tensor([1.0, 0.0, 0.5, 1.0]), torch.ones(4))
        loss.backward()
        assert torch.isfinite(loss)
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            if parameter.ndim > 1:
                assert (parameter.grad != 0).any(), name

    @pytest.mark.slow
    @every_system
    def test_a_few_steps_learn_a_few_listings_by_heart(self, variant):
        torch.manual_seed(0)
        net = build(config(variant)).train()
        (photos, views), lengths = batch(), torch.tensor([3, 1, 2, 2])
        photos, views, target = photos[:8], views[:8], torch.tensor([1.0, 0.0, 0.0, 1.0])
        optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
        for _ in range(30):
            optimizer.zero_grad()
            net.loss(net(photos, lengths, views), lengths, target, torch.ones(4)).backward()
            optimizer.step()
        with torch.no_grad():
            assert net(photos, lengths, views).logits.argmax(dim=1).tolist() == [0, 1, 1, 0]

    def test_no_two_are_the_same_net(self, nets):
        """In the names and shapes of their tensors, in what they make of the same ones, or in how they are module."""
        shapes = {
            variant: tuple((name, tuple(own.shape)) for name, own in net.state_dict().items())
            for variant, net in nets.items()
        }
        same = [
            (a, b) for a in Authenticity.variants for b in Authenticity.variants if a < b and shapes[a] == shapes[b]
        ]
        assert same == [("ssa-max", "ssa-mean")]
        photos, views = batch()
        with torch.inference_mode():
            nets["ssa-mean"].load_state_dict(nets["ssa-max"].state_dict())
            a, b = (nets[variant](photos, LENGTHS, views).logits for variant in same[0])
        assert not torch.allclose(a, b)


class TestWhatEachSystemIs:
    """Each from its parts, photo by photo and listing by listing."""

    def parts(self, net, *layers):
        """Each listing's photos behind the trunk and some layers, (k, d)."""
        photos, _ = batch()
        x = net.trunk(photos).mean(dim=(2, 3))
        for layer in layers:
            x = layer(x)
        return torch.split(x, LENGTHS.tolist())

    def logits(self, net):
        photos, views = batch()
        return net(photos, LENGTHS, views).logits

    @pytest.mark.parametrize(("variant", "pool"), [("ssa-max", torch.amax), ("ssa-mean", torch.mean)])
    @torch.inference_mode()
    def test_ssa_pooled(self, nets, variant, pool):
        net = nets[variant]
        wanted = torch.stack([net.classifier(pool(own, dim=0)) for own in self.parts(net)])
        assert torch.allclose(self.logits(net), wanted, atol=1e-5)

    @torch.inference_mode()
    def test_ssa_judges_maximum_and_mean_only_while_it_trains(self, nets):
        photos, views = batch()
        assert nets["ssa"](photos, LENGTHS, views).branches == ()
        net = copy.deepcopy(nets["ssa"])
        net.training = True  # the net itself alone: its trunk normalises as before
        pooled = [[pool(own, dim=0) for own in self.parts(net)] for pool in (torch.amax, torch.mean)]
        got = net(photos, LENGTHS, views).branches
        assert len(got) == len(pooled)
        for branch, wanted in zip(got, pooled, strict=True):
            assert torch.allclose(branch, net.classifier(torch.stack(wanted)), atol=1e-5)

    @torch.inference_mode()
    def test_ssa_and_mil_att_weigh_photos(self, nets):
        for net, layers in ((nets["ssa"], ()), (nets["mil-att"], (nets["mil-att"].embedding,))):
            wanted = []
            for own in self.parts(net, *layers):
                weights = net.attention.score(own).softmax(dim=0)  # (k, 1)
                pooled = (weights * own).sum(dim=0)
                if net is nets["ssa"]:
                    wanted.append(net.classifier(pooled))
                else:
                    wanted.append(torch.cat([net.score(pooled), torch.zeros(1)]))
            assert torch.allclose(self.logits(net), torch.stack(wanted), atol=1e-5)

    @torch.inference_mode()
    def test_cnn_averages_the_photos_probabilities(self, nets):
        net = nets["cnn"].judge_photos
        wanted = torch.stack([net.classifier(own).softmax(dim=1).mean(dim=0) for own in self.parts(net)])
        assert torch.allclose(self.logits(nets["cnn"]).softmax(dim=1), wanted, atol=1e-5)

    @pytest.mark.parametrize("variant", ["ms-cnn", "ms-bilinear"])
    @torch.inference_mode()
    def test_each_view_has_its_net(self, nets, variant):
        photos, views = batch()
        net = nets[variant]
        got = net(photos, LENGTHS, views).photo_logits
        assert len(net.nets) == 3
        for i, view in enumerate(views.tolist()):
            own = net.nets[view if view >= 0 else 2]
            assert torch.allclose(got[i], own(photos[[i]])[1][0], atol=1e-5)

    @torch.inference_mode()
    def test_a_photo_of_an_unknown_view_is_judged_by_all_nets_where_none_is_for_the_rest(self, nets):
        torch.manual_seed(0)
        net = build(config("ms-cnn", viewless=False)).eval()
        photos, _ = batch()
        got = net(photos[:3], torch.tensor([3]), torch.tensor([0, -1, 1])).photo_logits
        each = torch.stack([own(photos[1:2])[1][0].softmax(dim=0) for own in net.nets])
        assert torch.allclose(got[1].softmax(dim=0), each.mean(dim=0), atol=1e-6)
        assert torch.allclose(got[2], net.nets[1](photos[2:3])[1][0], atol=1e-6)

    def test_a_single_photo_of_a_view_can_be_learnt_from(self):
        net = build(config("ms-cnn", image_size=16)).train()  # one cell: nothing for batch norm to average over
        logits = net(torch.randn(3, 3, 16, 16), torch.tensor([3]), torch.tensor([0, 0, 1])).logits
        assert torch.isfinite(logits).all()

    @torch.inference_mode()
    def test_deepmiml(self, nets):
        net = nets["deepmiml"]
        wanted = []
        for own in self.parts(net, net.sub_concepts):
            labels = [own[:, label * SUB_CONCEPTS : (label + 1) * SUB_CONCEPTS].max() for label in (0, 1)]
            wanted.append(torch.stack(labels))
        assert torch.allclose(self.logits(net), torch.stack(wanted), atol=1e-5)

    @torch.inference_mode()
    def test_mi_net_instance_is_counterfeit_if_one_photo_is(self, nets):
        net = nets["mi-net-instance"]
        wanted = [net.score(own).sigmoid().max() for own in self.parts(net, *net.layers)]
        assert torch.allclose(self.logits(net).softmax(dim=1)[:, 1], torch.stack(wanted), atol=1e-5)

    @torch.inference_mode()
    def test_mi_net_ds_and_rc_pool_every_layer(self, nets):
        net = nets["mi-net-ds"]
        branches = [
            torch.stack([classify(own.amax(dim=0)) for own in self.parts(net, *net.layers[: depth + 1])])
            for depth, classify in enumerate(net.classifiers)
        ]
        mean = torch.stack(branches).softmax(dim=2).mean(dim=0)
        assert torch.allclose(self.logits(net).softmax(dim=1), mean, atol=1e-5)
        net = nets["mi-net-rc"]
        pooled = sum(
            torch.stack([own.amax(dim=0) for own in self.parts(net, *net.layers[: depth + 1])]) for depth in range(3)
        )
        assert torch.allclose(self.logits(net), net.classifier(pooled), atol=1e-5)

    def test_deep_supervision_judges_the_branches(self, nets):
        net, target, weight = nets["mi-net-ds"], torch.tensor([1.0, 0.0, 0.5, 1.0]), torch.tensor([1.0, 1.0, 0.3, 1.0])
        photos, views = batch()
        got = net(photos, LENGTHS, views)
        wanted = sum(regression_loss(branch, target, weight) for branch in got.branches) / 3
        assert torch.allclose(net.loss(got, LENGTHS, target, weight), wanted)

    def test_mi_cnn_adds_the_cost_of_transport(self, nets):
        net, target, weight = nets["mi-cnn"], torch.tensor([1.0, 0.0, 0.5, 1.0]), torch.tensor([1.0, 1.0, 0.3, 1.0])
        photos, views = batch()
        got = net(photos, LENGTHS, views)
        a, b = F.normalize(net.classifier.weight, dim=1)
        p = got.logits.softmax(dim=1)[:, 0]
        moved = sum(w * abs(x - y) for w, x, y in zip(weight, p, target, strict=True)) / weight.sum()
        wanted = regression_loss(got.logits, target, weight) + ((a - b) ** 2).sum() * moved
        assert torch.allclose(net.loss(got, LENGTHS, target, weight), wanted)

    def test_photos_learn_their_listing_s_verdict(self, nets):
        photos, views = batch()
        got = nets["cnn"](photos, LENGTHS, views)
        loss = nets["cnn"].loss(got, LENGTHS, torch.tensor([1.0, 0.0, 0.5, 1.0]), torch.ones(4))
        p = got.photo_logits.log_softmax(dim=1)
        target = [1.0] * 3 + [0.0] + [0.5] * 16 + [1.0] * 2
        wanted = -sum(t * own[0] + (1 - t) * own[1] for t, own in zip(target, p, strict=True)) / len(target)
        assert torch.allclose(loss, wanted)


def test_the_regression_equals_the_formula():
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    target, weight = torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0, 0.5]), torch.tensor([1.0, 1.0, 0.2, 1.0, 1.0, 0.0])
    p = logits.softmax(dim=1)[:, 0]
    each = -(target * p.log() + (1 - target) * (1 - p).log())
    assert torch.allclose(regression_loss(logits, target, weight), (weight * each).sum() / 4.2)
    assert regression_loss(logits, target, torch.zeros(6)) == 0


def test_evidence_adds_up_to_the_difference_of_the_scores():
    """Before what speaks for the other label is cut off: sum over cells / cells = score of the answer - of the other."""
    torch.manual_seed(0)
    cells, classifier = torch.rand(2, 5, 3, 3), torch.nn.Linear(5, 2, bias=False)
    with torch.no_grad():
        classifier.weight[0].abs_()
        classifier.weight[1].abs_().neg_()
    got = evidence(cells, classifier, torch.tensor([0, 0]))
    scores = classifier(cells.mean(dim=(2, 3)))
    assert torch.allclose(got.mean(dim=(1, 2)), scores[:, 0] - scores[:, 1])
    assert (evidence(cells, classifier, torch.tensor([1, 1])) == 0).all()


class TestDescribe:
    @pytest.fixture(scope="class")
    def toys(self, tmp_path_factory):
        return learnable_catalog(tmp_path_factory.mktemp("toys") / "data")

    def test_views_with_enough_photos_get_a_number(self, toys):
        found = describe(toys, AuthenticitySettings())
        assert (found["views"], found["viewless"]) == (["stamp", "tag"], True)
        named = toys.with_table(toys.table[toys.table["view"] != ""])
        assert describe(named, AuthenticitySettings())["viewless"] is False
        few = named.with_table(
            named.table.assign(view=np.where(named.table["listing"] < "L010", "rare", named.table["view"]))
        )
        found = describe(few, AuthenticitySettings())
        assert (found["views"], found["viewless"]) == (["stamp", "tag"], True)

    def test_one_verdict_or_none_is_nothing_to_learn(self, toys):
        for verdict, what in (("authentic", "one verdict ('authentic')"), ("", "no verdict")):
            table = toys.table.assign(verdict=np.where(toys.table["split"] == "train", verdict, toys.table["verdict"]))
            with pytest.raises(InputError, match=re.escape(what)):
                describe(toys.with_table(table), AuthenticitySettings())

    def test_numbers_of_views(self, toys):
        bags = bags_of(toys.table.iloc[:9])
        assert view_numbers(bags, ["stamp", "tag"]).tolist() == [1, 0, 1, 0, -1, 1, 0, -1, 0]
        assert view_numbers(bags[:1], []).tolist() == [-1, -1]

    def test_undecided_listings_of_another_kind_are_left_out(self):
        rows = [
            ("a", "authentic", "tag", "Shoes/Boots"),
            ("b", "counterfeit", "stamp", "Shoes"),
            ("c", "", "tag", "Shoes"),
            ("d", "", "", ""),  # nothing is known against it
            ("e", "", "front", "Shoes"),
            ("f", "", "stamp", "Shirts"),
            ("g", "authentic", "front", "Shirts"),
        ]
        table = pd.DataFrame(rows, columns=["listing", "verdict", "view", "category"])
        table["image"] = table["listing"] + ".jpg"
        assert [bag.listing for bag in could_be_judged(bags_of(table.iloc[:6]), table)] == ["a", "b", "c", "d"]
        assert [bag.listing for bag in could_be_judged(bags_of(table), table)] == list("abcdefg")
        bare = table[["image", "listing", "verdict"]]
        assert len(could_be_judged(bags_of(bare), bare)) == 7


@pytest.fixture(scope="module")
def trained(tmp_path_factory, slow_to_make):
    """The toy listings and models that learnt them: with attention, with scores of photos, and with neither."""
    folder = tmp_path_factory.mktemp("trained")
    catalog = learnable_catalog(folder / "data", listings=96)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINE_CACHE", str(folder / "cache"))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        for variant, rate in (("ssa", 2e-3), ("ms-cnn", 1e-3), ("ssa-max", 2e-3)):
            settings = [
                "epochs=6",
                "batch_size=16",
                "image_size=32",
                "precision=32",
                "weights=none",
                f"learning_rate={rate}",
            ]
            train("authenticity", variant, catalog, folder / variant, settings)
        yield catalog, folder
        torch.set_num_threads(threads)


class TestAnswer:
    def test_every_listing_in_order(self, trained):
        catalog, folder = trained
        got = apply(folder / "ssa", catalog)
        table = catalog.table
        assert list(got.listings) == table["listing"].unique().tolist()
        assert [image for own in got.images for image in own] == table["image"].tolist()
        assert [view for own in got.views for view in own] == table["view"].tolist()
        assert list(got.truth) == table.groupby("listing")["verdict"].first().tolist()
        assert [len(own) for own in got.attention] == [len(own) for own in got.images]
        assert [own.sum() for own in got.attention] == pytest.approx([1.0] * len(got.listings))
        assert [own.shape for own in got.maps] == [(len(own), 2, 2) for own in got.images]
        assert all(own.min() >= 0 and own.max() <= 1 for own in got.maps)
        assert got.photo_probability is None
        assert got.thresholds == (0.2, 0.9)
        assert got.embeddings.shape == (96, 128)

    @pytest.mark.parametrize("variant", ["ssa", "ms-cnn", "ssa-max"])
    def test_it_has_learnt(self, trained, variant):
        catalog, folder = trained
        got = apply(folder / variant, catalog.of_split("test"))
        right = (got.probability > 0.5) == (np.array(got.truth) == "authentic")
        assert right.mean() > 0.85

    def test_attention_lies_on_the_view_that_shows_the_verdict(self, trained):
        catalog, folder = trained
        got = apply(folder / "ssa", catalog.of_split("test"))
        weights = [own[views.index("tag")] for own, views in zip(got.attention, got.views, strict=True)]
        even = [1 / len(own) for own in got.attention]
        assert np.mean(weights) > 1.3 * np.mean(even)

    def test_what_single_photos_say(self, trained):
        catalog, folder = trained
        got = apply(folder / "ms-cnn", catalog.of_split("test"))
        assert got.attention is None
        tags = [own[views.index("tag")] for own, views in zip(got.photo_probability, got.views, strict=True)]
        assert roc_auc_score(np.array(got.truth) == "authentic", tags) > 0.9

    def test_rows_in_any_order_give_the_same_listings(self, trained):
        catalog, folder = trained
        few = catalog.of_split("test")
        shuffled = few.with_table(few.table.sample(frac=1, random_state=0))
        a, b = apply(folder / "ssa", few), apply(folder / "ssa", shuffled)
        by_name = dict(zip(b.listings, b.probability, strict=True))
        assert [by_name[name] for name in a.listings] == pytest.approx(a.probability.tolist(), abs=1e-5)

    def test_refusals(self, trained):
        catalog, folder = trained
        with pytest.raises(InputError, match="no rows"):
            apply(folder / "ssa", catalog.with_table(catalog.table.iloc[:0]))
        with pytest.raises(InputError, match="not a model folder"):
            apply(folder, catalog)
        with pytest.raises(InputError, match="judges listings, not single photos"):
            predict(folder / "ssa", [catalog.uri(catalog.table["image"][0])])

    @pytest.mark.parametrize("key", ["views", "viewless", "attention", "calibration"])
    def test_a_config_that_lacks_something(self, trained, tmp_path, key):
        _, folder = trained
        shutil.copytree(folder / "ms-cnn", tmp_path / "m")
        whole = json.loads((tmp_path / "m" / "config.json").read_text())
        variant = "ssa" if key == "attention" else whole["variant"]
        (tmp_path / "m" / "config.json").write_text(
            json.dumps({name: value for name, value in whole.items() if name != key} | {"variant": variant})
        )
        with pytest.raises(InputError, match=key):
            Authenticity().load(tmp_path / "m")


class TestPredict:
    @pytest.fixture
    def folders(self, trained, tmp_path):
        """The photos of four test listings, a folder each, named by view."""
        catalog, _ = trained
        table = catalog.of_split("test").table
        names = table["listing"].unique()[:4]
        for name in names:
            (tmp_path / name).mkdir()
            for i, row in enumerate(table[table["listing"] == name].itertuples()):
                shutil.copy(catalog.uri(row.image), tmp_path / name / f"{row.view or 'photo'}-{i}.png")
        return [tmp_path / name for name in names]

    @pytest.mark.parametrize("variant", ["ssa", "ms-cnn", "ssa-max"])
    def test_folders_are_answered_as_in_the_catalog(self, trained, folders, variant):
        catalog, models = trained
        outcome = apply(models / variant, catalog)
        known = dict(zip(outcome.listings, outcome.probability, strict=True))
        lines = predict(models / variant, [str(folder) for folder in folders])
        assert [line["listing"] for line in lines] == [str(folder) for folder in folders]
        assert json.loads(json.dumps(lines)) == lines
        for folder, line in zip(folders, lines, strict=True):
            p = line["probability"]
            assert p == pytest.approx(known[folder.name], abs=2e-4)
            assert line["verdict"] == ("counterfeit" if p < 0.2 else "authentic" if p >= 0.9 else "ask an expert")
            weights = [photo["weight"] for photo in line["deciding_photos"]]
            assert weights == sorted(weights, reverse=True)
            assert sum(weights) >= 0.499
            assert sum(weights[:-1]) < 0.501
            assert all((folder / photo["image"]).exists() for photo in line["deciding_photos"])

    @pytest.mark.parametrize("variant", ["ms-cnn", "ssa-max"])
    def test_the_photo_that_shows_the_verdict_decides(self, trained, folders, variant):
        lines = predict(trained[1] / variant, [str(folder) for folder in folders])
        first = [line["deciding_photos"][0]["image"].rpartition("/")[2] for line in lines]
        assert sum(name.startswith("tag") for name in first) >= 3

    def test_weights_without_attention_are_what_the_answer_loses(self, trained):
        catalog, models = trained
        few = catalog.of_split("test")
        net, config = Authenticity().load(models / "ssa-max")
        store, bags = PhotoStore.of_catalog(few, 32, 1), bags_of(few.table)[:5]
        asked = ask(net, store, bags, config["views"])
        whole = calibrated(asked.score, config, "listing")
        for bag, p, weights in zip(bags, whole, photo_weights(net, store, bags, config, asked), strict=True):
            lost = []
            for k in range(len(bag)):
                rest = few.with_table(few.table.iloc[np.delete(bag.rows, k)])
                without = apply(models / "ssa-max", rest).probability[0]
                lost.append(max(0.0, (p - without) * (1 if p >= 0.5 else -1)))
            wanted = np.array(lost) / sum(lost) if sum(lost) else np.full(len(bag), 1 / len(bag))
            assert weights == pytest.approx(wanted, abs=1e-3)

    def test_a_single_photo_decides_alone(self, trained, folders, tmp_path):
        (tmp_path / "one").mkdir()
        shutil.copy(next(folders[0].glob("tag*")), tmp_path / "one" / "x.PNG")
        for variant in ("ssa", "ms-cnn", "ssa-max"):
            (line,) = predict(trained[1] / variant, [str(tmp_path / "one")])
            assert [photo["weight"] for photo in line["deciding_photos"]] == [1.0]

    def test_a_listing_with_an_unreadable_photo_is_left_out(self, trained, folders, tmp_path):
        spoilt = tmp_path / "spoilt"
        shutil.copytree(folders[1], spoilt)
        (spoilt / "zz.jpg").write_bytes(b"no photo")
        model, good = trained[1] / "ssa", str(folders[0])
        unreadable = {}
        (line,) = predict(model, [str(spoilt), good], unreadable=unreadable)
        (alone,) = predict(model, [good])
        assert line == alone
        assert [str(error) for error in unreadable.values()] == [f"{spoilt}/zz.jpg: is not a photo"]

    def test_other_files_and_deeper_folders_are_passed_over(self, trained, folders):
        (before,) = predict(trained[1] / "ssa", [str(folders[0])])
        (folders[0] / "notes.txt").write_text("no photo")
        (folders[0] / "deeper").mkdir()
        shutil.copy(next(folders[1].iterdir()), folders[0] / "deeper" / "other.png")
        assert predict(trained[1] / "ssa", [str(folders[0])]) == [before]

    def test_the_same_folder_twice_and_none(self, trained, folders):
        twice = predict(trained[1] / "ssa", [str(folders[0])] * 2)
        assert twice[0] == twice[1]
        assert predict(trained[1] / "ssa", []) == []

    def test_refusals(self, trained, folders, tmp_path):
        model = trained[1] / "ssa"
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="empty: holds no photo"):
            predict(model, [str(tmp_path / "empty")])
        with pytest.raises(InputError, match="no such folder"):
            predict(model, [str(tmp_path / "gone")])
        (folders[0] / "broken.jpg").write_bytes(b"no photo")
        with pytest.raises(PhotoError, match=r"broken\.jpg"):
            predict(model, [str(folders[0])])
        for i in range(17):
            shutil.copy(next(folders[1].glob("tag*")), folders[1] / f"copy-{i}.png")
        with pytest.raises(InputError, match="more than 16"):
            predict(model, [str(folders[1])])
