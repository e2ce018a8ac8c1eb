"""Photos that are in memory already: decoded elsewhere, or never a file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vitrine.data.photo_store import PhotoStore


@dataclass(frozen=True)
class Query:
    """Photos that are predicted together: those of a request, or of one listing.

    Attributes:
        pixels: As `Task.shown` makes them, (n, size, size, 3) uint8.
        names: What records call them, (n,).
        top: Labels named per question.
    """

    pixels: np.ndarray
    names: Sequence[str]
    top: int = 5

    def __len__(self) -> int:
        return len(self.names)


class Pixels:
    """Decoded photos as a net's inputs (see `Inputs`): (n, size, size, 3) uint8."""

    contents: Sequence[str] = ()

    def __init__(self, pixels: np.ndarray) -> None:
        self.size = pixels.shape[1]
        self._photos = torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self._photos)

    def batches(self, index_batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """(rows, photos) in the given order."""
        for rows in index_batches:
            yield rows, self._photos[torch.from_numpy(rows)]

    @staticmethod
    def normalised(batch: Tensor, device: torch.device) -> Tensor:
        """See `PhotoStore.normalised`."""
        return PhotoStore.normalised(batch, device)

    @staticmethod
    def augmented(batch: Tensor, device: torch.device, seed: tuple[int, ...]) -> Tensor:
        """See `PhotoStore.augmented`."""
        return PhotoStore.augmented(batch, device, seed)
