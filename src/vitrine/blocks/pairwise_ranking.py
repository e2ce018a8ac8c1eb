"""The teacher's loss: focal pairwise ranking against label embeddings (Shin, MTSS, Eq. 1-2)."""

import torch
from torch import Tensor

from vitrine.blocks.cosine import cosines

SMALLEST = 1e-6  # keeps -log p finite where a pair is as wrong as it can be


def pairwise_ranking_loss(
    embeddings: Tensor, dictionary: Tensor, classes: Tensor, carries: Tensor, gamma: float
) -> Tensor:
    """Mean focal ranking loss over all (positive, negative) pairs of a batch.

    For a photo i drawn as an example of class n, and a photo j that does not carry n:

        p_ij = 0.5 max(0, 1 + cos(d_n, e_i) - cos(d_n, e_j)),   loss -(1 - p_ij)^gamma log p_ij      (Eq. 2)

    with p cut at 1, as the paper bounds it. The paper draws one negative for each positive; here every photo of the
    batch that does not carry the class serves as one. With classes drawn evenly that has the same expectation at a
    lower variance, and no photo passes through the net twice.

    Args:
        embeddings: e, (n, D), not normalised.
        dictionary: d, (classes, D), not normalised.
        classes: The class each photo was drawn for, (n,), int64.
        carries: Whether photo j carries the class photo i was drawn for, [i, j], (n, n), bool.
        gamma: Focal exponent, >= 0.

    Returns:
        A scalar; 0 (with a gradient of 0) if the batch holds no pair.
    """
    to_own = cosines(embeddings, dictionary)[:, classes].T  # [i, j] = cos(d of i's class, e_j), (n, n)
    margin = to_own.diagonal().unsqueeze(1) - to_own  # [i, j] = cos(d, e+) - cos(d, e-)
    p = (0.5 * (1 + margin).clamp(min=0)).clamp(SMALLEST, 1.0)
    losses = -((1 - p) ** gamma if gamma else torch.ones_like(p)) * p.log()
    pairs = ~carries
    return losses.where(pairs, 0).sum() / pairs.sum().clamp(min=1)
