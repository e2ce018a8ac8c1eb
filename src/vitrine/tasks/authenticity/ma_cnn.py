"""`ma-cnn`: parts found by channel grouping and classified each (Zheng et al., 2017), made a multi-instance system.

Simplified: parts are looked at in the trunk's feature map instead of being cut out of the photo and sent through nets
of their own, and grouping and classification are learnt together instead of in turns.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.bag_pooling import max_pooling
from vitrine.blocks.channel_grouping import ChannelGrouping, channel_grouping_loss, part_features
from vitrine.tasks.authenticity.net import LABELS, ListingNet, ListingOutput

PARTS = 4


class MaCnnNet(ListingNet):
    """Photo to parts, each part's maximum over the listing, a classifier per part and one over all parts."""

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__()
        self.trunk, (channels, _, _) = build_backbone(config["backbone"], config["image_size"], weights)
        self.grouping = ChannelGrouping(channels, PARTS)
        self.part_classifiers = nn.ModuleList([nn.Linear(channels, len(LABELS)) for _ in range(PARTS)])
        self.classifier = nn.Linear(PARTS * channels, len(LABELS))

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`."""
        cells = self.trunk(photos)
        attention = self.grouping(cells)  # (m, parts, h, w)
        parts = max_pooling(part_features(cells, attention), lengths)  # (b, parts, c)
        branches = tuple(classify(parts[:, i]) for i, classify in enumerate(self.part_classifiers))
        return ListingOutput(
            self.classifier(parts.flatten(1)),
            parts.flatten(1),
            maps=attention.detach().amax(dim=1),
            branches=branches,
            penalty=channel_grouping_loss(attention),
        )
