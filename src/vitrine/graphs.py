"""A net as a graph for other runtimes, and a graph of onnxruntime as a net."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PHOTOS = "photos"
FEATURES = "features"


@dataclass(frozen=True)
class Graph:
    """What is exported of a net.

    Attributes:
        module: Tensors in, in the order of `inputs`; a tuple of tensors out, in the order of `outputs`.
        inputs: Examples by name; of 2 or more along a dynamic axis, so that none is taken for a constant.
        axes: By input, the dynamic axes and what they are called.
        outputs: Names.
        alone: From normalised photos (n, 3, size, size) to inputs that ask about each of them by itself.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    axes: Mapping[str, Mapping[int, str]]
    outputs: Sequence[str] = field(default_factory=tuple)
    alone: Callable[[Tensor], Mapping[str, Tensor]] = lambda photos: {PHOTOS: photos}


class FlatNet(nn.Module):
    """A net of (features, scores by name) as one of a tuple, in the order of `names`."""

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.net = net
        self.names = tuple(names)

    def forward(self, photos: Tensor) -> tuple[Tensor, ...]:
        """Normalised photos (n, 3, h, w) to features (n, dim) and scores (n, ...) each."""
        features, scores = self.net(photos)
        return features, *(scores[name] for name in self.names)


def photo_graph(net: nn.Module, config: Mapping[str, Any]) -> Graph:
    """The graph of a net of single photos: `photos` (n, 3, size, size) to `features` and each of its scores."""
    photos = example_photos(2, config)
    with torch.inference_mode():
        names = tuple(net(photos)[1])
    return Graph(FlatNet(net, names), {PHOTOS: photos}, {PHOTOS: {0: "n"}}, (FEATURES, *names))


def example_photos(count: int, config: Mapping[str, Any], seed: int = 0) -> Tensor:
    """Normalised noise, (count, 3, size, size)."""
    size = config["image_size"]
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


class SessionNet(nn.Module):
    """An exported graph in the place of the net it was made of.

    Args:
        session: Of onnxruntime.
    """

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)  # by which those who ask find the device
        self.session = session
        self.names = [output.name for output in session.get_outputs()]

    def ask(self, **inputs: np.ndarray) -> dict[str, Tensor]:
        """The graph's outputs by name."""
        outputs = self.session.run(None, inputs)
        return {name: torch.from_numpy(value) for name, value in zip(self.names, outputs, strict=True)}


class PhotoSession(SessionNet):
    """For what `photo_graph` made."""

    def forward(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised photos (n, 3, h, w) to features and scores."""
        outputs = self.ask(**{PHOTOS: photos.contiguous().numpy()})
        return outputs.pop(FEATURES), outputs
