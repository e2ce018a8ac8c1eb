"""Whether two features are of the same item, learnt by two layers (Kiapour et al., Where to Buy It, ICCV 2015).

The "F. T. Similarity" that Wang et al. compare with: one network for every category, on features that stay as they are.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PairSimilarity(nn.Module):
    """s(p, q) = v · relu(A x_p + B x_q + b) + c, the first layer over both features side by side, written as two.

    Written so, n queries against m photos cost n + m products with the first layer instead of n m.

    Args:
        dim: d, length of the features.
        hidden: Nodes of the first layer.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.user = nn.Linear(dim, hidden)  # A, b
        self.shop = nn.Linear(dim, hidden, bias=False)  # B
        self.out = nn.Linear(hidden, 1)  # v, c

    def forward(self, user: Tensor, shop: Tensor) -> Tensor:
        """Scores of pairs, above 0: the same. (n, d) and (n, d) to (n,)."""
        score: Tensor = self.out(F.relu(self.user(user) + self.shop(shop)))
        return score[:, 0]

    def all_pairs(self, user: Tensor, shop: Tensor, at_once: int = 4096) -> Tensor:
        """Scores of every user photo with every shop photo: (n, d) and (m, d) to (n, m)."""
        left, right = self.user(user), self.shop(shop)
        parts = []
        for start in range(0, len(right), at_once):
            nodes = F.relu(left[:, None] + right[None, start : start + at_once])  # (n, some of m, hidden)
            parts.append(self.out(nodes)[..., 0])
        return torch.cat(parts, dim=1) if parts else left.new_zeros(len(left), 0)
