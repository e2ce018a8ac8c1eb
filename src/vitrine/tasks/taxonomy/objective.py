"""What a taxonomy net is taught (Chen et al., Structure-Aware Deep Learning, Section 3.4, Eq. 5-7)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitrine.blocks.logit_adjustment import logit_offsets
from vitrine.blocks.mixup import mixup
from vitrine.blocks.multitask import (
    annotated_cross_entropy,
    attribute_weights,
    level_weights,
    subtree_cross_entropy,
)
from vitrine.catalog import Catalog
from vitrine.data.inputs import Inputs
from vitrine.data.sampling import shuffled
from vitrine.data.truth import label_matrix, labelled_accuracy
from vitrine.errors import InputError, did_you_mean
from vitrine.inference import run_net
from vitrine.tasks.taxonomy.balance import choose_balance
from vitrine.tasks.taxonomy.net import LEAF, TaxonomyNet
from vitrine.tasks.taxonomy.predictions import label_targets, labelled_targets
from vitrine.tasks.taxonomy.settings import TaxonomySettings
from vitrine.training.objective import Objective


def objective(
    net: TaxonomyNet, catalog: Catalog, store: Inputs, config: Mapping[str, Any], settings: TaxonomySettings
) -> Objective[np.ndarray]:
    """Eq. 5: the weighted sum of the tasks' losses, each over the photos annotated for it.

    A photo whose category stops at an inner node teaches the levels it has, and below them that one of the nodes under
    it is right. Photos without any label are left out. Where photos are blended (`mixup`), a blend is taught what
    either photo is, by its share.

    Raises:
        InputError: if the settings weigh a task that there is none of.
    """
    split = catalog.table["split"].to_numpy()
    matrices = {
        name: label_matrix(true_labels, labels) for name, true_labels, labels in label_targets(config, catalog.table)
    }
    labelled = np.any([matrix.any(axis=1) for matrix in matrices.values()], axis=0)
    train = np.flatnonzero((split == "train") & labelled)
    leaves, truth = next(
        (labels, leaf_truth) for name, leaf_truth, labels in labelled_targets(config, catalog.table) if name == LEAF
    )
    validation = np.flatnonzero((split == "validation") & np.array([bool(names) for names in truth]))
    true_leaves = [truth[row] for row in validation]
    weights = task_weights(matrices, train, settings)
    categories = {name: torch.from_numpy(matrix) for name, matrix in matrices.items() if not name.startswith("attr:")}
    states = {
        name: torch.from_numpy(_distribution(matrix)) for name, matrix in matrices.items() if name.startswith("attr:")
    }
    offsets = logit_offsets(_distribution(matrices[LEAF][train]).sum(axis=0).tolist(), settings.logit_adjustment)

    def rows_of(epoch: int) -> list[np.ndarray]:
        return shuffled(train, settings.batch_size, settings.seed, epoch, settings.views)

    def batches(epoch: int, first_step: int) -> Iterable[tuple[np.ndarray, Tensor]]:
        return store.batches(rows_of(epoch)[first_step:])

    def loss(epoch: int, step: int, rows: np.ndarray, views: Sequence[Tensor], device: torch.device) -> Tensor:
        blends, partners, share = mixup(views[0], settings.mixup, (settings.seed, epoch, step))
        _, scores = net(blends)
        own = weighted_losses(scores, rows, device)
        if not settings.mixup:
            return own
        return share * own + (1 - share) * weighted_losses(scores, rows[partners.cpu().numpy()], device)

    def weighted_losses(scores: Mapping[str, Tensor], rows: np.ndarray, device: torch.device) -> Tensor:
        terms = []
        for name, allowed in categories.items():
            leaf = name == LEAF
            logits = scores[name] + offsets.to(device) if leaf and settings.logit_adjustment else scores[name]
            smoothing = settings.label_smoothing if leaf else 0.0
            terms.append(weights[name] * subtree_cross_entropy(logits, allowed[rows].to(device), smoothing))
        for name, distribution in states.items():
            terms.append(weights[name] * annotated_cross_entropy(scores[name], distribution[rows].to(device)))
        return torch.stack(terms).sum()

    def score() -> float | None:
        if not len(validation):
            return None
        return labelled_accuracy(run_net(net, store, validation)[1][LEAF], true_leaves, leaves)[0]

    return Objective(len(rows_of(0)), batches, loss, score, store, settings.seed, scored="leaf top1")


def balance(net: nn.Module, catalog: Catalog, store: Inputs, config: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Chooses tau of `choose_balance` on the validation photos.

    Returns:
        `balance`, what config.json keeps of it, and Markdown for the card. Nothing where there are no such photos.
    """
    split = catalog.table["split"].to_numpy()
    _, truth, leaves = next(task for task in label_targets(config, catalog.table) if task[0] == LEAF)
    allowed = label_matrix(truth, leaves)
    rows = np.flatnonzero((split == "validation") & (allowed.sum(axis=1) == 1))
    if not len(rows):
        return {}, ""
    counts = _distribution(allowed[split == "train"]).sum(axis=0)
    balance_chosen = choose_balance(run_net(net, store, rows)[1][LEAF], allowed[rows], counts)
    lines = [
        f"| {tau:g} | {100 * top1:.1f} | {100 * macro:.1f} |" for tau, (top1, macro) in balance_chosen.tried.items()
    ]
    chosen = (
        f"tau = {balance_chosen.tau:g}, the least that no other beats by more than a standard error of macro_top1\n"
    )
    head = ["\n## Balance\n", chosen, "| tau | validation top1 | macro_top1 |", "| --- | --- | --- |"]
    return {"balance": balance_chosen.offsets}, "\n".join([*head, *lines, ""])


def task_weights(
    matrices: Mapping[str, np.ndarray], train: Sequence[int] | np.ndarray, settings: TaxonomySettings
) -> dict[str, float]:
    """lambda_i of Eq. 5 and gamma_j of Eq. 7: from counts, unless the settings name them.

    Args:
        matrices: For each task which labels may be true of each row, (rows, m), bool.
        train: The rows to count.
        settings: `attribute_weight`, `level_weight`, `task_weights`.

    Raises:
        InputError: if the settings weigh a task that there is none of.
    """
    nodes = {name: matrix.shape[1] for name, matrix in matrices.items() if name.startswith("level")}
    annotated = {
        name: int(matrix[train].any(axis=1).sum()) for name, matrix in matrices.items() if name.startswith("attr:")
    }
    weights = {
        LEAF: 1.0,
        **level_weights(nodes, matrices[LEAF].shape[1], settings.level_weight),
        **attribute_weights(annotated, settings.attribute_weight),
    }
    for text in settings.task_weights:
        name, _, value = text.rpartition("=")
        if name not in weights:
            raise InputError(f"--set task_weights={text}: no such task; {did_you_mean(name, weights, 'has')}")
        try:
            weights[name] = float(value)
        except ValueError as error:
            raise InputError(f"--set task_weights={text}: {value!r} is not a number") from error
        if not 0 <= weights[name] < np.inf:
            raise InputError(f"--set task_weights={text}: a weight is a number from 0 on")
    return weights


def _distribution(matrix: np.ndarray) -> np.ndarray:
    """Rows of booleans to rows that sum to 1 (or to 0 where nothing is annotated)."""
    return (matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)).astype(np.float32)
