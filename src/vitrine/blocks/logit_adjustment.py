"""Logit adjustment for long tails (Menon et al., Long-Tail Learning via Logit Adjustment, ICLR 2021, Eq. 10)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def logit_offsets(counts: Sequence[float], tau: float = 1.0) -> Tensor:
    """What is added to the scores inside the training loss: tau log pi_y, (classes,) float32.

    pi is each class's share of the training photos. A net trained on score + tau log pi predicts by its plain scores
    as if all classes were equally common; tau = 1 is the balanced softmax (Ren et al., NeurIPS 2020).

    Args:
        counts: Photos of each class; fractions where a photo belongs to several. A class without any counts as one.
        tau: 0 = as the classes come.

    Raises:
        ValueError: for no class, or a negative count.
    """
    values = torch.as_tensor(counts, dtype=torch.float64)
    if values.ndim != 1 or not len(values) or (values < 0).any():
        raise ValueError("logit_offsets: counts must be a row of numbers >= 0")
    values = torch.where(values > 0, values, 1.0)
    return (tau * (values / values.sum()).log()).float()
