"""Systems that judge listings, for other runtimes: listings side by side, padded, with a mask of their photos."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitrine.graphs import FEATURES, PHOTOS, Graph, SessionNet, example_photos
from vitrine.tasks.authenticity.net import ListingNet, ListingOutput
from vitrine.tasks.authenticity.single_photos import ViewNets

MASK, VIEWS, LOGITS, ATTENTION, PHOTO_LOGITS = "mask", "views", "logits", "attention", "photo_logits"


class PaddedListings(nn.Module):
    """A system over padded listings; it shares the system's layers.

    Args:
        net: The system.
        outputs: Names of `Answer`'s parts, in order.
    """

    def __init__(self, net: ListingNet, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.net = net
        self.outputs = outputs

    def forward(self, photos: Tensor, mask: Tensor, views: Tensor | None = None) -> tuple[Tensor, ...]:
        """Normalised photos (b, k, 3, h, w), which are there (b, k), bool, and where the system has a net for each view
        the views they show (b, k), int64, -1 unknown; to `outputs`: logits (b, 2), features (b, d), attention (b, k),
        0 where there is no photo, and what each photo alone says (b, k, 2).
        """
        answer = self.net(photos.flatten(0, 1), mask, None if views is None else views.flatten())
        found = []
        for name in self.outputs:
            value = getattr(answer, name)
            found.append(value.unflatten(0, mask.shape) if name in (ATTENTION, PHOTO_LOGITS) else value)
        return tuple(found)


def listing_graph(net: ListingNet, config: Mapping[str, Any]) -> Graph:
    """The graph of a system: `photos`, `mask` and, of `ms-cnn` and `ms-bilinear`, `views`; see `PaddedListings`."""
    photos = example_photos(6, config).unflatten(0, (2, 3))
    mask = torch.tensor([[True, True, True], [True, True, False]])
    inputs = {PHOTOS: photos, MASK: mask}
    if isinstance(net, ViewNets):
        inputs[VIEWS] = torch.tensor([[0, -1, net.views - 1], [-1, 0, -1]])
    with torch.inference_mode():
        answer = net(photos[0], torch.tensor([3]))
    further = tuple(name for name in (ATTENTION, PHOTO_LOGITS) if getattr(answer, name) is not None)
    axes = {name: {0: "listings", 1: "photos"} for name in inputs}
    outputs = (LOGITS, FEATURES, *further)

    def alone(own: Tensor) -> Mapping[str, Tensor]:
        given = {PHOTOS: own.unsqueeze(1), MASK: torch.ones(len(own), 1, dtype=torch.bool)}
        return given | ({VIEWS: torch.full((len(own), 1), -1)} if VIEWS in inputs else {})

    return Graph(PaddedListings(net, outputs), inputs, axes, outputs, alone)


class ListingSession(SessionNet):
    """For what `listing_graph` made, asked listing by listing, so that no padding goes through the trunk."""

    def __init__(self, session: Any) -> None:
        super().__init__(session)
        self.by_view = any(value.name == VIEWS for value in session.get_inputs())

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`; it does not say where inside of the photos it looked."""
        if views is None:
            views = torch.full((len(photos),), -1)
        outputs = []
        for part, shown in zip(photos.split(lengths.tolist()), views.split(lengths.tolist()), strict=True):
            asked = {PHOTOS: part.contiguous().unsqueeze(0).numpy(), MASK: np.ones((1, len(part)), bool)}
            if self.by_view:
                asked[VIEWS] = shown.unsqueeze(0).numpy()
            outputs.append(self.ask(**asked))
        logits, features = (torch.cat([output[name] for output in outputs]) for name in (LOGITS, FEATURES))
        attention, photo_logits = (
            torch.cat([output[name][0] for output in outputs]) if name in self.names else None
            for name in (ATTENTION, PHOTO_LOGITS)
        )
        return ListingOutput(logits, features, attention, photo_logits)
