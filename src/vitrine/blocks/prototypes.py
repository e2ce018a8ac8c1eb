"""The semi-supervised prototypical loss of SSA (Yang et al., A Semi-Supervised Attention Model for Identifying
Authentic Sneakers, 2020, Eq. 2-3).

Eq. 3 as printed sums over both classes, has no sign that a loss would have, multiplies features (not distances) with
class indicators, and normalises over listings instead of classes. Read here as what the text around it describes, the
semi-supervised prototypical network: prototypes are the means of the labelled listings, then refined with the
unlabelled ones, each counting for its likelier class by how likely that is; then every listing is pulled towards the
prototype of its class, against the other one. Features are unit vectors and a temperature divides the squared
distances, because squared distances between hundreds of unbounded features saturate the softmax.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitrine.blocks.ring_buffer import filled, remember

UNLABELLED = -1
CLASSES = 2


def squared_distances(features: Tensor, prototypes: Tensor) -> Tensor:
    """||x - p||^2 of every row with every prototype: (n, d), (classes, d) to (n, classes)."""
    return (features.unsqueeze(1) - prototypes).square().sum(dim=2)


def refined_prototypes(features: Tensor, verdicts: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """The prototypes of Eq. 3, and which class each listing counts for, by how much.

        p_c    = mean of the labelled x of class c
        z^_k   = max_c softmax_c(-||x_k - p_c||^2 / temperature)   for unlabelled k, at the c where it is reached
        p^_c   = (sum_labelled x_i z_ci + sum_unlabelled x_k z^_ck) / (sum z_ci + sum z^_ck)

    Args:
        features: x, (n, d), unit vectors, float32.
        verdicts: Class of each listing or `UNLABELLED`, (n,), int64.
        temperature: > 0.

    Returns:
        p^ (2, d), the assigned class (n,) int64, and z or z^ (n,), without a gradient.

    Raises:
        ValueError: if a class has no labelled listing.
    """
    labelled = verdicts != UNLABELLED
    one_hot = F.one_hot(verdicts.clamp(min=0), CLASSES).to(features.dtype) * labelled.unsqueeze(1)  # z, (n, 2)
    if not (one_hot.sum(dim=0) > 0).all():
        raise ValueError("a class without a labelled listing has no prototype")
    with torch.no_grad():
        first = one_hot.T @ features / one_hot.sum(dim=0).unsqueeze(1)  # p, (2, d)
        weights, assigned = (-squared_distances(features, first) / temperature).softmax(dim=1).max(dim=1)
        weights = weights.where(~labelled, 1.0)
        assigned = assigned.where(~labelled, verdicts)
        shares = F.one_hot(assigned, CLASSES) * weights.unsqueeze(1)  # z and z^, (n, 2)
    return shares.T @ features / shares.sum(dim=0).unsqueeze(1), assigned, weights


class PrototypicalLoss(nn.Module):
    """Eq. 3 for one batch: the mean over its listings of  -z log softmax_c(-||x - p^_c||^2 / temperature).

    z is 1 for a labelled listing and z^ for an unlabelled one, which so counts by how surely it is assigned. One batch
    holds too few listings for prototypes, so they are made of the batch (with a gradient) and of the features that the
    last `window` listings had when they were seen. The window is kept in buffers, as part of what a checkpoint saves.

    Args:
        dim: Components of a listing's features.
        window: Earlier listings remembered.
        temperature: > 0.
    """

    features: Tensor
    verdicts: Tensor
    seen: Tensor

    def __init__(self, dim: int, window: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.register_buffer("features", torch.zeros(window, dim))
        self.register_buffer("verdicts", torch.full((window,), UNLABELLED))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor, verdicts: Tensor) -> Tensor:
        """A scalar from (b, d) and (b,); 0 until both classes have been seen with a label."""
        with torch.autocast(features.device.type, enabled=False):
            normalised = F.normalize(features.float(), dim=1)
            kept = filled(self.seen, len(self.features))
            everything = torch.cat([normalised, self.features[:kept]])
            queue_verdicts = torch.cat([verdicts, self.verdicts[:kept]])
            remember(self.seen, (self.features, normalised), (self.verdicts, verdicts))
            if not all((queue_verdicts == label).any() for label in range(CLASSES)):
                return normalised.sum() * 0
            prototypes, assigned, weights = refined_prototypes(everything, queue_verdicts, self.temperature)
            logits = -squared_distances(normalised, prototypes) / self.temperature
            losses = F.cross_entropy(logits, assigned[: len(normalised)], reduction="none")  # (b,)
            return (weights[: len(normalised)] * losses).mean()
