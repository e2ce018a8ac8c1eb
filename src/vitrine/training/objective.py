"""What a method teaches a net: the contract between a method and the training engine."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Objective(Generic[Batch]):
    """One training, step by step.

    Attributes:
        steps: Steps of an epoch.
        batches: (epoch, first step) -> the batches from there on, on the CPU. A function of its arguments alone,
            so that a resumed training sees what an unbroken one would.
        loss: (epoch, step, batch, device) -> the loss of a step; augments too.
        score: Validation score, higher is better; None where there is no validation photo.
        figures: What else to note of an epoch, by name; asked after `score`.
        tolerance: Training ends once the mean loss moved less than this in three epochs running.
        patience: Training ends after this many epochs whose score is no better than the best; 0: never.
    """

    steps: int
    batches: Callable[[int, int], Iterable[Batch]]
    loss: Callable[[int, int, Batch, torch.device], Tensor]
    score: Callable[[], float | None]
    figures: Callable[[], Mapping[str, float]] = dict
    tolerance: float = 0.0
    patience: int = 0
