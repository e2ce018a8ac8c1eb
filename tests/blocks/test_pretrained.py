"""Weights are found in the order that is promised, checked, and refused in one line."""

import hashlib
import json
import sys
import urllib.error

import pytest
import torch
from safetensors.torch import load_file, save_file

from vitrine import files
from vitrine.blocks import pretrained
from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.pretrained import find_weights, keep_packaged, published_files
from vitrine.blocks.torchvision_nets import torchvision_models
from vitrine.errors import InputError

MOBILENET = "mobilenet_v2-b0353104"


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No network, an empty torch cache, an environment that carries no weights: (cache, environment)."""

    def unreachable(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrained.urllib.request, "urlopen", unreachable)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    return tmp_path / "torch/hub/checkpoints", tmp_path / "environment" / pretrained.OWN_FOLDER


def small_net(path, **options):
    """A file of tensors, and its sum."""
    torch.manual_seed(0)
    trunk, _ = build_backbone("resnet18_narrow", 32)
    path.parent.mkdir(parents=True, exist_ok=True)
    (save_file if path.suffix == ".safetensors" else torch.save)(dict(trunk.state_dict()), path, **options)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def published(folder, monkeypatch, ending=".pth"):
    """A file that torchvision would publish for mobilenet_v2, named by its own sum."""
    draft = folder / f"draft{ending}"
    digest = small_net(draft)
    name = f"mobilenet_v2-{digest[:8]}{ending}"
    draft.rename(folder / name)
    monkeypatch.setattr(pretrained, "published_files", lambda backbone: [f"https://publisher/{name}"])
    return folder / name, digest


class TestTheOrder:
    def test_the_environment_of_make_install_carries_mobilenet(self):
        """Not the network, and not this machine's own torch cache."""
        found = find_weights("auto", "mobilenet_v2")
        assert found.sha256 == "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
        assert found.licence.startswith("BSD-3-Clause")
        assert set(load_file(found.path)) == set(torchvision_models().mobilenet_v2().state_dict())

    def test_torchs_cache_comes_before_the_package(self, offline, monkeypatch):
        cache, environment = offline
        cache.mkdir(parents=True)
        path, digest = published(cache, monkeypatch)
        environment.mkdir(parents=True)
        keep_packaged(path, environment)
        found = find_weights("auto", "mobilenet_v2")
        assert (found.path, found.sha256) == (path, digest)
        assert "torch's cache" in found.source
        path.unlink()
        found = find_weights("auto", "mobilenet_v2")
        assert found.path.parent == environment
        assert found.sha256 == digest  # that of the published file, not of the one it is kept in
        assert "as packaged" in found.source

    def test_a_download_comes_last_is_checked_and_stays_in_torchs_cache(self, offline, tmp_path, monkeypatch):
        cache, _ = offline
        (tmp_path / "away").mkdir()
        path, digest = published(tmp_path / "away", monkeypatch)
        asked = []

        def answer(address, timeout):
            asked.append((address, timeout))
            return path.open("rb")

        monkeypatch.setattr(pretrained.urllib.request, "urlopen", answer)
        found = find_weights("auto", "mobilenet_v2")
        assert found.path == cache / path.name
        assert found.sha256 == digest
        assert asked == [(f"https://publisher/{path.name}", pretrained.TIMEOUT)]
        find_weights("auto", "mobilenet_v2")
        assert len(asked) == 1

    def test_a_download_with_another_sum_is_not_kept(self, offline, tmp_path, monkeypatch):
        cache, _ = offline
        (tmp_path / "away").mkdir()
        path, _ = published(tmp_path / "away", monkeypatch)
        path.write_bytes(path.read_bytes()[:-1])
        monkeypatch.setattr(pretrained.urllib.request, "urlopen", lambda *_, **__: path.open("rb"))
        with pytest.raises(InputError, match=r"is damaged or another file: its SHA-256 begins with \w{8}, not \w{8}$"):
            find_weights("auto", "mobilenet_v2")
        assert list(cache.iterdir()) == []

    @pytest.mark.parametrize("asked", ["auto", "imagenet"])
    def test_without_any_the_three_ways_out_are_named(self, offline, asked):
        with pytest.raises(InputError) as refused:
            find_weights(asked, "resnet50")
        said = str(refused.value)
        assert len(said.splitlines()) == 1
        for part in (str(offline[0]), "--set weights=PATH", "--set weights=none", "Name or service not known"):
            assert part in said

    def test_nothing_is_asked_for_none(self, offline):
        assert find_weights("none", "resnet50") is None

    def test_the_published_names_are_torchvisions(self):
        assert published_files("mobilenet_v2")[0].endswith("mobilenet_v2-7ebf99e0.pth")  # its default
        assert any(url.endswith(f"{MOBILENET}.pth") for url in published_files("mobilenet_v2"))
        assert published_files("resnet18_small") == []


class TestDamage:
    def test_a_cut_file_in_torchs_cache_is_named(self, offline, monkeypatch):
        cache, _ = offline
        cache.mkdir(parents=True)
        path, _ = published(cache, monkeypatch)
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(InputError, match="is damaged or another file") as refused:
            find_weights("auto", "mobilenet_v2")
        assert str(path) in str(refused.value)

    def test_a_changed_packaged_file_is_refused(self, offline, tmp_path, monkeypatch):
        _, environment = offline
        (tmp_path / "away").mkdir()
        kept = keep_packaged(published(tmp_path / "away", monkeypatch)[0], environment)
        content = bytearray(kept.read_bytes())
        content[-1] ^= 1
        kept.write_bytes(content)
        with pytest.raises(InputError, match="is damaged or another file"):
            find_weights("auto", "mobilenet_v2")

    def test_only_a_file_with_its_own_sum_is_packaged(self, tmp_path):
        path = tmp_path / "mobilenet_v2-00000000.pth"
        small_net(path)
        with pytest.raises(InputError, match="not 00000000"):
            keep_packaged(path, tmp_path / "kept")
        assert not (tmp_path / "kept").exists()

    def test_what_is_packaged_can_be_read_by_every_user(self, tmp_path, monkeypatch):
        kept = keep_packaged(published(tmp_path, monkeypatch)[0], tmp_path / "kept")
        assert kept.stat().st_mode & 0o777 == 0o644
        told = json.loads(kept.with_suffix(".json").read_text())
        assert told["sha256"] == hashlib.sha256(kept.read_bytes()).hexdigest()


class TestGiven:
    @pytest.mark.parametrize("ending", [".pth", ".safetensors"])
    def test_a_file_and_its_sum(self, tmp_path, ending):
        path = tmp_path / f"own{ending}"
        digest = small_net(path)
        for asked in (str(path), f"{path}#sha256={digest}"):
            found = find_weights(asked, "resnet18_narrow")
            assert (found.path, found.source, found.sha256) == (path, path.name, digest)
        trunk, _ = build_backbone("resnet18_narrow", 32, f"{path}#sha256={digest}")
        assert trunk.training

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            ("#sha256=" + "0" * 64, "is damaged or another file"),
            ("#sha256=abc", "a SHA-256 has 64 hexadecimal digits"),
            ("#sha256=" + "X" * 64, "a SHA-256 has 64 hexadecimal digits"),
        ],
    )
    def test_a_wrong_sum(self, tmp_path, written, said):
        small_net(tmp_path / "own.pth")
        with pytest.raises(InputError, match=said) as refused:
            find_weights(f"{tmp_path / 'own.pth'}{written}", "resnet18_narrow")
        assert len(str(refused.value).splitlines()) == 1

    def test_s3_with_a_sum_is_fetched_once(self, tmp_path, bucket, monkeypatch):
        monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
        digest = small_net(tmp_path / "own.safetensors")
        address = f"{bucket}/nets/own.safetensors"
        files.write_bytes(address, (tmp_path / "own.safetensors").read_bytes())
        found = find_weights(f"{address}#sha256={digest}", "resnet18_narrow")
        assert (found.source, found.sha256) == (address, digest)
        build_backbone("resnet18_narrow", 32, f"{address}#sha256={digest}")
        files.delete(address)
        assert find_weights(f"{address}#sha256={digest}", "resnet18_narrow").path == found.path
        with pytest.raises(InputError, match="no such object"):
            find_weights(address, "resnet18_narrow")

    def test_s3_with_another_sum_leaves_nothing(self, tmp_path, bucket, monkeypatch):
        monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
        files.write_bytes(f"{bucket}/own.pth", b"something else")
        with pytest.raises(InputError, match="is damaged or another file"):
            find_weights(f"{bucket}/own.pth#sha256={'0' * 64}", "resnet18_narrow")
        assert list((tmp_path / "cache/weights").iterdir()) == []

    def test_an_https_address_that_does_not_answer(self, offline):
        with pytest.raises(InputError, match=r"weights=https://host/x.pth: cannot be fetched \(Name or service"):
            find_weights("https://host/x.pth", "resnet18_narrow")

    def test_no_other_address_is_asked(self, offline):
        for address in ("http://host/x.pth", "ftp://host/x.pth", "file:///etc/passwd", "//host/x.pth"):
            with pytest.raises(InputError, match="no such file"):
                find_weights(address, "resnet18_narrow")


class TestTimm:
    @pytest.fixture(autouse=True)
    def timm(self):
        return pytest.importorskip("timm", reason="the extra timm is not installed")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "size", "shape"),
        [
            ("timm:mobilenetv3_small_050", 64, (288, 2, 2)),
            ("timm:vit_tiny_patch16_224", 64, (192, 4, 4)),  # tokens behind one of the class
            ("timm:swin_tiny_patch4_window7_224", 224, (768, 7, 7)),  # channels last
        ],
    )
    def test_maps_of_convolutions_and_transformers(self, name, size, shape):
        trunk, got = build_backbone(name, size)
        assert got == shape
        with torch.no_grad():
            assert trunk.eval()(torch.randn(2, 3, size, size)).shape == (2, *shape)

    def test_patches_stand_where_they_lie_in_the_photo(self, timm):
        """What the trunk gives is what the net's own tokens are, row by row."""
        trunk, _ = build_backbone("timm:vit_tiny_patch16_224", 64)
        photos = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            maps, tokens = trunk.eval()(photos), trunk.net.forward_features(trunk.rescale(photos))
        assert torch.equal(maps[0, :, 2, 3], tokens[0, 1 + 2 * 4 + 3])

    @pytest.mark.slow
    def test_a_net_sees_its_own_normalisation(self):
        trunk, _ = build_backbone("timm:vit_base_patch32_clip_224", 32)
        from vitrine.data.augment import normalise

        photos = torch.randint(0, 256, (1, 3, 4, 4), dtype=torch.uint8)
        mean, std = (torch.tensor(own).view(1, 3, 1, 1) for own in (trunk.rescale.mean, trunk.rescale.std))
        assert trunk.rescale.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
        assert torch.allclose(trunk.rescale(normalise(photos)), (photos / 255 - mean) / std, atol=1e-5)

    def test_a_file_of_its_tensors(self, timm, tmp_path):
        net = timm.create_model("mobilenetv3_small_050", num_classes=7)
        save_file({key: own.contiguous() for key, own in net.state_dict().items()}, tmp_path / "own.safetensors")
        trunk, _ = build_backbone("timm:mobilenetv3_small_050", 64, str(tmp_path / "own.safetensors"))
        assert torch.equal(trunk.net.conv_stem.weight, net.conv_stem.weight)
        save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
        with pytest.raises(InputError, match="do not fit backbone timm:mobilenetv3_small_050"):
            build_backbone("timm:mobilenetv3_small_050", 64, str(tmp_path / "other.safetensors"))

    def test_an_unknown_name_names_the_nearest(self):
        with pytest.raises(InputError, match="backbone timm:convnext_tyni: unknown; did you mean timm:convnext_tiny"):
            build_backbone("timm:convnext_tyni", 64)

    def test_a_hub_out_of_reach_is_one_line_with_the_ways_out(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(
            InputError, match=r"timm:mobilenetv3_small_050 cannot be had .*--set weights=PATH"
        ) as refused:
            find_weights("auto", "timm:mobilenetv3_small_050")
        assert len(str(refused.value).splitlines()) == 1
