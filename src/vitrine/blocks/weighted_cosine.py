"""The student's loss: cosine distillation weighted by the teacher's certainty (Shin, MTSS, Eq. 3-4)."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from vitrine.blocks.cosine import cosines


def certainty(teacher: Tensor, dictionary: Tensor, beta: float) -> Tensor:
    """w = max_n cos(d_n, e_T)^beta, negative cosines counting as 0: (n, D), (classes, D) to (n,)."""
    return cosines(teacher, dictionary).amax(dim=1).clamp(min=0) ** beta


def distillation_loss(
    student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> Tensor:
    """Mean over photos of  sum_k w_k (1 - cos(e_S_k, e_T_k))  (Eq. 4; Eq. 3 with w = 1). Needs no labels.

    Args:
        student: Per attribute type e_S, (n, D).
        teacher: Per attribute type e_T, (n, D).
        weights: Per attribute type w, (n,): see `certainty`.

    Raises:
        ValueError: if there is no attribute type.
    """
    if not student:
        raise ValueError("distillation needs at least one teacher")
    terms = [
        weights[kind] * (1 - F.cosine_similarity(student[kind].float(), teacher[kind].float(), dim=1))
        for kind in student
    ]
    return torch.stack(terms).sum(dim=0).mean()
