"""`mil-att`: attention-based deep multiple instance learning (Ilse et al., 2018), its ungated form."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vitrine.blocks.attention_pooling import AttentionPooling
from vitrine.blocks.backbones import build_backbone
from vitrine.tasks.authenticity.net import ListingNet, ListingOutput, energy


class MilAttentionNet(ListingNet):
    """Photo to an embedding (linear, ReLU), attention over those, one score: the Bernoulli parameter of the listing.

    Against ssa it has the embedding layer and one output, and learns decided listings as a regression: undecided ones
    have the target 0.5, not a prototype.
    """

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__()
        self.trunk, (channels, _, _) = build_backbone(config["backbone"], config["image_size"], weights)
        self.embedding = nn.Sequential(nn.Linear(channels, config["hidden"]), nn.ReLU())
        self.attention = AttentionPooling(config["hidden"], config["attention"])
        self.score = nn.Linear(config["hidden"], 1)  # of authentic

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`."""
        cells = self.trunk(photos)
        pooled, attention = self.attention(self.embedding(cells.mean(dim=(2, 3))), lengths)
        score = self.score(pooled)  # (b, 1)
        return ListingOutput(torch.cat([score, torch.zeros_like(score)], dim=1), pooled, attention, maps=energy(cells))
