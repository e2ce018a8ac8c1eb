"""Attention pooling over the photos of a listing (Yang et al., A Semi-Supervised Attention Model for Identifying
Authentic Sneakers, 2020, Eq. 1; after Ilse et al., Attention-based Deep Multiple Instance Learning, 2018).
"""

import torch
from torch import Tensor, nn

from vitrine.blocks.bag_pooling import padded, unpadded


class AttentionPooling(nn.Module):
    """x_A = sum_k alpha_k x_k,  alpha_k = exp(h(x_k)) / sum_j exp(h(x_j)),  h(x) = w tanh(V x + c).

    The paper prints alpha = h / sum h; h has to be positive for that, hence the exponential, as in Ilse et al. All of
    it is float32, also under autocast: bfloat16 would give photos that differ little the same weight.

    Args:
        dim: Components of a photo's features.
        hidden: Nodes of the first layer.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False))

    def forward(self, photos: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Photos (m, dim) of listings of `lengths` (b,) to the listings (b, dim) and the weights alpha (m,).

        Raises:
            ValueError: for a listing without photos.
        """
        with torch.autocast(photos.device.type, enabled=False):
            rows = padded(photos.float(), lengths)  # (b, longest, dim)
            scores = padded(self.score(photos.float())[:, 0], lengths, -torch.inf)  # (b, longest)
            weights = scores.softmax(dim=1)  # 0 where padded
            return torch.einsum("bk,bkd->bd", weights, rows), unpadded(weights, lengths)


def attention_entropy(weights: Tensor, lengths: Tensor) -> Tensor:
    """How evenly each listing's photos are weighed, as a share of the most even: (m,), (b,) to (b,).

    0: one photo decides; 1: all the same, the usual silent failure. A listing of one photo gives NaN.
    """
    rows = padded(weights, lengths)
    return torch.special.entr(rows).sum(dim=1) / lengths.to(weights.device).float().log().where(
        lengths.to(weights.device) > 1, torch.nan
    )
