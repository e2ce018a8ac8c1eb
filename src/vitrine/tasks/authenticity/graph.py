"""SSA for other runtimes: listings side by side, padded, with a mask of the photos that there are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitrine.errors import InputError
from vitrine.graphs import FEATURES, PHOTOS, Graph, SessionNet, example_photos
from vitrine.tasks.authenticity.net import ListingOutput
from vitrine.tasks.authenticity.ssa import SsaNet

MASK, LOGITS, ATTENTION = "mask", "logits", "attention"


class MaskedSsa(nn.Module):
    """`SsaNet` in evaluation mode, over padded listings; it shares the net's layers."""

    def __init__(self, net: SsaNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, photos: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Normalised photos (b, k, 3, h, w) and which are there (b, k), bool, to logits (b, 2), features (b, d) and,
        where the net attends, the weights of the photos (b, k), 0 where there is none.
        """
        each = self.net.trunk(photos.flatten(0, 1)).mean(dim=(2, 3)).unflatten(0, mask.shape)  # (b, k, d)
        there = mask.unsqueeze(2)
        if self.net.attention is not None:
            scores = self.net.attention.score(each)[:, :, 0].masked_fill(~mask, -torch.inf)
            weights = scores.softmax(dim=1)
            pooled = (weights.unsqueeze(2) * each).sum(dim=1)
            return self.net.classifier(pooled), pooled, weights
        if self.net.pooling == "max":
            pooled = each.masked_fill(~there, -torch.inf).amax(dim=1)
        else:
            pooled = (each * there).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return self.net.classifier(pooled), pooled


def listing_graph(net: nn.Module, config: Mapping[str, Any]) -> Graph:
    """The graph of a system: `photos` (b, k, 3, size, size) and `mask` (b, k) to `logits`, `features`, `attention`.

    Raises:
        InputError: for a system that is no SSA.
    """
    if not isinstance(net, SsaNet):
        raise InputError(f"{config['variant']} cannot be exported; ssa, ssa-max and ssa-mean can")
    photos = example_photos(6, config).unflatten(0, (2, 3))
    mask = torch.tensor([[True, True, True], [True, True, False]])
    axes = {PHOTOS: {0: "listings", 1: "photos"}, MASK: {0: "listings", 1: "photos"}}
    outputs = (LOGITS, FEATURES, ATTENTION) if net.attention is not None else (LOGITS, FEATURES)
    return Graph(MaskedSsa(net), {PHOTOS: photos, MASK: mask}, axes, outputs)


class ListingSession(SessionNet):
    """For what `listing_graph` made, asked listing by listing, so that no padding goes through the trunk."""

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`; it does not say where inside of the photos it looked."""
        outputs = [
            self.ask(photos=part.contiguous().unsqueeze(0).numpy(), mask=np.ones((1, len(part)), bool))
            for part in photos.split(lengths.tolist())
        ]
        attention = torch.cat([output[ATTENTION][0] for output in outputs]) if ATTENTION in self.names else None
        logits, features = (torch.cat([output[name] for output in outputs]) for name in (LOGITS, FEATURES))
        return ListingOutput(logits, features, attention)
