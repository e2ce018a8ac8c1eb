"""Going on from an earlier net when leaves, levels or attribute labels have changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitrine.catalog.tree import CategoryTree
from vitrine.errors import InputError
from vitrine.model import load_config
from vitrine.tasks.taxonomy.net import TaxonomyNet
from vitrine.tasks.taxonomy.settings import TaxonomySettings
from vitrine.tasks.taxonomy.systems import level_task

SHARED = ("backbone", "image_size", "hidden")


def warm_start(
    net: TaxonomyNet, config: Mapping[str, Any], tensors: Mapping[str, Tensor], earlier: Mapping[str, Any], name: str
) -> list[str]:
    """Copies what an earlier net knows.

    Layers of the same name and shape are copied. Of a last layer each known category's or label's row is; a new leaf
    starts as the mean of the earlier leaves that share the longest part of its path, so that it is first taken for
    something like its siblings.

    Args:
        net: The new net, in place.
        config: Of the new net.
        tensors: Of the earlier net.
        earlier: Its config.
        name: What to call it in a message.

    Returns:
        The leaves that the earlier net did not know.

    Raises:
        InputError: if the two nets' photos or widths differ.
    """
    if earlier.get("task") != "taxonomy" or earlier.get("refined"):
        raise InputError(f"--set start={name}: is not a single net for taxonomy")
    for key in SHARED:
        if earlier[key] != config[key]:
            raise InputError(f"--set start={name}: has {key} {earlier[key]}, not {config[key]}")
    state = net.state_dict()
    last = _last_layers(config)
    before = _last_layers(earlier)
    for key, tensor in state.items():
        layer = key.rpartition(".")[0]
        if layer in last:
            if layer in before and tensors[key].shape[1:] == tensor.shape[1:]:
                tree = not layer.startswith("attributes")
                state[key] = _rows(tensor, last[layer], tensors[key], before[layer], tree)
        elif key in tensors and tensors[key].shape == tensor.shape:
            state[key] = tensors[key]
    net.load_state_dict(state)
    return [leaf for leaf in config["leaves"] if leaf not in set(earlier["leaves"])]


def _last_layers(config: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """The labels of the rows of each last layer."""
    tree = CategoryTree(config["leaves"])
    layers: dict[str, Sequence[str]] = {"leaf.2": config["leaves"]}
    layers |= {f"levels.{level_task(level)}.2": tree.level(level) for level in config["levels"]}
    layers |= {
        f"attributes.subtasks.{i}": [f"{kind}={label}" for label in labels]
        for i, (kind, labels) in enumerate(config["labels"].items())
    }
    return layers


def _rows(fresh: Tensor, labels: Sequence[str], old: Tensor, known_labels: Sequence[str], tree: bool) -> Tensor:
    place = {label: i for i, label in enumerate(known_labels)}
    rows = []
    for label, row in zip(labels, fresh, strict=True):
        if label in place:
            rows.append(old[place[label]])
        else:
            rows.append(_siblings(label, row, old, known_labels) if tree else row)
    return torch.stack(rows)


def _siblings(label: str, fresh: Tensor, old: Tensor, known_labels: Sequence[str]) -> Tensor:
    """The mean row of the known labels below the nearest ancestor that has any; the fresh row where none has."""
    while "/" in label:
        label = label.rpartition("/")[0]
        near = [i for i, other in enumerate(known_labels) if other == label or other.startswith(f"{label}/")]
        if near:
            return old[near].mean(dim=0)
    return fresh


def inherited(settings: TaxonomySettings) -> TaxonomySettings:
    """Settings with what is left open as the model has it that a training goes on from."""
    earlier = load_config(Path(settings.start))
    fresh = settings.weights == "auto" and not earlier.get("weights")
    return settings.model_copy(
        update={
            "backbone": earlier["backbone"] if settings.backbone == "auto" else settings.backbone,
            "image_size": settings.image_size or earlier["image_size"],
            "weights": "none" if fresh else settings.weights,
        }
    )
