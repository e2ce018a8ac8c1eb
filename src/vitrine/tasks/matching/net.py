"""The net of matching: one trunk for both domains (a siamese network), and F. T. Similarity's two layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.pair_similarity import PairSimilarity


class MatchingNet(nn.Module):
    """A trunk and average pooling; its features are compared by cosine, or by learnt similarities where it has any.

    Args:
        backbone: See `build_backbone`.
        image_size: Pixels.
        categories: First-level categories with a similarity of their own; "" is the one for all.
        hidden: Nodes of the similarities; 0: none.
        weights: See `build_backbone`.
    """

    def __init__(
        self, backbone: str, image_size: int, categories: Sequence[str] = (), hidden: int = 0, weights: str = "none"
    ) -> None:
        super().__init__()
        self.trunk, (self.dim, _, _) = build_backbone(backbone, image_size, weights)
        self.categories = tuple(categories)
        self.similarities = nn.ModuleList(PairSimilarity(self.dim, hidden) for _ in categories) if hidden else None

    def forward(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised photos (n, 3, h, w) to features (n, dim), not normalised; there are no scores of labels."""
        return self.trunk(photos).mean(dim=(2, 3)), {}

    def similarity(self, category: str) -> PairSimilarity | None:
        """What compares features below a node of the category tree; None: the cosine."""
        if self.similarities is None:
            return None
        first = category.partition("/")[0]
        place = self.categories.index(first) if first in self.categories else 0
        similarity = self.similarities[place]
        assert isinstance(similarity, PairSimilarity)
        return similarity

    def scores(self, users: Tensor, shops: Tensor, category: str = "") -> Tensor:
        """How alike user photos (n, dim) and shop photos (m, dim) are, searched below a node: (n, m)."""
        users, shops = F.normalize(users.float(), dim=1), F.normalize(shops.float(), dim=1)
        with torch.no_grad():
            learnt = self.similarity(category)
            if learnt is None:
                return users @ shops.T
            device = next(learnt.parameters()).device
            return learnt.all_pairs(scaled(users.to(device)), scaled(shops.to(device)))


def scaled(unit: Tensor) -> Tensor:
    """Unit vectors with components of about 1, as layers with fresh weights expect: (n, dim) to the same."""
    return unit * unit.shape[1] ** 0.5


def build(config: Mapping[str, Any], weights: str = "none") -> MatchingNet:
    """The net a config describes, with fresh (or published) weights."""
    hidden = config["settings"]["hidden"] if config["variant"] == "ft-similarity" else 0
    return MatchingNet(config["backbone"], config["image_size"], config["categories"], hidden, weights)
