"""Trunks by name: shapes, sizes, weights from files, and one line for what cannot be had."""

import urllib.error

import pytest
import torch
from safetensors.torch import save_file

from vitrine.blocks.backbones import INCEPTION_MEAN, INCEPTION_STD, Rescale, build_backbone
from vitrine.blocks.torchvision_nets import torchvision_models
from vitrine.data.augment import normalise
from vitrine.errors import InputError


def parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(("size", "edge"), [(16, 1), (32, 2), (64, 4), (65, 5), (96, 6)])
def test_the_narrow_net_has_about_0_7_million_parameters(size, edge):
    trunk, shape = build_backbone("resnet18_narrow", size)
    assert 0.65e6 < parameters(trunk) < 0.75e6
    assert shape == (128, edge, edge)
    assert trunk(torch.randn(2, 3, size, size)).shape == (2, *shape)


def test_the_trunk_comes_ready_to_train_and_untouched_by_the_trial():
    trunk, _ = build_backbone("resnet18_narrow", 32)
    assert trunk.training
    assert all((own == 0).all() for name, own in trunk.state_dict().items() if name.endswith("running_mean"))


def test_the_small_form_keeps_the_resolution_of_small_photos():
    small, shape = build_backbone("resnet18_small", 32)
    assert shape == (512, 4, 4)
    assert small.conv1.weight.shape == (64, 3, 3, 3)
    assert build_backbone("resnet18", 32)[1] == (512, 1, 1)


def test_every_weight_has_a_gradient():
    trunk, _ = build_backbone("resnet18_narrow", 32)
    trunk(torch.randn(2, 3, 32, 32)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in trunk.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("vgg16", 32, (512, 1, 1)),
        ("googlenet", 64, (1024, 2, 2)),
        ("inception_v3", 96, (2048, 1, 1)),
        ("efficientnet_v2_s", 64, (1280, 2, 2)),
        ("convnext_tiny", 64, (768, 2, 2)),
        ("convnext_small", 32, (768, 1, 1)),
        ("mobilenet_v3_small", 64, (576, 2, 2)),
        ("vit_b_16", 48, (768, 3, 3)),
        ("swin_t", 64, (768, 2, 2)),
        ("densenet121", 64, (1024, 2, 2)),
    ],
)
def test_nets_of_torchvision(name, size, shape):
    trunk, got = build_backbone(name, size)
    assert got == shape
    with torch.no_grad():
        assert trunk.eval()(torch.randn(2, 3, size, size)).shape == (2, *shape)


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("vit_b_16", "googlenet", "swin_t")),
        "resnet18",
        "mobilenet_v3_small",
    ],
)
def test_the_trunk_computes_what_the_whole_net_does(name):
    """The classifier's input, pooled from the feature map, is that of torchvision's own net."""
    torch.manual_seed(0)
    options = {"vit_b_16": {"image_size": 32}, "googlenet": {"init_weights": False, "aux_logits": False}}
    net = torchvision_models().get_model(name, weights=None, **options.get(name, {})).eval()
    trunk, _ = build_backbone(name, 32)
    wanted = {key: own for key, own in net.state_dict().items() if key in trunk.state_dict()}
    if not wanted:
        wanted = {key.removeprefix("features."): own for key, own in net.state_dict().items()}
        wanted = {key: own for key, own in wanted.items() if key in trunk.state_dict()}
    trunk.load_state_dict(wanted)
    features = []
    layer = {"vit_b_16": "encoder", "swin_t": "permute", "googlenet": "inception5b", "resnet18": "layer4"}
    net.get_submodule(layer.get(name, "features")).register_forward_hook(lambda *args: features.append(args[2]))
    photos = torch.randn(2, 3, 32, 32)
    if name == "googlenet":
        net.transform_input = True  # as its published weights need
    with torch.no_grad():
        net(photos)
        got = trunk.eval()(photos)
    expected = features[0]
    if name == "vit_b_16":
        expected = expected[:, 1:].transpose(1, 2).reshape(2, 768, 2, 2)
    assert torch.allclose(got, expected, atol=1e-4)


def test_inception_sees_its_own_normalisation():
    photos = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.allclose(Rescale(INCEPTION_MEAN, INCEPTION_STD)(normalise(photos)), photos / 127.5 - 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("resnet18_narow", "resnet18_narrow"),
        ("resnet19", "resnet1"),
        ("vgg", "vgg1"),
        ("resnet18_smal", "resnet18_small"),
        ("efficientnet_v2", "efficientnet_v2_"),
        ("resnet18_narrow_small", "resnet18_narrow"),
    ],
)
def test_an_unknown_name_names_the_nearest(name, nearest):
    with pytest.raises(InputError, match=rf"backbone {name}: unknown; did you mean {nearest}\w*\?"):
        build_backbone(name, 32)


def test_only_resnets_have_a_small_form():
    with pytest.raises(InputError, match="only ResNets have a _small form"):
        build_backbone("alexnet_small", 64)


@pytest.mark.parametrize(
    ("name", "size"), [pytest.param("vgg11", 16, marks=pytest.mark.slow), ("vit_b_16", 40), ("alexnet", 32)]
)
def test_photos_that_do_not_fit(name, size):
    with pytest.raises(InputError, match=f"backbone {name}: photos of {size} px do not fit this net"):
        build_backbone(name, size)


class TestWeights:
    @pytest.fixture
    def offline(self, tmp_path, monkeypatch):
        def unreachable(*_, **__):
            raise urllib.error.URLError("Temporary failure in name resolution")

        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(torch.hub, "urlopen", unreachable)

    def test_imagenet_offline_says_how_to_give_a_path(self, offline):
        with pytest.raises(
            InputError, match=r"weights=imagenet: resnet18-f37072fd.pth .*--set weights=PATH.*--set weights=none"
        ) as caught:
            build_backbone("resnet18", 32, "imagenet")
        assert len(str(caught.value).splitlines()) == 1

    def test_nothing_is_downloaded_unless_asked(self, offline):
        build_backbone("resnet18", 32)

    def test_the_narrow_net_has_no_published_weights(self):
        with pytest.raises(InputError, match="nobody publishes weights for resnet18_narrow"):
            build_backbone("resnet18_narrow", 32, "imagenet")

    @pytest.mark.parametrize("ending", ["safetensors", "pth"])
    @pytest.mark.parametrize("prefix", ["", "trunk.", "features."])
    def test_round_trip(self, tmp_path, ending, prefix):
        torch.manual_seed(0)
        trunk, _ = build_backbone("resnet18_narrow", 32)
        tensors = {prefix + name: own.contiguous() for name, own in trunk.state_dict().items()}
        tensors["head.weight"] = torch.zeros(3)
        path = tmp_path / f"weights.{ending}"
        (save_file if ending == "safetensors" else torch.save)(tensors, path)
        other, _ = build_backbone("resnet18_narrow", 32, str(path))
        assert all(torch.equal(own, other.state_dict()[name]) for name, own in trunk.state_dict().items())

    @pytest.mark.parametrize(
        "name", [pytest.param("vit_b_32", marks=pytest.mark.slow), "resnet18", "mobilenet_v3_small"]
    )
    def test_files_of_torchvision_fit_as_they_are(self, tmp_path, name):
        """Without the batch norms' counters too, as in older files."""
        options = {"image_size": 32} if name.startswith("vit") else {}
        tensors = torchvision_models().get_model(name, weights=None, **options).state_dict()
        path = tmp_path / "weights.pth"
        torch.save({key: own for key, own in tensors.items() if not key.endswith("num_batches_tracked")}, path)
        trunk, _ = build_backbone(name, 32, str(path))
        first = next(iter(trunk.state_dict().values()))
        assert any(own.shape == first.shape and torch.equal(own, first) for own in tensors.values())

    def test_no_such_file(self, tmp_path):
        for name in ("none.pth", "none.safetensors"):
            with pytest.raises(InputError, match="no such file"):
                build_backbone("resnet18_narrow", 32, str(tmp_path / name))

    def test_tensors_of_another_net(self, tmp_path):
        trunk, _ = build_backbone("resnet18_narrow", 32)
        tensors = trunk.state_dict()
        torch.save(tensors, tmp_path / "a.pth")
        with pytest.raises(InputError, match="do not fit backbone resnet18_small"):
            build_backbone("resnet18_small", 32, str(tmp_path / "a.pth"))
        first = next(iter(tensors))
        for wrong in ({**tensors, first: torch.zeros(1)}, dict(list(tensors.items())[1:]), {}):
            torch.save(wrong, tmp_path / "b.pth")
            with pytest.raises(InputError, match="do not fit backbone resnet18_narrow"):
                build_backbone("resnet18_narrow", 32, str(tmp_path / "b.pth"))

    @pytest.mark.parametrize("content", [[1], torch.ones(2), {"a": 1}, {"state_dict": {"a": torch.ones(1)}}])
    def test_files_of_something_else(self, tmp_path, content):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(InputError, match="not a flat dictionary of tensors"):
            build_backbone("resnet18_narrow", 32, str(tmp_path / "a.pth"))

    @pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
    @pytest.mark.parametrize("content", [b"", b"xx", b"PK\x03\x04" + bytes(50)])
    def test_damaged_files(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="not a file of tensors") as caught:
            build_backbone("resnet18_narrow", 32, str(tmp_path / name))
        assert len(str(caught.value).splitlines()) == 1

    def test_a_pickle_is_not_run(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

        torch.save({"a": Evil()}, tmp_path / "evil.pth")
        with pytest.raises(InputError, match="not a file of tensors"):
            build_backbone("resnet18_narrow", 32, str(tmp_path / "evil.pth"))
        assert not (tmp_path / "ran").exists()
