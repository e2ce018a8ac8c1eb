"""SSA: attention over a listing's photos, taught by decided and undecided listings (Yang et al., 2020, Section 3.2).

`ssa-max` and `ssa-mean` pool by maximum and mean instead, and learn in the same way.

Beyond the paper, the classifier of `ssa` also judges the maximum and the mean over the photos while it trains.
Attention has to find the deciding photo and the trunk what decides, each from the other's output, and from few
listings neither begins. A maximum and a mean teach the trunk without attention, and which of them does so differs from
data to data (docs/authenticity.md has the measurement). Nothing changes once it is trained.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vitrine.blocks.attention_pooling import AttentionPooling
from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.bag_pooling import max_pooling, mean_pooling, of_photos
from vitrine.tasks.authenticity.net import ListingNet, ListingOutput, evidence


class SsaNet(ListingNet):
    """Photos to pooled trunk features x, those to x_A by attention (Eq. 1), x_A to two scores f(x_A)."""

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__()
        self.trunk, (self.channels, _, _) = build_backbone(config["backbone"], config["image_size"], weights)
        self.pooling = config["variant"].removeprefix("ssa").removeprefix("-")  # "", "max" or "mean"
        self.attention = None if self.pooling else AttentionPooling(self.channels, config["attention"])
        self.classifier = nn.Linear(self.channels, 2)

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`."""
        features = self.trunk(photos)  # (m, c, h, w)
        each, attention = features.mean(dim=(2, 3)), None
        branches: tuple[Tensor, ...] = ()
        if self.attention is not None:
            pooled, attention = self.attention(each, lengths)
            if self.training:
                branches = tuple(self.classifier(pool(each, lengths)) for pool in (max_pooling, mean_pooling))
        else:
            pooled = max_pooling(each, lengths) if self.pooling == "max" else mean_pooling(each, lengths)
        logits = self.classifier(pooled)
        predicted = of_photos(logits.argmax(dim=1), lengths, len(photos))
        return ListingOutput(
            logits, pooled, attention, maps=evidence(features, self.classifier, predicted), branches=branches
        )
