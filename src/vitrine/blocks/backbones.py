"""Convolutional (or transformer) trunks by name: photos in, a feature map out, no classifier."""

import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitrine.blocks.narrow_resnet import NARROW, narrow_resnet18
from vitrine.blocks.pretrained import TIMM, find_weights, import_timm, read_tensors, say, unknown
from vitrine.blocks.strided_depthwise import keep_at_32_bits
from vitrine.blocks.torchvision_nets import torchvision_models
from vitrine.data.augment import MEAN, STD
from vitrine.errors import InputError

OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")  # how torchvision's files name these layers
POSITIONS = "encoder.pos_embedding"
INCEPTION_MEAN = INCEPTION_STD = (0.5, 0.5, 0.5)  # of the photos that the published Inception weights were trained on


def build_backbone(name: str, image_size: int, weights: str = "none") -> tuple[nn.Module, tuple[int, int, int]]:
    """A trunk and the shape of the feature map it makes of one photo.

    Args:
        name: `resnet18_narrow` (0.7 M parameters, for CPUs), any classification net of torchvision, `timm:NAME`, or
            `<resnet>_small`: the same net with a 3x3 stem of stride 1 and no first pooling, for photos up to 64 px.
        image_size: Edge of the photos, pixels.
        weights: See `find_weights`.

    Returns:
        The trunk, and (channels, height, width) of its feature map.

    Raises:
        InputError: for an unknown name, weights that cannot be had or do not fit, or photos too small for the net.
    """
    known_name(name)
    weights_found = find_weights(weights, name)
    if name.startswith(TIMM):
        trunk: nn.Module = _timm_trunk(name, image_size, weights_found.path if weights_found else None)
    else:
        trunk = narrow_resnet18() if name == NARROW else _torchvision_trunk(name, image_size)
        if weights_found is not None:
            _load_weights(trunk, name, weights_found.path, image_size)
    if weights_found is not None:
        say(weights_found)
    keep_at_32_bits(trunk)
    trunk.eval()
    try:
        with torch.inference_mode():
            channels, height, width = trunk(torch.zeros(1, 3, image_size, image_size)).shape[1:]
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InputError(f"backbone {name}: photos of {image_size} px do not fit this net") from error
    trunk.train()
    return trunk, (channels, height, width)


def known_name(name: str) -> None:
    """Refuses a name that no net has.

    Raises:
        InputError: naming the nearest known one.
    """
    if name.startswith(TIMM):
        timm = import_timm()
        if not timm.is_model(name.removeprefix(TIMM)):
            raise unknown(name, [TIMM + timm_name for timm_name in timm.list_models()])
        return
    if name == NARROW:
        return
    models = torchvision_models()

    names = [*models.list_models(models), NARROW]
    if name not in names and (name.removesuffix("_small") not in names or name == f"{NARROW}_small"):
        raise unknown(name, [*names, "resnet18_small", "resnet50_small"])


def native_size(name: str) -> int | None:
    """The edge of the photos, pixels, that a net of timm was trained on; None for the nets that take any size."""
    if not name.startswith(TIMM):
        return None
    config = import_timm().get_pretrained_cfg(name.removeprefix(TIMM))
    return int(config.input_size[-1]) if config else None


def _torchvision_trunk(name: str, image_size: int) -> nn.Module:
    models = torchvision_models()

    small = name.endswith("_small") and name not in models.list_models(models)  # there is a convnext_small
    plain = name.removesuffix("_small") if small else name
    options: dict[str, object] = {"weights": None}
    if plain.startswith("vit_"):
        options["image_size"] = image_size
    if plain in ("googlenet", "inception_v3"):
        options.update({"aux_logits": False, "init_weights": False})
    try:
        net = models.get_model(plain, **options)
    except AssertionError as error:
        raise InputError(f"backbone {name}: photos of {image_size} px do not fit this net") from error
    if small:
        if not isinstance(net, models.ResNet):
            raise InputError(f"backbone {name}: only ResNets have a _small form")
        width = net.conv1.out_channels
        net.conv1 = nn.Conv2d(3, width, 3, stride=1, padding=1, bias=False)
        net.maxpool = nn.Identity()
    return _without_classifier(net, name)


def _without_classifier(net: nn.Module, name: str) -> nn.Module:
    models = torchvision_models()

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
        trunk.add_module("rescale", Rescale(INCEPTION_MEAN, INCEPTION_STD))
    for key, child in children:
        trunk.add_module(key, child)
    return trunk


class Rescale(nn.Module):
    """From ImageNet's mean and deviation to those that a net's published weights were trained on."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, photos: Tensor) -> Tensor:
        """(n, 3, h, w), normalised, to the same shape."""
        old_mean, old_std, mean, std = (
            torch.tensor(values, device=photos.device).view(1, 3, 1, 1) for values in (MEAN, STD, self.mean, self.std)
        )
        return (photos * old_std + old_mean - mean) / std


class TimmTrunk(nn.Module):
    """A net of timm without its head; tokens of transformers are laid out as a feature map.

    Args:
        net: Made with `num_classes=0`.
        mean: Of the photos its weights were trained on.
        std: Of the same.
    """

    def __init__(self, net: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.net: nn.Module = net
        self.rescale = nn.Identity() if (mean, std) == (MEAN, STD) else Rescale(mean, std)

    def forward(self, photos: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, channels, rows, columns)."""
        net: Any = self.net
        features: Tensor = net.forward_features(self.rescale(photos))
        if features.ndim == 3:  # (n, prefix + rows * columns, channels)
            features = features[:, getattr(net, "num_prefix_tokens", 0) :]
            edge = round(features.shape[1] ** 0.5)
            return features.transpose(1, 2).unflatten(2, (edge, edge))
        return features if features.shape[1] == net.num_features else features.permute(0, 3, 1, 2)


class VitTrunk(nn.Module):
    """A vision transformer whose patch tokens are laid out as a feature map. Its tensors are named as torchvision's."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.conv_proj: nn.Conv2d = net.conv_proj
        self.class_token: nn.Parameter = net.class_token
        self.encoder: nn.Module = net.encoder

    def forward(self, photos: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, hidden, h / patch, w / patch)."""
        patches = self.conv_proj(photos)
        tokens = patches.flatten(2).transpose(1, 2)  # (n, patches, hidden)
        first = self.class_token.expand(len(tokens), -1, -1)
        encoded = self.encoder(torch.cat([first, tokens], dim=1))[:, 1:]
        return encoded.transpose(1, 2).unflatten(2, patches.shape[2:])


def _timm_trunk(name: str, image_size: int, path: Path | None) -> nn.Module:
    timm = import_timm()
    timm_name = name.removeprefix(TIMM)
    config = timm.get_pretrained_cfg(timm_name)
    options: dict[str, Any] = {"num_classes": 0}
    if config is not None and config.fixed_input_size:
        options["img_size"] = image_size  # its position embeddings are resampled
    try:
        net = timm.create_model(timm_name, **options)
    except AssertionError as error:
        raise InputError(f"backbone {name}: photos of {image_size} px do not fit this net") from error
    if path is not None:
        net = _filled(timm, timm_name, options, path)
    mean, std = (config.mean, config.std) if config is not None else (MEAN, STD)
    return TimmTrunk(net, tuple(mean), tuple(std))


def _filled(timm: Any, name: str, options: dict[str, Any], path: Path) -> Any:
    """A net of timm with the tensors of a file, which timm renames for many publishers.

    Of tensors that it then lacks timm only warns; so a net is made from the same random numbers without the file, and
    what is the same in both was not filled.
    """
    read_tensors(path)  # refuses what is no file of tensors, in our words
    made = []
    for file in ({}, {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path)}}):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            try:
                made.append(timm.create_model(name, **options, **file))
            except (RuntimeError, KeyError, ValueError) as error:
                raise InputError(f"weights={path}: the tensors do not fit backbone {TIMM}{name}") from error
    fresh, filled = made
    for key, parameter in fresh.named_parameters():
        if parameter.ndim > 1 and torch.equal(parameter, filled.get_parameter(key)):
            raise InputError(f"weights={path}: the tensors do not fit backbone {TIMM}{name} (it lacks {key})")
    return filled


def _load_weights(trunk: nn.Module, name: str, path: Path, image_size: int) -> None:
    tensors = {OLD_DENSENET.sub(r"\1\2", key): tensor for key, tensor in read_tensors(path).items()}
    if isinstance(trunk, VitTrunk) and POSITIONS in tensors:
        from torchvision.models.vision_transformer import interpolate_embeddings

        try:
            tensors = dict(interpolate_embeddings(image_size, trunk.conv_proj.kernel_size[0], OrderedDict(tensors)))
        except ValueError as error:
            raise InputError(f"weights={path}: the tensors do not fit backbone {name}") from error
    # Older files lack the batch norms' counters, which nothing here reads.
    wanted = {
        key: tensor.shape for key, tensor in trunk.state_dict().items() if not key.endswith("num_batches_tracked")
    }
    for prefix in ("", "features.", "trunk."):
        fitting = {key: tensors[prefix + key] for key in wanted if prefix + key in tensors}
        if {key: tensor.shape for key, tensor in fitting.items()} == wanted:
            trunk.load_state_dict(fitting, strict=False)
            return
    raise InputError(f"weights={path}: the tensors do not fit backbone {name}")
