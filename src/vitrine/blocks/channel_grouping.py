"""Parts as groups of channels (Zheng et al., Learning Multi-Attention Convolutional Neural Network for Fine-grained
Image Recognition, 2017).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MARGIN = 0.02  # of Eq. 5


class ChannelGrouping(nn.Module):
    """Part attention M_i = sigmoid(sum_j d_ij x_j) with d_i = f_i(x), which channels make up part i (Eq. 1-2).

    The weighted sums are brought to mean 0 and deviation 1 over the cells of a photo before the sigmoid: they are sums
    of many positive numbers, which would saturate it everywhere. The membership d_i is learnt together with the rest
    from the start, where the paper first clusters the channels by where they peak.

    Args:
        channels: Of the feature map.
        parts: How many.
    """

    def __init__(self, channels: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.member = nn.Linear(channels, parts * channels)

    def forward(self, features: Tensor) -> Tensor:
        """Maps (m, c, h, w) to part attention in (0, 1), (m, parts, h, w), float32."""
        with torch.autocast(features.device.type, enabled=False):
            x = features.float()
            d = self.member(x.mean(dim=(2, 3))).unflatten(1, (self.parts, -1)).sigmoid()  # (m, parts, c)
            sums = torch.einsum("mpc,mchw->mphw", d, x)
            cells = sums.flatten(2)
            return F.layer_norm(cells, cells.shape[2:]).sigmoid().unflatten(2, sums.shape[2:])


def part_features(features: Tensor, attention: Tensor) -> Tensor:
    """P_i = the mean of the feature map weighed by M_i (Eq. 3): (m, c, h, w), (m, parts, h, w) to (m, parts, c)."""
    weights = attention / attention.sum(dim=(2, 3), keepdim=True)
    return torch.einsum("mphw,mchw->mpc", weights, features.float())


def channel_grouping_loss(attention: Tensor, spread: float = 1.0) -> Tensor:
    """Compact and separate parts (Eq. 4-6): the mean over photos and parts of Dis(M_i) + spread * Div(M_i).

        Dis(M_i) = sum_xy m_i(x, y) [(x - t_x)^2 + (y - t_y)^2],   t = where M_i peaks
        Div(M_i) = sum_xy m_i(x, y) [max_{k != i} m_k(x, y) - margin]

    m_i is M_i divided by its sum, so that parts of any size count alike; x and y run from 0 to 1.

    Args:
        attention: M, (m, parts, h, w), positive.
        spread: lambda of the paper.

    Returns:
        A scalar. With a single part Div is left out.
    """
    _, parts, h, w = attention.shape
    m = (attention / attention.sum(dim=(2, 3), keepdim=True)).flatten(2)  # (m, parts, cells)
    y, x = torch.meshgrid(
        torch.linspace(0, 1, h, device=m.device), torch.linspace(0, 1, w, device=m.device), indexing="ij"
    )
    places = torch.stack([x.flatten(), y.flatten()], dim=1)  # (cells, 2)
    peaks = places[m.argmax(dim=2)]  # (m, parts, 2)
    away = (places - peaks.unsqueeze(2)).square().sum(dim=3)  # (m, parts, cells)
    loss = (m * away).sum(dim=2).mean()
    if parts == 1:
        return loss
    diagonal = torch.eye(parts, dtype=torch.bool, device=m.device).view(1, parts, parts, 1)
    others = m.unsqueeze(1).masked_fill(diagonal, -torch.inf).amax(dim=2)  # (m, parts, cells)
    return loss + spread * (m * (others - MARGIN)).sum(dim=2).mean()
