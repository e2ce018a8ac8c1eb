"""The newest rows of several tensors, kept in buffers of a module, so that a checkpoint holds them."""

import torch
from torch import Tensor


def filled(seen: Tensor, size: int) -> int:
    """How many rows of a ring buffer have been written."""
    return min(int(seen), size)


@torch.no_grad()
def remember(seen: Tensor, *written: tuple[Tensor, Tensor]) -> None:
    """Writes new rows over the oldest ones.

    Args:
        seen: How many rows have been written so far, () int64; it is counted up in place.
        written: Buffers, (size, ...), each with its new rows, (n, ...); more than `size` rows leave the last ones.
    """
    size = len(written[0][0])
    if not size:
        return
    count = min(len(written[0][1]), size)
    places = (torch.arange(count, device=seen.device) + seen) % size
    for buffer, rows in written:
        buffer[places] = rows[-count:] if count else rows
    seen += count
