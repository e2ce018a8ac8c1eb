"""`mi-cnn`: a multi-instance net whose labels are compared by optimal transport (Yang et al., Complex Object
Classification: A Multi-Modal Multi-Instance Multi-Label Deep Network with Optimal Transport, 2018).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.bag_pooling import max_pooling
from vitrine.blocks.optimal_transport import transport_cost
from vitrine.methods.authenticity.net import LABELS, Answer, ListingNet, energy


class MiCnnNet(ListingNet):
    """Photo to concepts, their maximum over the listing, a linear classifier.

    The loss adds to the regression what it costs to transport the predicted distribution of labels to the true one,
    where a label is as far from another as their vectors in the classifier are: the label correlation. Simplified:
    one modality instead of several, so no agreement between them is asked for; and the distances between labels follow
    the classifier, instead of being solved for in turns with it.
    """

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__()
        self.trunk, (channels, _, _) = build_backbone(config["backbone"], config["image_size"], weights)
        self.concepts = nn.Sequential(nn.Linear(channels, config["hidden"]), nn.ReLU())
        self.classifier = nn.Linear(config["hidden"], len(LABELS))

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> Answer:
        """See `ListingNet`."""
        cells = self.trunk(photos)
        pooled = max_pooling(self.concepts(cells.mean(dim=(2, 3))), lengths)  # (b, hidden)
        return Answer(self.classifier(pooled), pooled, maps=energy(cells))

    def loss(self, answer: Answer, lengths: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See `ListingNet`; the transport cost comes on top."""
        labels = F.normalize(self.classifier.weight.detach().float(), dim=1)
        ground = (labels.unsqueeze(0) - labels.unsqueeze(1)).square().sum(dim=2)  # (2, 2), in [0, 4]
        costs = transport_cost(answer.logits.float().softmax(dim=1), torch.stack([target, 1 - target], dim=1), ground)
        transport = (weight * costs).sum() / weight.sum().clamp(min=1e-12)
        return super().loss(answer, lengths, target, weight) + transport
