"""The nets of attribute prediction (Shin, Semi-supervised Learning with a Teacher-student Network for Generalized
Attribute Prediction, ECCV 2020; "MTSS").

A teacher is a net for one attribute type that places photos near the embeddings of their labels. The student is one
net for all types that learns to place photos where the teachers do, so it needs no labels and learns from every photo.
Both are an `AttributeNet`; a teacher is one with a single type. `LogisticNet` is the system they are compared with.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.cosine import cosines


class AttributeNet(nn.Module):
    """A shared trunk, a linear branch per attribute type into its embedding space, a dictionary of label embeddings.

    Args:
        backbone: See `build_backbone`.
        image_size: Edge of the photos, pixels.
        labels: The classes of each attribute type.
        embedding_dim: D.
        weights: See `build_backbone`.
    """

    def __init__(
        self,
        backbone: str,
        image_size: int,
        labels: Mapping[str, Sequence[str]],
        embedding_dim: int,
        weights: str = "none",
    ) -> None:
        super().__init__()
        self.kinds = tuple(labels)
        self.trunk, (channels, _, _) = build_backbone(backbone, image_size, weights)
        self.branches = nn.ModuleList([nn.Linear(channels, embedding_dim) for _ in labels])
        self.dictionaries = nn.ParameterList(
            [
                nn.Parameter(torch.randn(len(classes), embedding_dim) * embedding_dim**-0.5)
                for classes in labels.values()
            ]
        )

    def embed(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised photos (n, 3, h, w) to pooled features (n, channels) and e per type, (n, D)."""
        features = self.trunk(photos).mean(dim=(2, 3))
        return features, {kind: branch(features) for kind, branch in zip(self.kinds, self.branches, strict=True)}

    def forward(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Pooled features (n, channels) and, per type, cosines to its label embeddings (n, classes) (Section 3.4)."""
        features, embeddings = self.embed(photos)
        return features, {
            kind: cosines(embeddings[kind], dictionary)
            for kind, dictionary in zip(self.kinds, self.dictionaries, strict=True)
        }


class LogisticNet(nn.Module):
    """A shared trunk and, per attribute type, a logistic output for each of its labels ("BCE" in Table 3).

    Args:
        backbone: See `build_backbone`.
        image_size: Edge of the photos, pixels.
        labels: The classes of each attribute type.
        weights: See `build_backbone`.
    """

    def __init__(
        self, backbone: str, image_size: int, labels: Mapping[str, Sequence[str]], weights: str = "none"
    ) -> None:
        super().__init__()
        self.kinds = tuple(labels)
        self.trunk, (channels, _, _) = build_backbone(backbone, image_size, weights)
        self.outputs = nn.ModuleList([nn.Linear(channels, len(classes)) for classes in labels.values()])

    def forward(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised photos (n, 3, h, w) to pooled features (n, channels) and, per type, logits (n, classes)."""
        features = self.trunk(photos).mean(dim=(2, 3))
        return features, {kind: output(features) for kind, output in zip(self.kinds, self.outputs, strict=True)}


def build(config: Mapping[str, Any]) -> AttributeNet | LogisticNet:
    """The net a model folder's config describes, with fresh weights."""
    if config["variant"] == "bce":
        return LogisticNet(config["backbone"], config["image_size"], config["labels"])
    return AttributeNet(config["backbone"], config["image_size"], config["labels"], config["embedding_dim"])
