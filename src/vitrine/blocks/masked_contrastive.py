"""Masked contrastive learning (Feng and Patras, MaskCon: Masked Contrastive Learning for Coarse-Labelled Dataset,
CVPR 2023).

A photo is pulled towards another view of itself, as in contrastive learning without labels, and besides towards those
photos of its super-class that look like it, each by how much it does.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitrine.blocks.ring_buffer import filled, remember

NO_GROUP = -1


def soft_labels(keys: Tensor, queue: Tensor, allowed: Tensor, temperature: float, share: float) -> Tensor:
    """How much each photo is to be taken for its own other view (first) and for each earlier photo.

        z_ij = softmax_j(k_i·k_j / t)  over the allowed j,     z'_ij = z_ij / max_j z_ij,     z'_i0 = 1
        label = w z' / sum z' + (1 - w) (1, 0, 0, ...)

    Args:
        keys: k_i, (n, d) unit vectors.
        queue: k_j, (m, d) unit vectors.
        allowed: Whether j is another photo of i's super-class, (n, m).
        temperature: t, > 0.
        share: w, from 0 (no labels are used) to 1.

    Returns:
        (n, 1 + m), each row of sum 1. Where nothing is allowed, all of it is for the other view.
    """
    alike = (keys @ queue.T / temperature).masked_fill(~allowed, -torch.inf)
    if queue.shape[0]:
        # exp(x - max x) is softmax over its maximum; a row without anything allowed would be -inf - -inf.
        alike = (alike - alike.amax(dim=1, keepdim=True).clamp(min=-1e30)).exp()
    soft = torch.cat([alike.new_ones(len(keys), 1), alike], dim=1)
    label = share * soft / soft.sum(dim=1, keepdim=True)
    label[:, 0] += 1 - share
    return label


class MaskedContrastive(nn.Module):
    """Cross entropy of `soft_labels` with  softmax(q_i·k_i / t, q_i·k_j / t, ...),  mean over photos.

    k_j are the keys of the last photos seen, kept in buffers, as part of what a checkpoint saves. Earlier keys of the
    photo itself are left out; in the paper, whose catalogs are far larger than its queue, they are rare.

    Args:
        dim: d.
        queue: m, keys remembered.
        temperature: t of the comparison.
        soft_temperature: t of the labels.
        share: w of `soft_labels`.
    """

    keys: Tensor
    groups: Tensor
    photos: Tensor
    seen: Tensor

    def __init__(self, dim: int, queue: int, temperature: float, soft_temperature: float, share: float) -> None:
        super().__init__()
        self.temperature, self.soft_temperature, self.share = temperature, soft_temperature, share
        self.register_buffer("keys", torch.zeros(queue, dim))
        self.register_buffer("groups", torch.full((queue,), NO_GROUP))
        self.register_buffer("photos", torch.full((queue,), -1))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, queries: Tensor, keys: Tensor, groups: Tensor, photos: Tensor) -> Tensor:
        """A scalar, float32 even under autocast; the keys are remembered.

        Args:
            queries: q, (n, d), of one view of each photo.
            keys: k, (n, d), of another view, without a gradient.
            groups: Super-class of each photo or `NO_GROUP`, (n,).
            photos: Which photo each is, (n,).
        """
        with torch.autocast(queries.device.type, enabled=False):
            q, k = F.normalize(queries.float(), dim=1), F.normalize(keys.float(), dim=1)
            kept = filled(self.seen, len(self.keys))
            queue, same_photo = self.keys[:kept].clone(), self.photos[:kept] == photos[:, None]
            same = (self.groups[:kept] == groups[:, None]) & (groups[:, None] != NO_GROUP)
            labels = soft_labels(k, queue, same & ~same_photo, self.soft_temperature, self.share)
            logits = torch.cat([(q * k).sum(dim=1, keepdim=True), q @ queue.T], dim=1) / self.temperature
            logits[:, 1:] = logits[:, 1:].masked_fill(same_photo, torch.finfo(logits.dtype).min)
            remember(self.seen, (self.keys, k), (self.groups, groups), (self.photos, photos))
            return F.cross_entropy(logits, labels)
