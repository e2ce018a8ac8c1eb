"""The baselines of Table 2, which judge single photos: `cnn`, `ms-cnn` and `ms-bilinear`.

A listing is judged by the ensemble of separate tests: the mean of what its photos say. Every photo learns the verdict
on its listing.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.bag_pooling import mean_pooling
from vitrine.blocks.bilinear import BilinearPooling
from vitrine.tasks.authenticity.net import ListingNet, ListingOutput, energy, evidence, regression_loss

Judged = tuple[Tensor, Tensor, Tensor]  # features (m, d), scores (m, 2), maps (m, h, w)


class CnnJudge(nn.Module):
    """One net for single photos: trunk, mean over cells, linear classifier."""

    def __init__(self, config: Mapping[str, Any], weights: str) -> None:
        super().__init__()
        self.trunk, (self.dim, _, _) = build_backbone(config["backbone"], config["image_size"], weights)
        self.classifier = nn.Linear(self.dim, 2)

    def forward(self, photos: Tensor) -> Judged:
        """(m, 3, h, w) to features, scores and maps."""
        cells = self.trunk(photos)
        features = cells.mean(dim=(2, 3))
        logits = self.classifier(features)
        return features, logits, evidence(cells, self.classifier, logits.argmax(dim=1))


class BilinearJudge(nn.Module):
    """One bilinear net for single photos (Lin et al., 2015), both streams the same trunk."""

    def __init__(self, config: Mapping[str, Any], weights: str) -> None:
        super().__init__()
        self.trunk, (channels, _, _) = build_backbone(config["backbone"], config["image_size"], weights)
        self.pooling = BilinearPooling(channels)
        self.dim = self.pooling.dim
        self.classifier = nn.Linear(self.dim, 2)

    def forward(self, photos: Tensor) -> Judged:
        """(m, 3, h, w) to features, scores and maps."""
        cells = self.trunk(photos)
        features = self.pooling(cells)
        return features, self.classifier(features), energy(cells)


class EnsembleNet(ListingNet):
    """What cnn, ms-cnn and ms-bilinear share: photos judged one by one, and the mean of their probabilities."""

    def judge(self, photos: Tensor, views: Tensor | None) -> Judged:
        """Each photo by itself."""
        raise NotImplementedError

    def forward(self, photos: Tensor, lengths: Tensor, views: Tensor | None = None) -> ListingOutput:
        """See `ListingNet`."""
        features, photo_logits, maps = self.judge(photos, views)
        probabilities = mean_pooling(photo_logits.float().softmax(dim=1), lengths)  # (b, 2)
        logits = probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()
        return ListingOutput(logits, mean_pooling(features, lengths), photo_logits=photo_logits, maps=maps)

    def loss(self, output: ListingOutput, lengths: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The regression on every photo, each with its listing's target."""
        assert output.photo_logits is not None
        counts, photos = lengths.to(target.device), len(output.photo_logits)
        target, weight = (per_listing.repeat_interleave(counts, output_size=photos) for per_listing in (target, weight))
        return regression_loss(output.photo_logits, target, weight)


class CnnNet(EnsembleNet):
    """`cnn`: one net for the photos of all views."""

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__()
        self.judge_photos = CnnJudge(config, weights)

    def judge(self, photos: Tensor, views: Tensor | None) -> Judged:
        """Each photo by itself."""
        return self.judge_photos(photos)


class ViewNets(EnsembleNet):
    """`ms-cnn` and `ms-bilinear`: a net for each view ("source"), trained on the photos of that view alone.

    Views with few photos, and photos without a view, share one more net if training has any of them; if not, such a
    photo is judged by all nets, and the mean of their probabilities counts. A listing whose photos name no view is
    therefore judged by one net: the place of a photo in its listing is not taken for its view, because sellers mix the
    order up (Section 2.2) and shuffling the photos must not change the verdict.
    """

    def __init__(self, config: Mapping[str, Any], weights: str = "none") -> None:
        super().__init__()
        kind = BilinearJudge if config["variant"] == "ms-bilinear" else CnnJudge
        self.views = len(config["views"])
        self.nets = nn.ModuleList([kind(config, weights) for _ in range(self.views + config["viewless"])])

    def judge(self, photos: Tensor, views: Tensor | None) -> Judged:
        """Each photo by the net of its view; see the class."""
        if views is None:
            views = torch.full((len(photos),), -1, device=photos.device)
        if len(self.nets) > self.views:
            views = views.where(views >= 0, self.views)
        if torch.compiler.is_exporting():
            return self._judge_by_all(photos, views)
        parts = []
        for number, net in enumerate(self.nets):
            places = (views == number).nonzero()[:, 0]
            if len(places):
                parts.append((places, _alone_too(net, photos[places])))
        places = (views < 0).nonzero()[:, 0]
        if len(places):
            judged = [_alone_too(net, photos[places]) for net in self.nets]
            features, logits, maps = (torch.stack([output[i] for output in judged]) for i in range(3))
            mean = logits.float().softmax(dim=2).mean(dim=0).log()
            parts.append((places, (features.mean(dim=0), mean, maps.mean(dim=0))))
        back = torch.cat([places for places, _ in parts]).argsort()
        features, logits, maps = (torch.cat([judged[i] for _, judged in parts])[back] for i in range(3))
        return features, logits, maps

    def _judge_by_all(self, photos: Tensor, views: Tensor) -> Judged:
        """The same where shapes may not depend on views: every net looks at every photo; that of its view counts."""
        judged = [net(photos) for net in self.nets]
        features, logits, maps = (torch.stack([own[i] for own in judged], dim=1) for i in range(3))  # (m, nets, ...)
        known = (views >= 0).unsqueeze(1)
        own = (views.unsqueeze(1) == torch.arange(len(self.nets), device=views.device)).to(features.dtype)  # (m, nets)
        share = own.where(known, 1 / len(self.nets))
        mean = logits.softmax(dim=2).mean(dim=1).log()
        return (
            torch.einsum("mn,mnd->md", share, features),
            torch.einsum("mn,mnc->mc", own, logits).where(known, mean),
            torch.einsum("mn,mnhw->mhw", share, maps),
        )


def _alone_too(net: nn.Module, photos: Tensor) -> Judged:
    """Batch norm cannot learn from a single photo of one cell, so that one is shown twice."""
    if len(photos) > 1 or not net.training:
        return net(photos)
    features, logits, maps = net(photos.repeat(2, 1, 1, 1))
    return features[:1], logits[:1], maps[:1]
