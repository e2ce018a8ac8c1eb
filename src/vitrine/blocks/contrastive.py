"""The contrastive loss of siamese networks (Hadsell et al., CVPR 2006), as written by Wang et al. (Section 3.1)."""

import torch
from torch import Tensor


def contrastive(left: Tensor, right: Tensor, same: Tensor, margin: float) -> Tensor:
    """Loss of each pair.

    L(Y=1) = ‖Xp - Xq‖²,  L(Y=0) = max(0, m² - ‖Xp - Xq‖²)

    Features are not normalised; squared distances, because a root has no finite slope at 0.

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
    return torch.where(same, squared, (margin**2 - squared).clamp(min=0))


def squared_pair_distances(left: Tensor, right: Tensor, same: Tensor, margin: float) -> Tensor:
    """‖Xp - Xq‖² of each pair, (n,) float32; refuses what `contrastive` refuses."""
    if margin <= 0:
        raise ValueError(f"a margin is above 0, not {margin}")
    if left.shape != right.shape or same.shape != left.shape[:1]:
        raise ValueError(f"pairs of {tuple(left.shape)}, {tuple(right.shape)} and {tuple(same.shape)} do not fit")
    with torch.autocast(left.device.type, enabled=False):
        return (left.float() - right.float()).square().sum(dim=1)
