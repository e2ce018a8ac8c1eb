"""Convolutional (or transformer) trunks by name: photos in, a feature map out, no classifier."""

import difflib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitrine.blocks.narrow_resnet import NARROW, narrow_resnet18
from vitrine.data.augment import MEAN, STD
from vitrine.errors import InputError


def build_backbone(name: str, image_size: int, weights: str = "none") -> tuple[nn.Module, tuple[int, int, int]]:
    """A trunk and the shape of the feature map it makes of one photo.

    Args:
        name: `resnet18_narrow` (0.7 M parameters, for CPUs), any classification net of torchvision, or
            `<resnet>_small`: the same net with a 3x3 stem of stride 1 and no first pooling, for photos up to 64 px.
        image_size: Edge of the photos, pixels.
        weights: `none`, `imagenet` (torchvision's own, downloaded once), or a `.safetensors` or `.pth` file of tensors.

    Returns:
        The trunk, and (channels, height, width) of its feature map.

    Raises:
        InputError: for an unknown name, weights that cannot be had or do not fit, or photos too small for the net.
    """
    trunk = narrow_resnet18() if name == NARROW else _torchvision_trunk(name, image_size, weights == "imagenet")
    if weights == "imagenet" and name == NARROW:
        raise InputError(f"backbone {name}: no published weights; use weights=none or a file")
    if weights not in ("none", "imagenet"):
        _load_weights(trunk, name, Path(weights))
    trunk.eval()
    try:
        with torch.inference_mode():
            channels, height, width = trunk(torch.zeros(1, 3, image_size, image_size)).shape[1:]
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InputError(f"backbone {name}: photos of {image_size} px do not fit this net") from error
    trunk.train()
    return trunk, (channels, height, width)


def _torchvision_trunk(name: str, image_size: int, pretrained: bool) -> nn.Module:
    from torchvision import models

    known = [*models.list_models(models), NARROW]
    small = name.endswith("_small") and name not in known  # torchvision has a convnext_small of its own
    plain = name.removesuffix("_small") if small else name
    if plain not in known or plain == NARROW:
        near = difflib.get_close_matches(name, [*known, "resnet18_small", "resnet50_small"], n=1, cutoff=0.0)[0]
        raise InputError(f"backbone {name}: unknown; did you mean {near}?")
    options: dict[str, object] = {"weights": "DEFAULT" if pretrained else None}
    if plain.startswith("vit_") and not pretrained:
        options["image_size"] = image_size  # else the net keeps the size it was published for
    if plain in ("googlenet", "inception_v3"):
        options.update({"aux_logits": pretrained, "init_weights": False})
    try:
        net = models.get_model(plain, **options)
    except AssertionError as error:
        raise InputError(f"backbone {name}: photos of {image_size} px do not fit this net") from error
    except OSError as error:  # urllib's errors are OSErrors
        raise InputError(
            f"weights=imagenet: {plain} cannot be downloaded here ({error}); give a file: --set weights=PATH"
        ) from error
    if small:
        if not isinstance(net, models.ResNet):
            raise InputError(f"backbone {name}: only ResNets have a _small form")
        width = net.conv1.out_channels
        net.conv1 = nn.Conv2d(3, width, 3, stride=1, padding=1, bias=False)
        net.maxpool = nn.Identity()
    return _without_classifier(net, name)


def _without_classifier(net: nn.Module, name: str) -> nn.Module:
    from torchvision import models

    if isinstance(net, models.VisionTransformer):
        return VitTrunk(net)
    if isinstance(net, models.SwinTransformer):
        return nn.Sequential(OrderedDict(features=net.features, norm=net.norm, permute=net.permute))
    if isinstance(features := getattr(net, "features", None), nn.Module):
        return features  # VGG, EfficientNet, ConvNeXt, MobileNet, DenseNet ...
    heads = ("fc", "avgpool", "dropout", "aux1", "aux2", "AuxLogits")
    children = [(key, child) for key, child in net.named_children() if key not in heads]
    if "fc" not in dict(net.named_children()):
        raise InputError(f"backbone {name}: not a net Vitrine knows how to take the classifier off")
    trunk = nn.Sequential()
    if isinstance(net, models.GoogLeNet | models.Inception3):
        trunk.add_module("rescale", InceptionScale())
    for key, child in children:
        trunk.add_module(key, child)
    return trunk


class InceptionScale(nn.Module):
    """From ImageNet's mean and deviation to (x - 0.5) / 0.5, which the published Inception weights were trained on."""

    def forward(self, photos: Tensor) -> Tensor:
        """(n, 3, h, w), normalised, to the same shape."""
        mean = torch.tensor(MEAN, device=photos.device).view(1, 3, 1, 1)
        std = torch.tensor(STD, device=photos.device).view(1, 3, 1, 1)
        return (photos * std + mean - 0.5) / 0.5


class VitTrunk(nn.Module):
    """A vision transformer whose patch tokens are laid out as a feature map. Its tensors are named as torchvision's."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.conv_proj: nn.Module = net.conv_proj
        self.class_token: nn.Parameter = net.class_token
        self.encoder: nn.Module = net.encoder

    def forward(self, photos: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, hidden, h / patch, w / patch)."""
        patches = self.conv_proj(photos)
        tokens = patches.flatten(2).transpose(1, 2)  # (n, patches, hidden)
        first = self.class_token.expand(len(tokens), -1, -1)
        encoded = self.encoder(torch.cat([first, tokens], dim=1))[:, 1:]
        return encoded.transpose(1, 2).unflatten(2, patches.shape[2:])


def _load_weights(trunk: nn.Module, name: str, path: Path) -> None:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"weights={path}: no such file") from error
    except Exception as error:  # each format has its own family of errors
        raise InputError(f"weights={path}: not a file of tensors ({type(error).__name__})") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(f"weights={path}: not a flat dictionary of tensors")
    # Older files lack the batch norms' counters, which nothing here reads.
    wanted = {key: own.shape for key, own in trunk.state_dict().items() if not key.endswith("num_batches_tracked")}
    for prefix in ("", "features.", "trunk."):
        found = {key: tensors[prefix + key] for key in wanted if prefix + key in tensors}
        if {key: own.shape for key, own in found.items()} == wanted:
            trunk.load_state_dict(found, strict=False)
            return
    raise InputError(f"weights={path}: the tensors do not fit backbone {name}")
