"""What the systems learn from a catalog's listings, and what is settled once they have."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitrine.blocks.attention_pooling import attention_entropy
from vitrine.blocks.calibration import fit_platt
from vitrine.blocks.prototypes import UNLABELLED, PrototypicalLoss
from vitrine.catalog import Catalog
from vitrine.data.bags import bag_batches, bags_of, balanced, rows_of, steps_of_epoch
from vitrine.data.inputs import Inputs
from vitrine.evaluation.auc import area_under_curve
from vitrine.tasks.authenticity.decision import Costs, choose_thresholds
from vitrine.tasks.authenticity.listings import ask, could_be_judged, view_numbers
from vitrine.tasks.authenticity.net import LABELS, ListingNet
from vitrine.tasks.authenticity.settings import AuthenticitySettings
from vitrine.tasks.authenticity.ssa import SsaNet
from vitrine.training.objective import Objective

# Indices of bags (b,); their photos come one bag after the other, (m, 3, h, w).
ListingBatch = np.ndarray


def training_module(net: ListingNet, settings: AuthenticitySettings) -> nn.ModuleDict:
    """What the engine trains and its checkpoints keep: the net and, for ssa, the window of its prototypes."""
    parts: dict[str, nn.Module] = {"net": net}
    if isinstance(net, SsaNet):
        parts["prototypes"] = PrototypicalLoss(net.channels, settings.window, settings.temperature)
    return nn.ModuleDict(parts)


def objective(
    parts: nn.ModuleDict,
    catalog: Catalog,
    store: Inputs,
    config: Mapping[str, Any],
    settings: AuthenticitySettings,
) -> Objective[ListingBatch]:
    """Eq. 2 for ssa's three: cross entropy on the decided listings + lambda * Eq. 3 on all; see `SsaNet` for what `ssa`
    judges besides, and `ListingNet` for the other systems. An epoch takes every listing once, and those with a verdict
    more often where they are few (`balanced`).

    The validation score is the area under the ROC curve: which probability separates the verdicts is settled after
    training (calibration, costs), and accuracy moves in coarse steps where validation listings are few.

    Args:
        parts: See `training_module`.
        catalog: Whose listings; its `train` and `validation` rows are used.
        store: The photos of its rows, in order.
        config: Of the net.
        settings: Of the training.
    """
    net = parts["net"]
    assert isinstance(net, ListingNet)
    everything = bags_of(catalog.table)
    different = could_be_judged([bag for bag in everything if bag.split == "train"], catalog.table)
    bags = balanced(different)
    validation = [bag for bag in everything if bag.split == "validation" and bag.verdict]
    sizes = np.array([len(bag) for bag in bags])
    verdicts = torch.tensor([LABELS.index(bag.verdict) if bag.verdict else UNLABELLED for bag in bags])
    labelled = (verdicts != UNLABELLED).numpy()
    targets = 1 - verdicts.float()  # P(authentic)
    targets[verdicts == UNLABELLED] = 0.5
    weights = torch.where(verdicts == UNLABELLED, settings.undecided_weight, 1.0)
    decided = sum(bool(bag.verdict) for bag in different)
    print(f"{decided} listings with a verdict and {len(different) - decided} without to learn from", flush=True)

    def batches(epoch: int, first_step: int) -> Iterator[tuple[ListingBatch, Tensor]]:
        drawn = bag_batches(sizes, labelled, settings.batch_size, settings.seed, epoch)[first_step:]
        photos = store.batches(rows_of(bags, batch) for batch in drawn)
        return ((batch, pixels) for batch, (_, pixels) in zip(drawn, photos, strict=True))

    def loss(epoch: int, step: int, indices: ListingBatch, views: Sequence[Tensor], device: torch.device) -> Tensor:
        lengths = torch.from_numpy(sizes[indices])
        numbers = view_numbers([bags[i] for i in indices], config["views"]).to(device)
        output = net(views[0], lengths, numbers)
        if "prototypes" not in parts:
            return net.loss(output, lengths, targets[indices].to(device), weights[indices].to(device))
        batch_verdicts = verdicts[indices].to(device)
        is_decided = batch_verdicts != UNLABELLED
        judged = sum(
            F.cross_entropy(logits.float(), batch_verdicts, ignore_index=UNLABELLED, reduction="sum")
            for logits in (output.logits, *output.branches)
        )
        pull = parts["prototypes"](output.features, batch_verdicts)
        return judged / is_decided.sum().clamp(min=1) + settings.lambda_ * pull

    noted: dict[str, float] = {}

    def score() -> float | None:
        if len({bag.verdict for bag in validation}) < 2:
            return None
        asked = ask(net, store, validation, config["views"])
        if asked.attention is not None:
            spread = attention_entropy(
                torch.from_numpy(np.concatenate(asked.attention)), torch.tensor([len(bag) for bag in validation])
            )
            noted["attention_entropy"] = float(spread.nanmean())
        return area_under_curve(asked.score, np.array([bag.verdict == LABELS[0] for bag in validation]))

    return Objective(
        steps_of_epoch(sizes, settings.batch_size),
        batches,
        loss,
        score,
        store,
        settings.seed,
        figures=lambda: noted,
        tolerance=settings.tolerance,
    )


def finish(
    net: ListingNet, catalog: Catalog, store: Inputs, config: Mapping[str, Any], settings: AuthenticitySettings
) -> tuple[dict[str, float], dict[str, Any]]:
    """Calibrates on the validation listings (the training listings where there are none), and sets the thresholds.

    Returns:
        Metrics, and what config.json says of the calibration.
    """
    decided = [bag for bag in bags_of(catalog.table) if bag.verdict]
    bags = [bag for bag in decided if bag.split == "validation"] or [bag for bag in decided if bag.split == "train"]
    asked = ask(net, store, bags, config["views"])
    truth = np.array([bag.verdict == LABELS[0] for bag in bags])
    calibration = {"listing": fit_platt(asked.score, truth)}
    if asked.photo_score is not None:
        photo_truth = np.repeat(truth, [len(bag) for bag in bags])
        calibration["photo"] = fit_platt(np.concatenate(asked.photo_score), photo_truth)
    slope, bias = calibration["listing"]
    metrics = {"validation/accuracy": float(((slope * asked.score + bias > 0) == truth).mean())}
    if 0 < truth.sum() < len(truth):
        metrics["validation/auc"] = area_under_curve(asked.score, truth)
    costs = Costs(settings.accept_counterfeit, settings.refuse_authentic, settings.ask)
    return metrics, {"calibration": calibration, "thresholds": choose_thresholds(costs)}
