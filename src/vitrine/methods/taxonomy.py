"""Category prediction with the structure of the tree and the attributes (Chen et al., Structure-Aware Deep Learning
for Product Image Classification, TOMM 2019).

Variants here: `bcnn`, the flat net for the leaves, and `ssmtl-ca`, which adds the salient-sensitive module (Section
3.2) and learns the attributes beside the leaves (Section 3.4, Eq. 5-7).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.multitask import (
    AttributeBranch,
    CategoryBranch,
    annotated_cross_entropy,
    attribute_weights,
    subtree_cross_entropy,
)
from vitrine.blocks.spatial_attention import SpatialAttention
from vitrine.catalog import Catalog, attribute_types
from vitrine.data.augment import augment
from vitrine.data.photo_store import PhotoStore
from vitrine.data.sampling import shuffled
from vitrine.errors import InputError
from vitrine.methods.inference import probabilities, run_net
from vitrine.methods.lesson import Lesson
from vitrine.methods.tree import CategoryTree
from vitrine.methods.truth import attribute_truth, label_matrix, labels_seen, top1_accuracy
from vitrine.outcome import Question
from vitrine.settings import TaxonomySettings

VARIANTS = ("bcnn", "ssmtl-ca")
LEAF = "leaf"


class TaxonomyNet(nn.Module):
    """Public module (trunk, salient-sensitive module, first fully connected layer) and a private branch per task.

    Args:
        backbone: See `build_backbone`.
        image_size: Edge of the photos, pixels.
        leaves: Number of leaf categories.
        states: Number of labels of each attribute type; empty for a flat net.
        salient: Insert the salient-sensitive module behind the trunk.
        hidden: Nodes of the public fully connected layer.
        weights: See `build_backbone`.
    """

    def __init__(
        self,
        backbone: str,
        image_size: int,
        leaves: int,
        states: Mapping[str, int],
        salient: bool,
        hidden: int,
        weights: str = "none",
    ) -> None:
        super().__init__()
        self.trunk, shape = build_backbone(backbone, image_size, weights)
        self.attention = SpatialAttention(*shape) if salient else None
        self.public = nn.Sequential(nn.Linear(shape[0], hidden), nn.ReLU(inplace=True))
        self.leaf = CategoryBranch(hidden, leaves)
        self.attributes = AttributeBranch(hidden, states) if states else None

    def forward(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised photos (n, 3, h, w) to features (n, hidden) and unnormalised scores (n, m) per task."""
        features = self.trunk(photos)
        if self.attention is not None:
            features, _ = self.attention(features)
        public = self.public(features.mean(dim=(2, 3)))
        scores = {LEAF: self.leaf(public)}
        if self.attributes is not None:
            scores.update({f"attr:{kind}": own for kind, own in self.attributes(public).items()})
        return public, scores


def describe(catalog: Catalog, variant: str) -> dict[str, Any]:
    """The labels a variant learns from a catalog's training photos: the part of config.json the data decides.

    Raises:
        InputError: for an unknown variant, or fewer than two leaf categories.
    """
    if variant not in VARIANTS:
        raise InputError(f"taxonomy has no variant {variant!r}; known: {', '.join(VARIANTS)}")
    table = catalog.of_split("train").table
    leaves = CategoryTree(table.get("category", ())).leaves
    if len(leaves) < 2:
        what = f"one value ({leaves[0]!r})" if leaves else "no label"
        raise InputError(f"{catalog.root}: category has {what} among training photos; there is nothing to learn")
    labels = {}
    for kind in attribute_types(table) if variant == "ssmtl-ca" else ():
        found = labels_seen(table, kind)
        if len(found) > 1:
            labels[kind] = found
    return {"leaves": list(leaves), "labels": labels, "salient": variant.startswith("ss")}


def build(config: Mapping[str, Any], weights: str = "none") -> TaxonomyNet:
    """The net a config describes, with fresh (or published) weights."""
    states = {kind: len(labels) for kind, labels in config["labels"].items()}
    return TaxonomyNet(
        config["backbone"],
        config["image_size"],
        len(config["leaves"]),
        states,
        config["salient"],
        config["hidden"],
        weights,
    )


def tasks(config: Mapping[str, Any], table: pd.DataFrame) -> list[tuple[str, list[list[str]], Sequence[str]]]:
    """Each task of the net: its name, the true labels of every row, the labels it can answer.

    A category that stops at an inner node is true of every leaf below it.
    """
    paths = table["category"].tolist() if "category" in table else [""] * len(table)
    below = {path: _leaves_below(path, config["leaves"]) for path in set(paths)}
    return [
        (LEAF, [below[path] for path in paths], config["leaves"]),
        *((f"attr:{kind}", attribute_truth(table, kind), labels) for kind, labels in config["labels"].items()),
    ]


def lesson(
    net: TaxonomyNet, catalog: Catalog, store: PhotoStore, config: Mapping[str, Any], settings: TaxonomySettings
) -> Lesson[tuple[np.ndarray, Tensor]]:
    """Eq. 5: the leaf loss with weight 1 and each attribute's, over its annotated photos, with `attribute_weights`.

    A photo whose category stops at an inner node teaches that one of the leaves below it is right. Photos without any
    label are left out.
    """
    split = catalog.table["split"].to_numpy()
    matrices = {name: label_matrix(own, config_labels) for name, own, config_labels in tasks(config, catalog.table)}
    allowed = torch.from_numpy(matrices[LEAF])
    states = {name: torch.from_numpy(_distribution(matrix)) for name, matrix in matrices.items() if name != LEAF}
    labelled = np.any([matrix.any(axis=1) for matrix in matrices.values()], axis=0)
    train = np.flatnonzero((split == "train") & labelled)
    validation = np.flatnonzero((split == "validation") & matrices[LEAF].any(axis=1))
    annotated = {name: int(matrix[train].any(axis=1).sum()) for name, matrix in matrices.items() if name != LEAF}
    weights = attribute_weights(annotated, settings.attribute_weight)
    steps = len(shuffled(train, settings.batch_size, settings.seed, 0))

    def batches(epoch: int, first_step: int) -> Iterable[tuple[np.ndarray, Tensor]]:
        return store.batches(shuffled(train, settings.batch_size, settings.seed, epoch)[first_step:])

    def loss(epoch: int, step: int, batch: tuple[np.ndarray, Tensor], device: torch.device) -> Tensor:
        rows, pixels = batch
        photos = augment(pixels.to(device, non_blocking=True), (settings.seed, epoch, step))
        _, scores = net(photos)
        terms = [subtree_cross_entropy(scores[LEAF], allowed[rows].to(device))]
        for name, own in states.items():
            terms.append(weights[name] * annotated_cross_entropy(scores[name], own[rows].to(device)))
        return torch.stack(terms).sum()

    def score() -> float | None:
        if not len(validation):
            return None
        return top1_accuracy(run_net(net, store, validation)[1][LEAF], matrices[LEAF][validation])

    return Lesson(steps, batches, loss, score)


def questions(
    config: Mapping[str, Any], scores: Mapping[str, np.ndarray], table: pd.DataFrame, temperatures: Mapping[str, float]
) -> list[Question]:
    """What the net answered: every level of the tree, coarse to fine, then the attributes it learnt.

    A coarser level is answered by adding up the probabilities of the leaves below each node, so the levels agree.
    """
    tree = CategoryTree(config["leaves"])
    leaves = probabilities(scores[LEAF], temperatures[LEAF])
    paths = table["category"].tolist() if "category" in table else [""] * len(table)
    asked = []
    for level in range(1, tree.depth + 1):
        nodes = leaves @ tree.membership(level)
        asked.append(
            Question(
                name=f"level{level}",
                labels=tree.level(level),
                scores=nodes,
                confidence=nodes.max(axis=1),
                truth=[_path_truth(tree, path, level) for path in paths],
            )
        )
    for kind, labels in config["labels"].items():
        name = f"attr:{kind}"
        states = probabilities(scores[name], temperatures[name])
        asked.append(Question(name, labels, states, states.max(axis=1), attribute_truth(table, kind)))
    return asked


def _leaves_below(path: str, leaves: Sequence[str]) -> list[str]:
    """The leaf itself, or every leaf below an inner node; none for an unknown path."""
    return [leaf for leaf in leaves if path and (leaf == path or leaf.startswith(f"{path}/"))]


def _path_truth(tree: CategoryTree, path: str, level: int) -> list[str]:
    """The true node at a level; a category the net never saw is kept, to count as a miss."""
    node = tree.node(path, level)
    return [node] if node else []


def _distribution(matrix: np.ndarray) -> np.ndarray:
    """Rows of booleans to rows that sum to 1 (or to 0 where nothing is annotated)."""
    return (matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)).astype(np.float32)
