"""`bilinear`: pairwise interactions of local features (Lin et al., 2015), made a multi-instance system.

The outer products are pooled over the cells of all photos of a listing; see `BilinearPooling` for what is simplified.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.bilinear import BilinearPooling
from vitrine.tasks.authenticity.net import ListingNet, ListingOutput, energy


class BilinearNet(ListingNet):
    """Trunk, bilinear pooling over a listing, linear classifier."""

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__()
        self.trunk, (channels, _, _) = build_backbone(config["backbone"], config["image_size"], weights)
        self.pooling = BilinearPooling(channels)
        self.classifier = nn.Linear(self.pooling.dim, 2)

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`."""
        cells = self.trunk(photos)
        pooled = self.pooling(cells, lengths)  # (b, c * c)
        return ListingOutput(self.classifier(pooled), pooled, maps=energy(cells))
