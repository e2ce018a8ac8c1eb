"""The multitask net's branches and loss (Chen et al., Structure-Aware Deep Learning, Section 3.4, Eq. 5-7)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CategoryBranch(nn.Sequential):
    """A private module: the second and the last fully connected layer for one category task."""

    def __init__(self, inputs: int, categories: int) -> None:
        super().__init__(nn.Linear(inputs, inputs), nn.ReLU(inplace=True), nn.Linear(inputs, categories))


class AttributeBranch(nn.Module):
    """The two-layer branch: sum(m_i) shared nodes, then one sub-layer of m_i nodes for each attribute.

    Args:
        inputs: Nodes of the public fully connected layer.
        states: m_i for each attribute type.
    """

    def __init__(self, inputs: int, states: Mapping[str, int]) -> None:
        super().__init__()
        total = sum(states.values())
        self.shared = nn.Sequential(nn.Linear(inputs, total), nn.ReLU(inplace=True))
        self.subtasks = nn.ModuleList([nn.Linear(total, m) for m in states.values()])
        self.kinds = tuple(states)

    def forward(self, public: Tensor) -> dict[str, Tensor]:
        """(n, inputs) to (n, m_i) unnormalised scores for each attribute type."""
        shared = self.shared(public)
        return {kind: subtask(shared) for kind, subtask in zip(self.kinds, self.subtasks, strict=True)}


def annotated_cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Multinomial logistic loss, Eq. 6, counted over annotated photos only, as S(.) does in Eq. 7.

    Args:
        scores: Unnormalised, (n, m).
        targets: Distribution over the true labels, (n, m); a row of zeros is not annotated. Several labels of one
            photo share its weight.

    Returns:
        The sum over annotated photos divided by n (Eq. 5 divides by all N), 0 if none is annotated.
    """
    return -(targets * F.log_softmax(scores.float(), dim=1)).sum() / len(scores)


def subtree_cross_entropy(scores: Tensor, allowed: Tensor, smoothing: float = 0.0) -> Tensor:
    """Eq. 6 for categories that may stop short of a leaf: -log of the probability of all leaves below the node.

    For a photo with a leaf this is the multinomial logistic loss; for one that stops at an inner node it asks only that
    some leaf below it is likely. Label smoothing (Szegedy et al., Rethinking the Inception Architecture, CVPR 2016,
    Section 7) mixes in the cross entropy with the even distribution: (1 - s) loss - s mean_y log p_y.

    Args:
        scores: Unnormalised leaf scores, (n, leaves).
        allowed: Which leaves agree with the photo's category, (n, leaves), bool; a row of False is not annotated.
        smoothing: s in [0, 1).

    Returns:
        The sum over annotated photos divided by n, 0 if none is annotated.
    """
    annotated = allowed.any(dim=1)
    logs = F.log_softmax(scores.float(), dim=1)[annotated]
    inside = logs.masked_fill(~allowed[annotated], -torch.inf)
    loss = -torch.logsumexp(inside, dim=1).sum()
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * logs.mean(dim=1).sum()
    return loss / len(scores)


def level_weights(nodes: Mapping[str, int], leaves: int, scale: float = 1.0) -> dict[str, float]:
    """lambda_i of Eq. 5 for the coarser levels: their share of the number of leaves, not below 0.1; a leaf's is 1.

    The paper sets 0.1 for 10 roots and 1 for 129 leaves.

    >>> level_weights({"level1": 10, "level2": 60}, leaves=120)
    {'level1': 0.1, 'level2': 0.5}
    """
    return {name: scale * max(0.1, count / leaves) for name, count in nodes.items()}


def attribute_weights(annotated: Mapping[str, int], scale: float = 1.0) -> dict[str, float]:
    """gamma_j of Eq. 7, about inverse to the number of annotated photos, in the paper's own range 0.1 ... 0.5.

    The rarest attribute gets 0.5 and one annotated five times as often (or more) 0.1.

    >>> attribute_weights({"colour": 1000, "sleeve": 400, "neck": 200})
    {'colour': 0.1, 'sleeve': 0.25, 'neck': 0.5}
    """
    counts = {kind: max(1, count) for kind, count in annotated.items()}
    rarest = min(counts.values(), default=1)
    return {kind: scale * max(0.1, 0.5 * rarest / count) for kind, count in counts.items()}
