"""What MaskCon (Feng and Patras, CVPR 2023) needs beside the net it trains: see `blocks/masked_contrastive.py`."""

import copy

import torch
from torch import Tensor, nn

from vitrine.blocks.masked_contrastive import MaskedContrastive
from vitrine.tasks.representation.settings import MaskConSettings

DIM = 128  # of what is compared; retrieval takes the features before it


class MaskCon(nn.Module):
    """A second trunk that follows the trained one slowly and sees another view of each photo, and the loss.

    Args:
        trunk: The trained one, photos to maps of `dim` channels.
        dim: Of the features.
        settings: Queue, momentum, temperatures and the share of soft labels.
    """

    def __init__(self, trunk: nn.Module, dim: int, settings: MaskConSettings) -> None:
        super().__init__()
        self.momentum = settings.momentum
        self.projection = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, DIM))
        self.trunk = copy.deepcopy(trunk).requires_grad_(False)
        self.key_projection = copy.deepcopy(self.projection).requires_grad_(False)
        self.loss = MaskedContrastive(
            DIM, settings.queue, settings.temperature, settings.soft_temperature, settings.soft_share
        )

    def forward(self, trunk: nn.Module, features: Tensor, views: Tensor, groups: Tensor, photos: Tensor) -> Tensor:
        """The loss of a step; the second trunk first takes a step after the trained one.

        Args:
            trunk: The trained one.
            features: Of one view of each photo, pooled, (n, dim).
            views: Another view of each photo, normalised, (n, 3, h, w).
            groups: Super-class of each photo, -1 where it is not known, (n,).
            photos: Which photo each is, (n,).
        """
        with torch.no_grad():
            followed = (*trunk.parameters(), *self.projection.parameters())
            followers = (*self.trunk.parameters(), *self.key_projection.parameters())
            for follower, leader in zip(followers, followed, strict=True):
                follower.lerp_(leader, 1 - self.momentum)
            keys = self.key_projection(self.trunk(views).mean(dim=(2, 3)))
        loss: Tensor = self.loss(self.projection(features), keys, groups, photos)
        return loss
