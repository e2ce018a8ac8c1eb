"""Cosine similarity of every row of one matrix with every row of another."""

import torch
from torch import Tensor
from torch.nn import functional as F


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """(n, D), (m, D) to (n, m), in float32 even under autocast, which would round the product to bfloat16."""
    with torch.autocast(a.device.type, enabled=False):
        return F.normalize(a.float(), dim=1) @ F.normalize(b.float(), dim=1).T
