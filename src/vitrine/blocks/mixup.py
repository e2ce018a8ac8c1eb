"""Mixed photos (Zhang et al., mixup, ICLR 2018), or their maps (Verma et al., Manifold Mixup, ICML 2019)."""

import numpy as np
import torch
from torch import Tensor


def mixup(photos: Tensor, alpha: float, seed: tuple[int, ...]) -> tuple[Tensor, Tensor, float]:
    """Each photo of a batch blended with another of it: share x photo + (1 - share) x partner.

    Args:
        photos: (n, ...): photos, or maps of them.
        alpha: The share is drawn once a batch from Beta(alpha, alpha); 0: photos stay as they are.
        seed: What partners and share depend on, alone.

    Returns:
        The blends, (n, ...); each one's partner, (n,); the share. A target is to be blended likewise.
    """
    if not alpha:
        return photos, torch.arange(len(photos), device=photos.device), 1.0
    random = np.random.default_rng(seed)
    share = float(random.beta(alpha, alpha))
    partners = torch.from_numpy(random.permutation(len(photos))).to(photos.device)
    return photos[partners].lerp(photos, share), partners, share
