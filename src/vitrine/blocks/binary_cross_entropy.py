"""The compared system's loss: one logistic output per label (Shin, MTSS, Section 4.2 and Table 3; "BCE")."""

import torch
from torch import Tensor
from torch.nn import functional as F


def annotated_binary_cross_entropy(scores: Tensor, carries: Tensor) -> Tensor:
    """Binary cross entropy, the mean over the labels of a photo and over the photos annotated for the type.

        -sum_n [y_n log s(z_n) + (1 - y_n) log(1 - s(z_n))] / N

    Args:
        scores: z, (n, labels).
        carries: y, (n, labels), bool. A photo that carries none is not annotated, and teaches nothing.

    Returns:
        A scalar; 0 (with a gradient of 0) if no photo is annotated.
    """
    annotated = carries.any(dim=1)
    with torch.autocast(scores.device.type, enabled=False):
        losses = F.binary_cross_entropy_with_logits(scores.float(), carries.float(), reduction="none").mean(dim=1)
    return losses.where(annotated, 0).sum() / annotated.sum().clamp(min=1)
