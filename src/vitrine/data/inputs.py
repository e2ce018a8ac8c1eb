"""What a net is shown of a catalog's photos: pixels (`PhotoStore`), or maps of frozen layers (`FeatureStore`)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Inputs(Protocol):
    """Photos in a fixed order, in batches that become a net's inputs on its device.

    Attributes:
        size: Edge of the photos, pixels.
        contents: What names each photo's content, where known.
    """

    size: int
    contents: Sequence[str]

    def __len__(self) -> int: ...

    def batches(self, index_batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """(rows, batch) in the given order; a batch has a row a photo and may be cut."""
        ...

    def normalised(self, batch: Tensor, device: torch.device) -> Tensor:
        """The photos as they are: (n, channels, height, width)."""
        ...

    def augmented(self, batch: Tensor, device: torch.device, seed: tuple[int, ...]) -> Tensor:
        """The same under a random view each, which depends on `seed` alone."""
        ...


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """A batch on a device; to a GPU from pinned memory, since only from there can a copy overlap what runs."""
    return batch.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else batch.to(device)
