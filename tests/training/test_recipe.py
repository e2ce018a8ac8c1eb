"""What is left to the net, the machine and the task is settled before anything else, and contradictions are refused."""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vitrine import tasks
from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.pretrained import find_weights
from vitrine.catalog import Catalog
from vitrine.data.feature_store import FeatureStore
from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError
from vitrine.settings import Settings, parse_settings
from vitrine.tasks.attributes.fit import teacher_key
from vitrine.tasks.attributes.settings import StudentSettings, TeacherSettings
from vitrine.tasks.matching.settings import MatchingSettings
from vitrine.tasks.taxonomy.settings import TaxonomySettings
from vitrine.training import recipe
from vitrine.training.engine import Epoch, History
from vitrine.training.model import training_identity, training_notes
from vitrine.training.recipe import RECIPES, resolve, trained_part

pytestmark = pytest.mark.usefixtures("one_thread")


def settled(*overrides, kind=TaxonomySettings, task="taxonomy"):
    return resolve(parse_settings(kind, overrides), tasks.get(task))


def small_weights(path, backbone):
    trunk, _ = build_backbone(backbone, 32)
    torch.save(dict(trunk.state_dict()), path)


class TestDefaults:
    def test_a_cpu_tunes_the_upper_half_of_mobilenet_at_128_px(self):
        own = settled()
        assert (own.backbone, own.image_size, own.weights, own.trunk) == ("mobilenet_v2", 128, "auto", "upper")
        assert (own.epochs, own.learning_rate, own.trunk_rate) == RECIPES["upper"]

    def test_a_gpu_tunes_a_strong_net_at_224_px(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(recipe, "find_weights", lambda asked, backbone: find_weights("auto", "mobilenet_v2"))
        own = settled()
        assert (own.backbone, own.image_size, own.trunk) == ("convnext_tiny", 224, "tuned")

    def test_a_gpu_without_a_network_takes_the_net_it_has_and_says_so(self, monkeypatch, capsys):
        def found(asked, backbone):
            if backbone == "convnext_tiny":
                raise InputError("weights=auto: it cannot be downloaded")
            return find_weights(asked, backbone)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(recipe, "find_weights", found)
        own = settled()
        assert (own.backbone, own.image_size, own.trunk) == ("mobilenet_v2", 224, "tuned")
        assert "backbone=auto: mobilenet_v2; weights=auto: it cannot be downloaded" in capsys.readouterr().out

    @pytest.mark.parametrize("start", ["weights=none", "trunk=scratch"])
    def test_from_nothing_the_narrow_net_learns_at_64_px(self, start):
        own = settled(start)
        assert (own.backbone, own.image_size, own.weights, own.trunk) == ("resnet18_narrow", 64, "none", "scratch")
        assert (own.epochs, own.learning_rate) == (30, 2e-3)

    def test_matching_has_passes_of_its_own(self):
        assert settled(kind=MatchingSettings, task="matching").epochs == 6
        own = settled("weights=none", kind=MatchingSettings, task="matching")
        assert (own.epochs, own.learning_rate) == (10, 1e-3)

    @pytest.mark.parametrize("weights", [None, {"source": "x", "sha256": "0", "licence": ""}])
    def test_a_training_goes_on_with_the_net_of_the_earlier_one(self, tmp_path, weights):
        told = {"task": "taxonomy", "variant": "bcnn", "backbone": "resnet18", "image_size": 48, "weights": weights}
        (tmp_path / "config.json").write_text(json.dumps(told | ({} if weights else {"backbone": "resnet18_narrow"})))
        if weights:  # published ones for this net are not here, and need not be: a file is named
            small_weights(tmp_path / "own.pth", "resnet18")
            own = settled(f"start={tmp_path}", f"weights={tmp_path / 'own.pth'}", kind=TaxonomySettings)
            assert (own.backbone, own.image_size, own.trunk) == ("resnet18", 48, "upper")
        else:
            own = settled(f"start={tmp_path}", kind=TaxonomySettings)
            assert (own.backbone, own.image_size, own.trunk) == ("resnet18_narrow", 48, "scratch")

    def test_what_is_named_stays(self):
        own = settled("epochs=3", "learning_rate=0.1", "trunk_rate=0.7", "image_size=96", "trunk=frozen")
        assert (own.epochs, own.learning_rate, own.trunk_rate, own.image_size, own.trunk) == (3, 0.1, 0.7, 96, "frozen")

    def test_nets_of_timm_see_the_size_they_were_made_for(self):
        pytest.importorskip("timm", reason="the extra timm is not installed")
        assert settled("backbone=timm:vit_small_patch14_dinov2.lvd142m", "weights=none").image_size == 518
        assert (
            settled("backbone=timm:vit_small_patch14_dinov2.lvd142m", "weights=none", "image_size=224").image_size
            == 224
        )

    def test_a_student_from_nothing_moves_faster(self):
        assert settled("weights=none", kind=StudentSettings, task="attributes").speed == 3
        assert settled(kind=StudentSettings, task="attributes").speed == 1

    def test_photos_that_change_in_each_pass_need_the_whole_net(self):
        assert settled("corrupted=0.2", kind=StudentSettings, task="attributes").trunk == "tuned"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["trunk=frozen", "weights=none"], "--set trunk=frozen: weights=none has nothing to start from"),
        (["trunk=scratch", "weights=imagenet"], "--set trunk=scratch: trains from nothing"),
        (["backbone=resnet18_narrow"], "nobody publishes weights for resnet18_narrow"),
        (["backbone=mobilenet_v9"], "backbone mobilenet_v9: unknown; did you mean mobilenet_v"),
        (["trunk=upper", "corrupted=0.1"], "--set trunk=upper: corrupted photos are made anew in each pass"),
    ],
)
def test_contradictions_are_one_line(overrides, said):
    with pytest.raises(InputError) as refused:
        settled(*overrides, kind=StudentSettings, task="attributes")
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("task", ["representation", "matching"])
def test_features_are_not_learnt_by_a_frozen_trunk(task):
    with pytest.raises(InputError, match=f"--set trunk=frozen: {task} teaches the trunk itself"):
        settled("trunk=frozen", task=task)
    with pytest.raises(InputError, match=f"--set head_epochs: {task} teaches the trunk itself"):
        settled("head_epochs=3", task=task)


@pytest.mark.parametrize("alone", ["trunk=frozen", "head_epochs=1"])
def test_a_module_inside_the_trunk_is_not_learnt_by_heads_alone(alone):
    with pytest.raises(
        InputError, match=f"salient_stage=1 teaches the trunk's last layers, {alone.removesuffix('=1')}"
    ):
        settled("salient_stage=1", alone)
    settled("salient_stage=1", "trunk=upper")


class Net(nn.Module):
    def __init__(self, path):
        super().__init__()
        self.trunk, _ = build_backbone("mobilenet_v2", 32, str(path))


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    trunk, _ = build_backbone("mobilenet_v2", 32)
    save_file({key: own.contiguous() for key, own in trunk.state_dict().items()}, path)
    return Net(path)


@pytest.mark.parametrize(("trunk", "left"), [("frozen", 0), ("upper", 5), ("tuned", 19), ("scratch", 19)])
def test_what_is_trained_of_a_trunk(net, tmp_path, monkeypatch, trunk, left):
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path))
    store = PhotoStore([], 32)
    own = Settings.model_validate({"trunk": trunk, "backbone": "mobilenet_v2", "image_size": 32})
    with trained_part(net, store, own) as shown:
        assert len(net.trunk) == left
        assert isinstance(shown, FeatureStore if left < 19 else PhotoStore)
    assert len(net.trunk) == 19


def test_a_net_without_a_middle_is_tuned_whole_and_says_so(capsys):
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.ModuleDict()

    store = PhotoStore([], 32)
    own = Settings.model_validate({"trunk": "upper", "backbone": "vit_b_16", "image_size": 32})
    with trained_part(Whole(), store, own) as shown:
        assert shown is store
    assert "vit_b_16 has no middle to cut it at; all of it is tuned" in capsys.readouterr().out


def test_maps_and_photos_teach_the_same_when_nothing_is_augmented(tmp_path, monkeypatch):
    """The loss of a step on frozen maps is that on the photos themselves."""
    from toys import toy_catalog

    from vitrine.tasks.taxonomy.plan import describe
    from vitrine.tasks.taxonomy.systems import build

    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    catalog = toy_catalog(tmp_path / "toys", photos=24)
    store = PhotoStore.of_catalog(catalog, 32)
    torch.manual_seed(0)
    own = settled("image_size=32", "batch_size=8", "copies=0", "trunk=upper")
    config = {"backbone": "mobilenet_v2", "image_size": 32, "hidden": 8, "salient_stage": 0, "variant": "sscnn"}
    config |= describe(catalog, "sscnn", ())
    net = build(config, own.weights).eval()
    batch = np.arange(6)
    photos = store.normalised(store.read(batch), torch.device("cpu"))
    with torch.no_grad():
        wanted = net(photos)[1]["leaf"]
        with trained_part(net, store, own) as shown:
            ((_, rows),) = shown.batches([batch])
            got = net(shown.augmented(rows, torch.device("cpu"), (0,)))[1]["leaf"]
    assert torch.allclose(got, wanted, atol=5e-3)


class TestHeadsFirst:
    """The heads learn on maps of the whole trunk, then what `trunk` names learns; the better of both stays."""

    @pytest.fixture
    def parts(self, net, tmp_path, monkeypatch):
        monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
        calls = []

        def train(scores, **settings):
            left = iter(scores)

            def fit(whole, objective, own, checkpoint, identity, title, quiet=False):
                learning = len({name.split(".")[0] for name, own in net.trunk.named_parameters() if own.requires_grad})
                calls.append((own.trunk, own.epochs, learning, objective.copies, checkpoint.name, identity, title))
                with torch.no_grad():
                    net.mark.add_(1)
                return History([Epoch(1.0, next(left), 0.0)], 0)

            class Objective(NamedTuple):
                copies: int | None

            monkeypatch.setattr(recipe, "fit", fit)
            known = {"backbone": "mobilenet_v2", "image_size": 32, "epochs": 7, "head_epochs": 5, "trunk": "upper"}
            own = Settings.model_validate(known | settings)
            store = PhotoStore([], 32)
            history = recipe.train_net(
                net, lambda shown: Objective(getattr(shown, "copies", None)), store, own, tmp_path, "id", "title"
            )
            return history, calls

        net.mark = nn.Parameter(torch.zeros(1))
        yield train
        del net.mark

    def test_on_which_part_and_for_how_long(self, parts, net):
        history, calls = parts([0.5, 0.6])
        assert calls == [
            ("frozen", 5, 0, 0, "heads.pt", "id heads", "title, heads"),
            ("upper", 7, 5, 4, "checkpoint.pt", "id", "title"),
        ]
        assert history.note == ""
        assert net.mark.item() == 2

    def test_heads_that_were_better_alone_are_kept_and_the_card_says_so(self, parts, net, capsys):
        history, _ = parts([0.7, 0.6])
        assert net.mark.item() == 1
        assert history.note == "The heads alone were better (0.7000 on validation photos against 0.6000), and kept."
        assert history.note in capsys.readouterr().out
        assert history.note in training_notes(history)

    @pytest.mark.parametrize("scores", [[None, None], [0.6, 0.6]])
    def test_what_is_not_better_is_not_kept(self, parts, net, scores):
        assert parts(scores)[0].note == ""
        assert net.mark.item() == 2

    @pytest.mark.parametrize("settings", [{"head_epochs": 0}, {"trunk": "frozen"}, {"trunk": "scratch"}])
    def test_where_there_is_nothing_to_do_first(self, parts, settings):
        _, calls = parts([0.6], **settings)
        assert [name for *_, name, _, _ in calls] == ["checkpoint.pt"]


@pytest.mark.parametrize("name", [training_identity, teacher_key])
def test_a_training_is_named_by_what_its_weights_file_holds(tmp_path, name):
    """A file that was exchanged under the same path is another start."""
    catalog = Catalog(str(tmp_path), pd.DataFrame({"image": ["a.png"], "split": ["train"], "attr:colour": ["red"]}))
    own = TeacherSettings.model_validate(
        {"type": "colour", "backbone": "resnet18", "weights": str(tmp_path / "own.pth")}
    )
    small_weights(tmp_path / "own.pth", "resnet18")
    ask = (lambda: name(catalog, "x", own)) if name is training_identity else (lambda: name(catalog, own))
    before = ask()
    assert ask() == before
    small_weights(tmp_path / "own.pth", "resnet18")  # other random numbers
    assert ask() != before


@pytest.mark.parametrize("name", [training_identity, teacher_key])
@pytest.mark.parametrize("cleaned", [True, False])
def test_a_training_is_named_by_its_photos(tmp_path, name, cleaned):
    """By their SHA-256 where the table has it, which a replaced photo no longer has; else by what is seen of the file."""
    (tmp_path / "a.png").write_bytes(b"one")
    table = pd.DataFrame({"image": ["a.png"], "split": ["train"], "attr:colour": ["red"]})
    catalog = Catalog(str(tmp_path), table.assign(sha256="0" * 64) if cleaned else table)
    own = TeacherSettings.model_validate({"type": "colour", "backbone": "resnet18_narrow", "weights": "none"})
    ask = (lambda: name(catalog, "x", own)) if name is training_identity else (lambda: name(catalog, own))
    before = ask()
    assert ask() == before
    (tmp_path / "a.png").write_bytes(b"another")
    assert (ask() == before) is cleaned
