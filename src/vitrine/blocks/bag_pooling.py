"""From the photos of several listings, one after the other, to one vector a listing.

Photos lie flat, (m, d), so that the trunk sees no padding; `lengths` (b,) says how many belong to each listing. It
stays on the CPU, as it shapes tensors.
"""

import torch
from torch import Tensor


def padded(photos: Tensor, lengths: Tensor, fill: float = 0.0) -> Tensor:
    """Flat (m, ...) to one row a listing, (b, longest, ...), the rest filled with `fill`.

    Raises:
        ValueError: for a listing without photos, or lengths that do not add up to m.
    """
    places, shape = _places(lengths, len(photos))
    rows = photos.new_full((shape[0] * shape[1], *photos.shape[1:]), fill)
    return rows.index_copy(0, places.to(photos.device), photos).unflatten(0, shape)


def unpadded(rows: Tensor, lengths: Tensor) -> Tensor:
    """What `padded` was made of: (b, longest, ...) to (m, ...)."""
    places, _ = _places(lengths, int(lengths.sum()))
    return rows.flatten(0, 1)[places.to(rows.device)]


def mean_pooling(photos: Tensor, lengths: Tensor) -> Tensor:
    """The mean over each listing's photos, in float32: (m, ...) to (b, ...)."""
    counts = lengths.to(photos.device).view(-1, *[1] * (photos.ndim - 1))
    return padded(photos.float(), lengths).sum(dim=1) / counts


def max_pooling(photos: Tensor, lengths: Tensor) -> Tensor:
    """The largest over each listing's photos, component by component: (m, ...) to (b, ...)."""
    return padded(photos, lengths, -torch.inf).amax(dim=1)


def _places(lengths: Tensor, photos: int) -> tuple[Tensor, tuple[int, int]]:
    """Where each photo stands in the padded rows, numbered row by row, and how many rows of what length there are."""
    if not len(lengths) or int(lengths.min()) < 1:
        raise ValueError("a listing without photos cannot be pooled")
    if int(lengths.sum()) != photos:
        raise ValueError(f"{int(lengths.sum())} photos were announced, {photos} came")
    longest = int(lengths.max())
    return torch.arange(longest).lt(lengths.unsqueeze(1)).flatten().nonzero()[:, 0], (len(lengths), longest)
