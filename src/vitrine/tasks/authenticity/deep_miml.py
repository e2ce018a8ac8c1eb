"""`deepmiml`: a layer of sub-concepts for each label, pooled by maximum (Feng & Zhou, Deep MIML Network, 2017)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.bag_pooling import max_pooling
from vitrine.tasks.authenticity.net import LABELS, ListingNet, ListingOutput, energy

SUB_CONCEPTS = 20  # per label, as in the paper


class DeepMimlNet(ListingNet):
    """Photo to sub-concept scores, their maximum per label, the maximum over the listing's photos.

    The paper's labels are independent, with a sigmoid each; these two exclude each other and share a softmax.
    """

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__()
        self.trunk, (channels, _, _) = build_backbone(config["backbone"], config["image_size"], weights)
        self.sub_concepts = nn.Sequential(nn.Linear(channels, len(LABELS) * SUB_CONCEPTS), nn.ReLU())

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`."""
        cells = self.trunk(photos)
        matches = self.sub_concepts(cells.mean(dim=(2, 3)))  # (m, 2 * sub-concepts)
        photo_logits = matches.unflatten(1, (len(LABELS), SUB_CONCEPTS)).amax(dim=2)  # (m, 2)
        return ListingOutput(
            max_pooling(photo_logits, lengths),
            max_pooling(matches, lengths),
            photo_logits=photo_logits,
            maps=energy(cells),
        )
