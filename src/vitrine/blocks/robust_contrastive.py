"""The robust contrastive loss (Wang et al., Matching User Photos to Online Products, ICMR 2016, Section 3.2)."""

import torch
from torch import Tensor

from vitrine.blocks.contrastive import squared_pair_distances


def robust_contrastive(left: Tensor, right: Tensor, same: Tensor, margin: float) -> Tensor:
    """Loss of each pair.

    L(Y=1) = min(m², ‖Xp - Xq‖²),  L(Y=0) = max(0, m² - ‖Xp - Xq‖²)

    A positive pair farther apart than the margin, wrongly labelled perhaps, or of two photos with nothing in common to
    see, has no gradient.

    Args:
        left: Xp, (n, d).
        right: Xq, (n, d).
        same: (n,) bool, Y: whether both show the same product.
        margin: m, above 0.

    Returns:
        (n,) float32, even under autocast.

    Raises:
        ValueError: if the margin is not above 0, or the shapes do not fit.
    """
    squared = squared_pair_distances(left, right, same, margin)
    return torch.where(same, squared.clamp(max=margin**2), (margin**2 - squared).clamp(min=0))
