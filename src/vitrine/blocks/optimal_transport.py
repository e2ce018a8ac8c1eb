"""Optimal transport between distributions of labels, entropically regularised (Cuturi, Sinkhorn Distances, 2013)."""

import torch
from torch import Tensor

SMALLEST = 1e-6  # a label of probability 0 has no logarithm
ROUNDS = 30


def transport_cost(predicted: Tensor, true: Tensor, ground: Tensor, regularisation: float = 0.05) -> Tensor:
    """sum_ij P_ij M_ij for the plan P with marginals `predicted` and `true` that minimises it less r times its entropy.

    Sinkhorn's rounds run on logarithms, which do not underflow. The gradient passes through all of them.

    Args:
        predicted: (n, labels), rows sum to 1.
        true: (n, labels), rows sum to 1.
        ground: M, what it costs to move from label i to label j, (labels, labels).
        regularisation: r, relative to the dearest move.

    Returns:
        (n,), float32.
    """
    with torch.autocast(predicted.device.type, enabled=False):
        ground = ground.float()
        kernel = -ground / (regularisation * ground.amax().clamp(min=SMALLEST))  # log K, (labels, labels)
        rows, columns = (part.float().clamp(min=SMALLEST).log() for part in (predicted, true))
        v = torch.zeros_like(columns)
        for _ in range(ROUNDS):
            u = rows - torch.logsumexp(kernel + v.unsqueeze(1), dim=2)
            v = columns - torch.logsumexp(kernel + u.unsqueeze(2), dim=1)
        plan = (u.unsqueeze(2) + kernel + v.unsqueeze(1)).exp()  # (n, labels, labels)
        return (plan * ground).sum(dim=(1, 2))
