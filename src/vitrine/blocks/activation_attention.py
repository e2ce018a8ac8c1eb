"""Where a net's activations are large (Zagoruyko & Komodakis, Paying More Attention to Attention, ICLR 2017, Eq. 1)."""

import torch
from torch import Tensor


def activation_attention(features: Tensor) -> Tensor:
    """Mean over channels of the squared activations, scaled to unit length: Q = F / ‖F‖, F = 1/C sum_c |A_c|².

    Args:
        features: Feature maps A, (n, c, h, w).

    Returns:
        (n, h, w) float32; all zeros where nothing is active.
    """
    with torch.autocast(features.device.type, enabled=False):
        mean = features.float().square().mean(dim=1)  # (n, h, w)
        return mean / mean.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]
