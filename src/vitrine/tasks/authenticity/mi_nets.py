"""The multi-instance nets of Wang et al. (Revisiting Multiple Instance Neural Networks, 2018): `mi-net-instance` (their
mi-Net), `mi-net` (MI-Net), `mi-net-ds` (deep supervision), `mi-net-rc` (residual connections).

Theirs stand on features computed beforehand; these stand on the trunk and teach it too. All pool by maximum, their
default. Left out: dropout between the layers, as the trunk is regularised by augmentation.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.bag_pooling import max_pooling
from vitrine.tasks.authenticity.net import LABELS, ListingNet, ListingOutput, energy, regression_loss


class MiNet(ListingNet):
    """A trunk and three fully connected layers over single photos, x1, x2, x3; what follows differs."""

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__()
        self.trunk, (channels, _, _) = build_backbone(config["backbone"], config["image_size"], weights)
        self.widths = self.layer_widths(config["hidden"])
        widths = (channels, *self.widths)
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths)])

    def layer_widths(self, hidden: int) -> tuple[int, int, int]:
        """As in the paper (256, 128, 64) for `hidden` = 128."""
        return 2 * hidden, hidden, max(2, hidden // 2)

    def instances(self, cells: Tensor) -> list[Tensor]:
        """Feature maps (m, c, h, w) to x1, x2, x3, (m, width) each."""
        x, levels = cells.mean(dim=(2, 3)), []
        for layer in self.layers:
            x = layer(x)
            levels.append(x)
        return levels


class InstanceSpace(MiNet):
    """`mi-net-instance`: every photo is scored; one photo that looks counterfeit makes the listing so (maximum)."""

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__(config, weights)
        self.score = nn.Linear(self.widths[-1], 1)  # of counterfeit

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`."""
        cells = self.trunk(photos)
        last = self.instances(cells)[-1]
        scores = self.score(last)  # (m, 1)
        photo_logits = torch.cat([torch.zeros_like(scores), scores], dim=1)
        return ListingOutput(
            max_pooling(photo_logits, lengths),
            max_pooling(last, lengths),
            photo_logits=photo_logits,
            maps=energy(cells),
        )


class EmbeddedSpace(MiNet):
    """`mi-net`: the photos' features are pooled, and the listing is classified."""

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__(config, weights)
        self.classifier = nn.Linear(self.widths[-1], len(LABELS))

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`."""
        cells = self.trunk(photos)
        pooled = max_pooling(self.instances(cells)[-1], lengths)
        return ListingOutput(self.classifier(pooled), pooled, maps=energy(cells))


class DeepSupervision(MiNet):
    """`mi-net-ds`: each of the three layers is pooled and classified; the loss is over all, their mean predicts."""

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__(config, weights)
        self.classifiers = nn.ModuleList([nn.Linear(width, len(LABELS)) for width in self.widths])

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`."""
        cells = self.trunk(photos)
        pooled = [max_pooling(x, lengths) for x in self.instances(cells)]
        branches = tuple(classify(x) for classify, x in zip(self.classifiers, pooled, strict=True))
        mean = torch.stack(branches).float().softmax(dim=2).mean(dim=0)  # (b, 2)
        logits = mean.clamp(min=torch.finfo(torch.float32).tiny).log()
        return ListingOutput(logits, pooled[-1], maps=energy(cells), branches=branches)

    def loss(self, output: ListingOutput, lengths: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The mean of the branches' regressions; their mean is not part of the loss."""
        terms = [regression_loss(logits, target, weight) for logits in output.branches]
        return torch.stack(terms).mean()


class ResidualConnections(MiNet):
    """`mi-net-rc`: X1 = max(x1), X2 = X1 + max(x2), X3 = X2 + max(x3), over layers of one width; X3 is classified."""

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__(config, weights)
        self.classifier = nn.Linear(self.widths[-1], len(LABELS))

    def layer_widths(self, hidden: int) -> tuple[int, int, int]:
        """One width, so that they can be added."""
        return hidden, hidden, hidden

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`."""
        cells = self.trunk(photos)
        pooled = torch.stack([max_pooling(x, lengths) for x in self.instances(cells)]).sum(dim=0)  # (b, hidden)
        return ListingOutput(self.classifier(pooled), pooled, maps=energy(cells))
