"""What every system for listings is: all photos side by side in, one verdict a listing out."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LABELS = ("authentic", "counterfeit")


@dataclass(frozen=True)
class ListingOutput:
    """What a net predicts for b listings of m photos in all.

    Attributes:
        logits: One column for each of `LABELS`, (b, 2).
        features: Before the classifier, (b, d).
        attention: Attention weights of the photos, summing to 1 within a listing, (m,).
        photo_logits: Logits of each photo alone, (m, 2).
        maps: Class activation maps of the photos, (m, h, w), not negative, in no unit.
        branches: Logits (b, 2) of further branches, which the loss is over too.
        penalty: A scalar that training adds to the loss.
    """

    logits: Tensor
    features: Tensor
    attention: Tensor | None = None
    photo_logits: Tensor | None = None
    maps: Tensor | None = None
    branches: tuple[Tensor, ...] = ()
    penalty: Tensor | None = None


class ListingNet(nn.Module):
    """A system: made of `(config, weights)`, where config holds backbone, image_size, views and the layers' sizes."""

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """Normalised photos (m, 3, h, w), of listings of `lengths` (b,) (on the CPU), showing `views` (m,) or None.

        Instead of lengths there may be a mask, see `vitrine.blocks.bag_pooling`.

        Raises:
            ValueError: for a listing without photos.
        """
        raise NotImplementedError

    def loss(self, output: ListingOutput, lengths: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The regression of Section 5.2 on P(authentic): undecided listings have the target 0.5.

        Args:
            output: Of this net.
            lengths: (b,), on the CPU.
            target: P(authentic) as the experts have it, (b,).
            weight: Of each listing, (b,).
        """
        terms = [regression_loss(logits, target, weight) for logits in (output.logits, *output.branches)]
        loss = torch.stack(terms).mean()
        return loss if output.penalty is None else loss + output.penalty


def regression_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the cross entropy with soft targets: (n, 2), P(authentic) (n,), (n,) to a scalar."""
    soft = torch.stack([target, 1 - target], dim=1)
    losses = F.cross_entropy(logits.float(), soft, reduction="none")
    return (weight * losses).sum() / weight.sum().clamp(min=1e-12)


def energy(features: Tensor) -> Tensor:
    """The mean of squared activations over channels (Zagoruyko & Komodakis, 2017): (m, c, h, w) to (m, h, w)."""
    return features.detach().float().square().mean(dim=1)


def evidence(features: Tensor, classifier: nn.Linear, labels: Tensor) -> Tensor:
    """Class activation (Zhou et al., 2016): what each cell adds to the logit of its photo's class against the other.

    Args:
        features: (m, c, h, w).
        classifier: c to 2, which follows the mean over cells.
        labels: The predicted class of each photo, (m,), int64.

    Returns:
        (m, h, w); what speaks for the other label is 0.
    """
    weight = classifier.weight.detach().float()
    towards = (weight - weight.flip(0))[labels]  # (m, c)
    return torch.einsum("mchw,mc->mhw", features.detach().float(), towards).clamp(min=0)
