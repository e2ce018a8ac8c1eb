"""The net of fine-grained representation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from vitrine.blocks.backbones import build_backbone
from vitrine.catalog.tree import CategoryTree

SUPER = "super"


class RepresentationNet(nn.Module):
    """A trunk, average pooling, and a linear classifier of the super-classes where they are learnt."""

    def __init__(self, backbone: str, image_size: int, classes: int, weights: str = "none") -> None:
        super().__init__()
        self.trunk, (self.dim, _, _) = build_backbone(backbone, image_size, weights)
        self.head = nn.Linear(self.dim, classes) if classes else None

    def forward(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised photos (n, 3, h, w) to features (n, dim) and unnormalised scores (n, classes)."""
        features = self.trunk(photos).mean(dim=(2, 3))
        return features, {} if self.head is None else {SUPER: self.head(features)}


def build(config: Mapping[str, Any], weights: str = "none") -> RepresentationNet:
    """The net a config describes, with fresh (or published) weights."""
    classes = 0 if config["variant"] == "maskcon" else len(config["classes"])
    return RepresentationNet(config["backbone"], config["image_size"], classes, weights)


def super_classes(config: Mapping[str, Any], table: pd.DataFrame) -> np.ndarray:
    """(rows,) the place of each row's super-class in the config, -1 where it is not known."""
    tree, place = CategoryTree(config["leaves"]), {name: i for i, name in enumerate(config["classes"])}
    paths = table["category"] if "category" in table else [""] * len(table)
    return np.array([place.get(tree.node(path, config["level"]), -1) for path in paths], np.int64)
