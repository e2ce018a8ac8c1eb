"""From the photos of several listings, one after the other, to one vector a listing.

Photos lie flat, (m, d), so that the trunk sees no padding; `lengths` (b,) says how many belong to each listing. It
stays on the CPU, as it shapes tensors. Graphs for other runtimes, whose shapes may not depend on values, give a mask
(b, k), bool, instead: each listing then has k places, m = b * k, and the mask says at which there is a photo.
"""

import torch
from torch import Tensor


def padded(photos: Tensor, lengths: Tensor, fill: float = 0.0) -> Tensor:
    """Flat (m, ...) to one row a listing, (b, longest, ...), the rest filled with `fill`.

    Raises:
        ValueError: for a listing without photos, or lengths that do not add up to m.
    """
    if lengths.dtype == torch.bool:
        there = lengths.view(*lengths.shape, *[1] * (photos.ndim - 1))
        return photos.unflatten(0, lengths.shape).masked_fill(~there, fill)
    places, shape = _places(lengths, len(photos))
    rows = photos.new_full((shape[0] * shape[1], *photos.shape[1:]), fill)
    return rows.index_copy(0, places.to(photos.device), photos).unflatten(0, shape)


def unpadded(rows: Tensor, lengths: Tensor) -> Tensor:
    """What `padded` was made of: (b, longest, ...) to (m, ...)."""
    if lengths.dtype == torch.bool:
        return rows.flatten(0, 1)
    places, _ = _places(lengths, int(lengths.sum()))
    return rows.flatten(0, 1)[places.to(rows.device)]


def mean_pooling(photos: Tensor, lengths: Tensor) -> Tensor:
    """The mean over each listing's photos, in float32: (m, ...) to (b, ...)."""
    counts = counted(lengths).to(photos.device).view(-1, *[1] * (photos.ndim - 1))
    return padded(photos.float(), lengths).sum(dim=1) / counts


def max_pooling(photos: Tensor, lengths: Tensor) -> Tensor:
    """The largest over each listing's photos, component by component: (m, ...) to (b, ...)."""
    return padded(photos, lengths, -torch.inf).amax(dim=1)


def counted(lengths: Tensor) -> Tensor:
    """How many photos each listing has, (b,)."""
    return lengths.sum(dim=1) if lengths.dtype == torch.bool else lengths


def of_photos(values: Tensor, lengths: Tensor, photos: int) -> Tensor:
    """What is said of listings, (b,), said of each of their m photos, (m,)."""
    if lengths.dtype == torch.bool:
        return values.unsqueeze(1).expand(lengths.shape).flatten()
    return values.repeat_interleave(lengths.to(values.device), output_size=photos)


def _places(lengths: Tensor, photos: int) -> tuple[Tensor, tuple[int, int]]:
    """Where each photo stands in the padded rows, numbered row by row, and how many rows of what length there are."""
    if not len(lengths) or int(lengths.min()) < 1:
        raise ValueError("a listing without photos cannot be pooled")
    if int(lengths.sum()) != photos:
        raise ValueError(f"{int(lengths.sum())} photos were announced, {photos} came")
    longest = int(lengths.max())
    return torch.arange(longest).lt(lengths.unsqueeze(1)).flatten().nonzero()[:, 0], (len(lengths), longest)
