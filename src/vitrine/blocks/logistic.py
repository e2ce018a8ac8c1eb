"""Multinomial logistic regression on fixed features, by L-BFGS on all rows at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vitrine.blocks.optimizers import LBFGS

STRENGTHS = (1e-3, 1e-2, 1e-1)
DEFAULT = 1e-2
ITERATIONS = 60


@dataclass(frozen=True)
class Logistic:
    """score = W (x - mean) / deviation + b.

    Attributes:
        weight: W, (classes, dim).
        bias: b, (classes,).
        mean: Of the training rows, (dim,).
        deviation: Of the same, (dim,).
        strength: The chosen weight of |W|²/2.
    """

    weight: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    strength: float

    def scores(self, features: np.ndarray) -> np.ndarray:
        """(n, dim) to unnormalised log-probabilities (n, classes)."""
        logits: np.ndarray = (features - self.mean) / self.deviation @ self.weight.T + self.bias
        return logits


def fit_logistic(
    features: np.ndarray,
    targets: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> Logistic:
    """argmin over W, b of the mean over rows of -sum_c t_c log softmax(score)_c + strength |W|²/2.

    Args:
        features: (n, dim).
        targets: t, (n, classes); rows with several true labels share their weight among them. Without any row all
            scores are 0.
        held_out: Features (m, dim) and which labels are true (m, classes) of other rows: the strength whose best-scored
            label is true most often is taken, the largest of equals. Without any: `DEFAULT`.
        strengths: To choose from.
    """
    classes, dim = targets.shape[1], features.shape[1]
    if not len(features):
        nothing = np.zeros(dim, np.float32)
        return Logistic(
            np.zeros((classes, dim), np.float32), np.zeros(classes, np.float32), nothing, nothing + 1, DEFAULT
        )
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    inputs, wanted = torch.from_numpy(((features - mean) / deviation).astype(np.float32)), torch.from_numpy(targets)
    usable = held_out is not None and len(held_out[0]) > 0
    fits: list[tuple[float, Logistic]] = []
    weight: Tensor = torch.zeros(classes, dim)
    bias: Tensor = torch.zeros(classes)
    for strength in sorted(strengths if usable else [DEFAULT], reverse=True):  # each begins where the last one ended
        weight, bias = _minimum(inputs, wanted.float(), strength, weight, bias)
        regression = Logistic(weight.numpy(), bias.numpy(), mean, deviation, strength)
        right = 0.0
        if usable and held_out is not None:
            answered = regression.scores(held_out[0]).argmax(axis=1)
            right = float(held_out[1][np.arange(len(answered)), answered].mean())
        fits.append((right, regression))
    return max(fits, key=lambda fit: fit[0])[1]


def _minimum(inputs: Tensor, targets: Tensor, strength: float, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    weight, bias = (start.clone().requires_grad_() for start in (weight, bias))
    optimizer = LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(inputs @ weight.T + bias, targets) + strength / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(objective)
    return weight.detach(), bias.detach()
