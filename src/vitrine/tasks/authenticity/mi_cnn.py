"""`mi-cnn`: a multi-instance net whose labels are compared by optimal transport (Yang et al., Complex Object
Classification: A Multi-Modal Multi-Instance Multi-Label Deep Network with Optimal Transport, 2018).
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.bag_pooling import max_pooling
from vitrine.tasks.authenticity.net import LABELS, ListingNet, ListingOutput, energy


class MiCnnNet(ListingNet):
    """Photo to concepts, their maximum over the listing, a linear classifier.

    The loss adds to the regression what it costs to transport the predicted distribution of labels to the true one,
    where two labels are as far apart as their vectors in the classifier: the label correlation. Between two labels the
    optimal transport has a closed form, the distance times the share that is moved, so the Sinkhorn iterations of the
    paper fall away. Simplified: one modality instead of several, so no agreement between them is asked for; and the
    distances between labels follow the classifier, instead of being solved for in turns with it.
    """

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__()
        self.trunk, (channels, _, _) = build_backbone(config["backbone"], config["image_size"], weights)
        self.concepts = nn.Sequential(nn.Linear(channels, config["hidden"]), nn.ReLU())
        self.classifier = nn.Linear(config["hidden"], len(LABELS))

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`."""
        cells = self.trunk(photos)
        pooled = max_pooling(self.concepts(cells.mean(dim=(2, 3))), lengths)  # (b, hidden)
        return ListingOutput(self.classifier(pooled), pooled, maps=energy(cells))

    def loss(self, output: ListingOutput, lengths: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See `ListingNet`; the transport cost comes on top."""
        labels = F.normalize(self.classifier.weight.detach().float(), dim=1)
        distance = (labels[0] - labels[1]).square().sum()  # in [0, 4]
        moved = (output.logits.float().softmax(dim=1)[:, 0] - target).abs()  # (b,)
        transport = distance * (weight * moved).sum() / weight.sum().clamp(min=1e-12)
        return super().loss(output, lengths, target, weight) + transport
