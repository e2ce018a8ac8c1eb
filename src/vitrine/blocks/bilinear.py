"""Bilinear pooling (Lin et al., Bilinear CNN Models for Fine-grained Visual Recognition, 2015), and the compact form
for wide trunks (Gao et al., Compact Bilinear Pooling, 2016, tensor sketch).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitrine.blocks.bag_pooling import counted, padded

MAX_CHANNELS = 512  # of the full form: 262,144 components
SKETCH = 8192  # components of the compact form, as in Gao et al.
SMALLEST = 1e-6  # below it the root turns linear: rounding errors around 0 must not grow to something


class BilinearPooling(nn.Module):
    """x = mean over cells of  f f^T,  then sign(x) sqrt|x|, then x / ||x||, over all cells of a listing's photos.

    The two streams of the paper are one here, its symmetric form. The outer products are pooled over the cells of all
    photos of a listing, as the paper pools them over the cells of one photo. For more than `MAX_CHANNELS` channels
    f f^T is replaced by its tensor sketch, whose inner products estimate those of f f^T.

    Args:
        channels: Of the feature map.
        sketch: Components of the sketch; 0 = the full outer product.
    """

    def __init__(self, channels: int, sketch: int | None = None) -> None:
        super().__init__()
        if sketch is None:
            sketch = SKETCH if channels > MAX_CHANNELS else 0
        self.sketch = TensorSketch(channels, sketch) if sketch else None
        self.dim = sketch or channels**2

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Maps (m, c, h, w) of listings of `lengths` (b,), or each by itself, to (b, dim) float32 of length 1."""
        with torch.autocast(features.device.type, enabled=False):
            cells = features.float().flatten(2).transpose(1, 2)  # (m, hw, c)
            if self.sketch is not None:
                sums = self.sketch(cells)  # (m, sketch)
                sums = sums if lengths is None else padded(sums, lengths).sum(dim=1)
            else:
                # (b, longest * hw, c); padding adds nothing
                rows = cells if lengths is None else padded(cells, lengths).flatten(1, 2)
                sums = (rows.transpose(1, 2) @ rows).flatten(1)  # (b, c * c)
            photos = 1 if lengths is None else counted(lengths).to(features.device).view(-1, 1)
            pooled = sums / (photos * cells.shape[1])
            rooted = pooled / (pooled.abs() + SMALLEST).sqrt()
            return F.normalize(rooted, dim=1)


class TensorSketch(nn.Module):
    """The sketch of f f^T: the circular convolution of two count sketches of f, by their Fourier transforms.

    A count sketch adds every component of f, under a random sign, to a random place of the `dim` ones.

    Args:
        channels: Components of f.
        dim: Components of the sketch.
    """

    places: Tensor
    signs: Tensor

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        draws = [(torch.randint(0, 2, (channels,)) * 2.0 - 1, torch.randint(0, dim, (channels,))) for _ in range(2)]
        # Part of the net, (2, channels): another draw is another net.
        self.register_buffer("signs", torch.stack([signs for signs, _ in draws]))
        self.register_buffer("places", torch.stack([places for _, places in draws]))
        self.register_load_state_dict_pre_hook(_from_matrices)

    def forward(self, rows: Tensor) -> Tensor:
        """The sum of the sketches of n vectors, (..., n, channels) to (..., dim), float32."""
        first, second = (torch.fft.rfft(self.count_sketch(rows, which)) for which in range(2))
        return torch.fft.irfft((first * second).sum(dim=-2), n=self.dim)

    def count_sketch(self, rows: Tensor, which: int) -> Tensor:
        """The first or the second, (..., channels) to (..., dim)."""
        empty = rows.new_zeros(*rows.shape[:-1], self.dim)
        return empty.index_add(-1, self.places[which], rows * self.signs[which])


def _from_matrices(sketch: TensorSketch, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Version 0.1.0 kept each count sketch as a matrix (channels, dim) of mostly zeros."""
    names = [f"{prefix}{name}" for name in ("first", "second")]
    if all(name in state for name in names):
        matrices = torch.stack([state.pop(name) for name in names])
        state[f"{prefix}signs"], state[f"{prefix}places"] = matrices.sum(dim=2), matrices.abs().argmax(dim=2)
