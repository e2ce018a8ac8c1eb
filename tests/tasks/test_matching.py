"""Who is paired with whom, what each variant learns from, and that the whole trains, resumes and searches."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from toy_pairs import toy_pairs

from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError
from vitrine.evaluate import evaluate
from vitrine.predict import load_model, predict
from vitrine.settings import parse_settings
from vitrine.tasks.matching import Matching, objective
from vitrine.tasks.matching.net import MatchingNet
from vitrine.tasks.matching.pairs import Pairable, other_background, own_background, steps_of_epoch
from vitrine.tasks.matching.plan import plan
from vitrine.tasks.matching.settings import MatchingSettings
from vitrine.train import train
from vitrine.training import engine
from vitrine.visual_search import make_index, search_photos

QUICK = ("epochs=2", "pretraining=1", "image_size=32", "batch_size=32", "workers=1", "precision=32", "weights=none")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return toy_pairs(tmp_path_factory.mktemp("pairs") / "catalog")


@pytest.fixture(scope="module")
def trained(catalog, tmp_path_factory, slow_to_make):
    folder = tmp_path_factory.mktemp("models")
    train("matching", "robust-softmax", catalog, folder / "model", QUICK)
    return folder / "model"


def table(*rows):
    return pd.DataFrame(rows, columns=["product", "domain", "split"]).assign(category="A/B")


def test_pairs_are_of_one_thing_across_the_domains(catalog):
    pairable = Pairable.of(catalog.table, "product", catalog.root)
    products, domains = (catalog.table[name].to_numpy() for name in ("product", "domain"))
    steps = steps_of_epoch(pairable, 20, (1, 2, 4), 40, seed=0, epoch=0)
    users = np.concatenate([pairable.users[step.users] for step in steps])
    right = np.concatenate([step.right for step in steps])
    assert sorted(users) == sorted(pairable.users)  # each once
    assert (products[users] == products[right]).all()
    assert (domains[users] == "user").all()
    assert (domains[right] == "shop").all()
    assert (catalog.table["split"].to_numpy()[right] == "train").all()
    for step in steps:
        assert step.wrong.shape == (len(step.users), 2)
        assert len(step.background) == 4 * len(step.users)
    others = steps_of_epoch(pairable, 20, (1, 2, 4), 40, seed=0, epoch=1)
    assert [step.right.tolist() for step in steps] != [step.right.tolist() for step in others]
    again = steps_of_epoch(pairable, 20, (1, 2, 4), 40, seed=0, epoch=0)
    assert all((a.users == b.users).all() and (a.wrong == b.wrong).all() for a, b in zip(steps, again, strict=True))


def test_shop_photos_of_no_split_serve_every_split():
    rows = table(
        ["a", "shop", ""], ["b", "shop", ""], ["a", "user", "train"], ["b", "user", "test"], ["c", "user", "train"]
    )
    pairable = Pairable.of(rows, "product", "here")
    assert pairable.users.tolist() == [2]
    assert pairable.shops.tolist() == [0, 1]
    assert pairable.left_out == 1  # c


def test_hard_negatives_are_the_nearest_of_other_things():
    rows = table(*([name, "shop", "train"] for name in "aabbc"), ["a", "user", "train"], ["b", "user", "train"])
    pairable = Pairable.of(rows, "product", "here")
    scores = np.array([[0.9, 0.8, 0.1, 0.7, 0.6], [0.5, 0.6, 0.9, 0.9, 0.1]])
    assert pairable.hard(scores, 0, 2).tolist() == [[3, 4], [1, 0]]
    assert pairable.hard(scores, 0, 4).tolist() == [[3, 4, 2, 3], [1, 0, 4, 1]]  # three are of other things
    assert pairable.hard(scores[1:], 1, 1).tolist() == [[1]]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([["a", "shop", "train"], ["b", "user", "train"]], "shares its product"),
        ([["a", "shop", "test"], ["a", "user", "train"]], "shares its product"),
        ([["a", "shop", "train"], ["a", "user", "train"]], "nothing to tell apart"),
    ],
)
def test_a_catalog_without_pairs_is_refused(rows, what):
    with pytest.raises(InputError, match=what):
        Pairable.of(table(*rows), "product", "here")


def test_what_says_that_two_photos_show_the_same(catalog):
    renamed = catalog.with_table(catalog.table.rename(columns={"product": "item"}))
    assert plan(catalog, "robust", MatchingSettings()).column == "product"
    assert plan(renamed, "robust", MatchingSettings()).column == "item"
    assert plan(renamed, "robust", MatchingSettings(identity="category")).column == "category"
    with pytest.raises(InputError, match="colour: no row has one"):
        plan(catalog, "robust", MatchingSettings(identity="colour"))
    with pytest.raises(InputError, match="product and item: no row has one"):
        plan(catalog.with_table(catalog.table.drop(columns="product")), "robust", MatchingSettings())


def test_the_own_background_says_what_kind_a_thing_is_not_which_it_is(catalog):
    identity = Pairable.of(catalog.table, "product", catalog.root).identity
    background = own_background(catalog.table, identity)
    assert background.classes == ("Bags/Large", "Bags/Small", "Hats")
    assert (catalog.table["split"].to_numpy()[background.rows] == "train").all()
    leaves = catalog.table.assign(category="Any/" + catalog.table["product"])  # tell every product apart
    for table in (leaves, catalog.table.drop(columns="category")):
        products = own_background(table, identity)
        assert len(products.classes) == 18
        assert (identity[products.rows] == np.array([int(name) for name in products.classes])[products.labels]).all()


def test_another_catalogs_classes_are_its_own(catalog):
    first, second = catalog.table.iloc[:8], catalog.table.iloc[4:20].assign(category="Hats")
    found = other_background([first, second], 100)
    assert found.classes == ("0/Bags/Large", "0/Hats", "1/Hats")
    assert found.rows.min() == 100
    assert set(found.labels[found.rows >= 108]) == {2}


def test_the_margin_follows_the_scale_of_the_features(catalog):
    pairable = Pairable.of(catalog.table, "product", catalog.root)
    net = MatchingNet("resnet18_narrow", 32).eval()
    store = PhotoStore.of_catalog(catalog, 32)
    settings = MatchingSettings()
    margin = objective.margin_of(net, store, pairable, settings)
    doubled = objective.margin_of(net, store, pairable, settings.model_copy(update={"margin_scale": 2.0}))
    assert doubled / margin == pytest.approx(2.0 / settings.margin_scale)
    features, _ = objective.run_net(net, store, np.arange(len(catalog)))
    distances = [
        np.linalg.norm(features[user] - features[shop])
        for user in pairable.users
        for shop in pairable.shops
        if pairable.identity[user] != pairable.identity[shop]
    ]
    assert margin == pytest.approx(settings.margin_scale * np.median(distances), rel=1e-4)
    assert objective.margin_of(net, store, pairable, settings.model_copy(update={"margin": 40.0})) == 40.0


@pytest.mark.parametrize("epoch", [4, 5])
def test_a_step_is_the_formula_over_its_pairs(catalog, monkeypatch, epoch):
    """(sum over pairs of L) / (pairs m²) + w cross entropy of the background, pair by pair; far pairs count at first."""
    settings = MatchingSettings(epochs=10, batch_size=42, softmax_weight=0.5)
    planned = plan(catalog, "robust-softmax", settings)
    torch.manual_seed(0)
    net = MatchingNet("resnet18_narrow", 32)
    module = objective.TrainingModule(net, 3, len(planned.pairable.users), 4).eval()
    store = PhotoStore.of_catalog(catalog, 32)
    margin = 0.8 * objective.margin_of(net, store, planned.pairable, settings)
    validation = objective.Validation.of(catalog.table, "product")
    learnt = objective.siamese_objective(
        module, store, planned.pairable, planned.background, validation, "robust-softmax", margin, settings
    )
    step, pixels = next(iter(learnt.batches(epoch, 0)))
    monkeypatch.setattr(store, "augmented", lambda photos, device, seed: lessons_normalised(photos))
    got = learnt.at(epoch, 0, (step, pixels), torch.device("cpu")).item()
    rows = objective.step_rows(step, planned.pairable, planned.background, module.hard.numpy())
    features = net(lessons_normalised(store.read(rows)))[0].detach()
    n, labels = len(step.users), planned.background.labels[step.background]
    pairs = [(i, n + i, True) for i in range(n)] + [(i, 2 * n + i, False) for i in range(n)]
    far = 3 * n + np.arange(len(labels))
    pairs += [(far[i], far[i - 1], False) for i in range(len(far)) if labels[i] != labels[i - 1]]
    products = catalog.table["product"].to_numpy()
    total, far_pairs = 0.0, 0
    for a, b, same in pairs:
        assert not same or products[rows[a]] == products[rows[b]]
        squared = ((features[a] - features[b]) ** 2).sum().item()
        far_pairs += same and squared > margin**2
        cut = squared if epoch < 5 else min(margin**2, squared)
        total += cut if same else max(0.0, margin**2 - squared)
    assert far_pairs  # else both losses are the same
    scores = module.head(features[far]).detach().log_softmax(dim=1)
    entropy = -np.mean([scores[i, label].item() for i, label in enumerate(labels)])
    assert got == pytest.approx(total / len(pairs) / margin**2 + 0.5 * entropy, rel=1e-4)


def lessons_normalised(photos):
    from vitrine.data.augment import normalise

    return normalise(photos)


@pytest.mark.parametrize("text", ["1:1", "2:1:4", "1:a:4", "1:0:0"])
def test_ratios_that_are_none(text):
    with pytest.raises(InputError, match="1:1:4"):
        parse_settings(MatchingSettings, [f"pairs={text}"])


def test_a_training_ends_when_it_gets_no_better():
    history = engine.History()
    for score in (0.5, 0.6, 0.6, 0.55):
        history.add(engine.Epoch(1.0, score, 1.0))
    assert history.best == 1
    assert history.stale(2)
    assert not history.stale(3)
    assert not history.stale(0)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [name for name in Matching.variants if name != "robust-softmax"])
def test_every_variant_trains_and_is_measured(catalog, tmp_path, variant):
    train("matching", variant, catalog, tmp_path / "model", QUICK)
    found = evaluate(tmp_path / "model", catalog, tmp_path / "evaluation")
    assert {f"top{k}" for k in (1, 5, 20, 200)} < set(found)
    assert found["count"] == 12
    assert found["shop_photos"] == 60
    assert found["top200"] == 1.0


def test_evaluation_and_its_page(catalog, trained, tmp_path):
    found = evaluate(trained, catalog, tmp_path / "evaluation")
    assert json.loads((tmp_path / "evaluation/metrics.json").read_text()) == pytest.approx(found)
    assert {"category:Bags/top20", "category:Hats/top20", "category:Bags/Large/top20", "level1/top1"} < set(found)
    assert found["level2/top20"] >= found["level1/top20"] >= found["top20"] >= found["top5"] >= found["top1"]
    assert "| validation/top20 |" in (trained / "card.md").read_text()
    page = (tmp_path / "evaluation/report.html").read_text()
    for part in ("Hits", "Misses", "Within a category", "Map of features"):
        assert part in page
    config = json.loads((trained / "config.json").read_text())
    assert config["identity"] == "product"
    assert config["margin"] > 0
    assert not [name for name in load_model(trained)[0].state_dict() if "head" in name or "hard" in name]


def test_an_index_holds_the_shop_photos_alone(catalog, trained, tmp_path):
    assert make_index(trained, catalog, tmp_path / "index") == 60  # the shop's
    query = f"{catalog.root}/images/004-2.png"
    (line,) = search_photos(tmp_path / "index", [query], k=60)
    assert {hit["product"] for hit in line["results"]} == set(catalog.table["product"])
    assert all(hit["image"].endswith(("-0.png", "-1.png")) for hit in line["results"])
    with pytest.raises(InputError, match="vitrine search"):
        predict(trained, [query])


def test_what_cannot_be_measured_or_indexed_is_one_line(catalog, trained, tmp_path):
    for changed, what in (
        (catalog.table.assign(domain="user"), "no photo of domain 'shop'"),
        (catalog.table.assign(domain="shop"), "no user photo of split 'test'"),
        (catalog.table.assign(product=np.where(catalog.table["domain"] == "shop", "x", "y")), "nothing to measure"),
    ):
        with pytest.raises(InputError, match=what):
            evaluate(trained, catalog.with_table(changed), tmp_path / "none")
    train("matching", "ft-similarity", catalog, tmp_path / "pairwise", ("epochs=1", *QUICK[1:]))
    with pytest.raises(InputError, match="pair by pair"):
        make_index(tmp_path / "pairwise", catalog, tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_a_stopped_training_ends_with_the_weights_of_an_unbroken_one(catalog, trained, tmp_path, monkeypatch):
    taken = PhotoStore.augmented
    calls = iter(range(10**6))

    def killed(self, batch, device, seed):
        if next(calls) == 12:  # in the second pass over the pairs
            raise KeyboardInterrupt
        return taken(batch, device, seed)

    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(PhotoStore, "augmented", killed)
    with pytest.raises(KeyboardInterrupt):
        train("matching", "robust-softmax", catalog, tmp_path / "model", QUICK)
    monkeypatch.setattr(PhotoStore, "augmented", staticmethod(taken))
    train("matching", "robust-softmax", catalog, tmp_path / "model", QUICK, resume=True)
    assert (tmp_path / "model/model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    resumed, unbroken = (
        json.loads((path / "config.json").read_text())["history"] for path in (tmp_path / "model", trained)
    )
    assert [epoch["figures"] for epoch in resumed] == [epoch["figures"] for epoch in unbroken]


def test_learnt_similarities_are_computed_where_the_net_is():
    net = MatchingNet("resnet18_narrow", 32, ["Shoes"], 8).to("meta")
    assert net.scores(torch.ones(2, net.dim), torch.ones(3, net.dim), "Shoes").device.type == "meta"
