"""What a net learns: the contract between a task and the training engine."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from vitrine.data.inputs import Inputs

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Objective(Generic[Batch]):
    """One training, step by step.

    Attributes:
        steps: Steps of an epoch.
        batches: (epoch, first step) -> (batch, its photos as the store gives them) from there on, on the CPU. A
            function of its arguments alone, so that a resumed training sees what an unbroken one would.
        loss: (epoch, step, batch, views, device) -> the loss of a step. `views` are the batch's photos as the net sees
            them, augmented, once per view.
        score: Validation score, higher is better; None where there is no validation photo.
        store: Whose photos; None: batches bring none.
        seed: Of the augmentation.
        views: How often each photo is augmented in a step, differently.
        figures: What else to note of an epoch, by name; asked after `score`.
        tolerance: Training ends once the mean loss moved less than this in three epochs running.
        patience: Training ends after this many epochs whose score is no better than the best; 0: never.
        scored: What the score is called.
        from_start: Whether the net answers before it has learnt anything, so that it may be better than after.
    """

    steps: int
    batches: Callable[[int, int], Iterable[tuple[Batch, Tensor | None]]]
    loss: Callable[[int, int, Batch, Sequence[Tensor], torch.device], Tensor]
    score: Callable[[], float | None]
    store: Inputs | None = None
    seed: int = 0
    views: int = 1
    figures: Callable[[], Mapping[str, float]] = dict
    tolerance: float = 0.0
    patience: int = 0
    from_start: bool = False
    scored: str = "score"

    def at(self, epoch: int, step: int, drawn: tuple[Batch, Tensor | None], device: torch.device) -> Tensor:
        """The loss of a step of `batches`, its photos moved to the device and augmented.

        Augmentation depends on (seed, epoch, step, view) alone.
        """
        batch, pixels = drawn
        views: list[Tensor] = []
        if self.store is not None and pixels is not None:
            drawn_by = (self.seed, epoch, step)
            views = [self.store.augmented(pixels, device, drawn_by)]
            views += [self.store.augmented(pixels, device, (*drawn_by, view)) for view in range(1, self.views)]
        return self.loss(epoch, step, batch, views, device)
