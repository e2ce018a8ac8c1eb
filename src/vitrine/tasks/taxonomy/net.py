"""The nets of the taxonomy paper: flat, salient-sensitive, multitask (Chen et al., Structure-Aware Deep Learning for
Product Image Classification, TOMM 2019, Sections 3.2 and 3.4, Fig. 4), and one net per level under MCR (Fig. 3).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.multitask import AttributeBranch, CategoryBranch
from vitrine.blocks.spatial_attention import SpatialAttention, stages
from vitrine.catalog.tree import CategoryTree
from vitrine.errors import InputError
from vitrine.tasks.taxonomy.mcr import Structure

LEAF = "leaf"  # the task of the deepest level
HEAT = "heat"  # beside the scores: where a salient-sensitive net looks


class TaxonomyNet(nn.Module):
    """Public module (trunk, salient-sensitive module, first fully connected layer) and a private branch per task.

    Args:
        backbone: See `build_backbone`.
        image_size: Edge of the photos, pixels.
        leaves: Number of leaf categories.
        levels: Number of categories of each coarser level with a branch of its own, by its task's name.
        states: Number of labels of each attribute type; empty: no attributes' branch.
        salient: Insert the salient-sensitive module.
        stage: Where: 0 = behind the trunk, 1 = behind its last stage but one, whose map is larger, and so on.
        hidden: Nodes of the public fully connected layer.
        weights: See `build_backbone`.

    Raises:
        InputError: if the trunk has no such stage.
    """

    def __init__(
        self,
        backbone: str,
        image_size: int,
        leaves: int,
        levels: Mapping[str, int],
        states: Mapping[str, int],
        salient: bool,
        hidden: int,
        weights: str = "none",
        stage: int = 0,
    ) -> None:
        super().__init__()
        self.trunk, shape = build_backbone(backbone, image_size, weights)
        self.attention: SpatialAttention | None = None
        self.salient_layer: int | None = None  # the trunk's layer behind which the module sits, if inside the trunk
        self._heat: Tensor | None = None
        if salient:
            if stage:
                places = stages(self.trunk, image_size)
                if stage >= len(places):
                    has = max(len(places) - 1, 0)
                    raise InputError(f"salient_stage={stage}: {backbone} has {has} stages before its last")
                place, inside = places[stage]
                self.salient_layer = place
                cast(nn.Sequential, self.trunk)[place].register_forward_hook(self._weigh)
            self.attention = SpatialAttention(*(inside if stage else shape))
        self.salient_stage = stage
        self.public = nn.Sequential(nn.Linear(shape[0], hidden), nn.ReLU(inplace=True))
        self.leaf = CategoryBranch(hidden, leaves)
        self.levels = nn.ModuleDict({name: CategoryBranch(hidden, nodes) for name, nodes in levels.items()})
        self.attributes = AttributeBranch(hidden, states) if states else None

    def forward(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised photos (n, 3, h, w) to features (n, hidden) and unnormalised scores (n, m) per task.

        A salient-sensitive net adds its heat maps (n, rows, columns) as `HEAT`.
        """
        features = self.trunk(photos)
        if self.attention is not None and not self.salient_stage:
            features = self._weigh(self.trunk, (), features)
        heat, self._heat = self._heat, None
        public = self.public(features.mean(dim=(2, 3)))
        scores = {LEAF: self.leaf(public)}
        scores.update({name: branch(public) for name, branch in self.levels.items()})
        if self.attributes is not None:
            scores.update({f"attr:{kind}": logits for kind, logits in self.attributes(public).items()})
        if heat is not None:
            scores[HEAT] = heat
        return public, scores

    def _weigh(self, _: nn.Module, __: Any, features: Tensor) -> Tensor:
        assert self.attention is not None
        weighed, self._heat = self.attention(features)
        return weighed


class RefinedNets(nn.Module):
    """One net per level, coarse to fine, whose scores MCR refines (Fig. 3, Eq. 2).

    Args:
        nets: The nets, the deepest level's last.
        names: The task of each one, `LEAF` last.
        structure: The categories of these levels.
    """

    def __init__(self, nets: Sequence[TaxonomyNet], names: Sequence[str], structure: Structure) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.names = tuple(names)
        self.sizes = structure.sizes
        for level, size in enumerate(structure.sizes):
            weights = torch.zeros(size, structure.total)
            columns = structure.columns(level)
            weights[:, columns] = torch.eye(size)
            self.register_buffer(f"weights{level}", weights)

    def plain(self, photos: Tensor) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """The deepest net's features, each net's own scores, and the deepest net's heat map if it has one."""
        level_scores, features, heat = [], photos, None
        for net in self.nets:
            features, scores = net(photos)
            level_scores.append(scores[LEAF])
            heat = scores.get(HEAT)
        return features, level_scores, heat

    def forward(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised photos (n, 3, h, w) to the deepest net's features and the refined scores w_c . f_c per task."""
        features, level_scores, heat = self.plain(photos)
        centred = torch.cat(
            [scores.float() - scores.float().mean(dim=1, keepdim=True) for scores in level_scores], dim=1
        )
        scores = {name: centred @ self.get_buffer(f"weights{i}").T for i, name in enumerate(self.names)}
        if heat is not None:
            scores[HEAT] = heat
        return features, scores


def structure_of(leaves: Sequence[str], levels: Sequence[int]) -> Structure:
    """The categories that MCR sees: those of some coarser levels of a tree, and the leaves.

    Args:
        leaves: Of the tree.
        levels: The coarser levels that have a net, counted from 1.
    """
    tree = CategoryTree(leaves)
    nodes = [tree.level(level) for level in levels] + [tree.leaves]
    parents = [np.empty(0, np.int64)]
    for (upper, above), below in zip(zip(levels, nodes, strict=False), nodes[1:], strict=True):
        place = {node: i for i, node in enumerate(above)}
        parents.append(np.array([place[tree.node(node, upper)] for node in below], np.int64))
    assert all(len(above) < len(below) for above, below in pairwise(nodes))
    return Structure(tuple(map(len, nodes)), tuple(parents))
