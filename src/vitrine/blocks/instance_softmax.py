"""Every photo as a class of its own (Xu et al., Representation Learning with Fine-grained Patterns, Eq. 3-5)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class InstanceSoftmax(nn.Module):
    """-log of the probability that a feature is its own photo's, among all photos (Eq. 3) or its group's (Eq. 5).

    With unit vectors f, w and temperature t:  -log( exp(f·w_i / t) / sum_j exp(f·w_j / t) ),  j over the photos of the
    group. The paper's f and w are not normalised; unit vectors keep a term that sees each class once an epoch from
    being a matter of growing norms.

    The weights of each group are a parameter of their own, so a step computes, and stores gradients for, the groups of
    its batch alone: O(d n_b) for each photo. One group is Eq. 3, which costs O(d n).

    Args:
        dim: d, length of the features.
        sizes: n_b, photos of each group.
        temperature: t.
        negatives: Compare with so many photos of a larger group, drawn for each step, instead of all; 0: all. Drawn
            ones stand for (n_b - 1) / negatives photos each, so that the sum is right on average.
    """

    def __init__(self, dim: int, sizes: Sequence[int], temperature: float, negatives: int = 0) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(size, dim) / dim**0.5) for size in sizes])
        self.temperature = temperature
        self.negatives = negatives

    def forward(self, features: Tensor, groups: Tensor, places: Tensor, generator: torch.Generator) -> Tensor:
        """Mean loss over photos, float32 even under autocast.

        Args:
            features: (n, d).
            groups: (n,) the group of each photo.
            places: (n,) its place in the group.
            generator: Draws the negatives; on the CPU.

        Raises:
            ValueError: if there are no photos.
        """
        if not len(features):
            raise ValueError("InstanceSoftmax needs at least one photo")
        order = groups.argsort(stable=True)
        with torch.autocast(features.device.type, enabled=False):
            unit = F.normalize(features[order].float(), dim=1)
            present, counts = groups[order].unique_consecutive(return_counts=True)
            parts = zip(
                present.tolist(), unit.split(counts.tolist()), places[order].split(counts.tolist()), strict=True
            )
            losses = [self._of_group(part, at, self.weights[group], generator) for group, part, at in parts]
        return torch.stack(losses).sum() / len(features)

    def _of_group(self, unit: Tensor, places: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
        size = len(weights)
        if not 0 < self.negatives < size - 1:
            return UnitSoftmax.apply(unit, weights, places, self.temperature)
        drawn = torch.randint(size, (self.negatives,), generator=generator).to(places.device)
        logits = unit @ F.normalize(weights[drawn], dim=1).T / self.temperature  # (own, negatives)
        hit = drawn == places[:, None]  # the photo itself is no negative
        counted = (~hit).sum(dim=1, keepdim=True).clamp(min=1)
        logits = (logits + torch.log((size - 1) / counted)).masked_fill(hit, -torch.inf)
        right = (unit * F.normalize(weights[places], dim=1)).sum(dim=1, keepdim=True) / self.temperature
        return (torch.logsumexp(torch.cat([right, logits], dim=1), dim=1) - right[:, 0]).sum()


class UnitSoftmax(torch.autograd.Function):
    """Sum over photos of -log( exp(f·ŵ_i / t) / sum_j exp(f·ŵ_j / t) ),  ŵ = w / ‖w‖.

    Written out because a group's few photos make the products cheap: normalising the weights and differentiating that
    would read and write all n_b d of them several times more, and cost more than the products do.
    """

    @staticmethod
    def forward(ctx: Any, unit: Tensor, weights: Tensor, places: Tensor, temperature: float) -> Tensor:
        """Unit vectors f (n, d), weights w (n_b, d), places i (n,) to the sum."""
        inverse = torch.linalg.vector_norm(weights, dim=1).clamp_(min=1e-12).reciprocal_()  # (n_b,)
        cosine = (unit @ weights.T).mul_(inverse)  # (n, n_b)
        logits = cosine / temperature
        total = logits.logsumexp(dim=1, keepdim=True)
        rows = torch.arange(len(unit), device=unit.device)
        loss = total[:, 0].sum() - logits[rows, places].sum()
        slope = logits.sub_(total).exp_()
        slope[rows, places] -= 1
        ctx.save_for_backward(unit, weights, inverse, cosine, slope.div_(temperature))
        return loss

    @staticmethod
    def backward(ctx: Any, *outward: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """d f·ŵ_j / d w_j = (f - (f·ŵ_j) ŵ_j) / ‖w_j‖; the part along w_j is summed over photos first."""
        unit, weights, inverse, cosine, slope = ctx.saved_tensors
        slope = slope * outward[0]
        along = (slope * cosine).sum(dim=0).mul_(inverse.square())  # (n_b,)
        slope = slope.mul_(inverse)
        of_weights = (slope.T @ unit).addcmul_(weights, along[:, None], value=-1)
        return slope @ weights, of_weights, None, None


def megabytes(photos: int, dim: int) -> float:
    """Memory of the weights, their gradient, AdamW's two moments and the best epoch's weights, float32."""
    return 5 * photos * dim * 4 / 1e6
