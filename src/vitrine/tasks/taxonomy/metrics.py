"""Figures of category predictions: top-k accuracy of every level, over photos and over classes, and of the tree."""

from collections.abc import Mapping

import numpy as np

from vitrine.evaluation.hierarchy import agreement, mistake_height
from vitrine.evaluation.metrics import TrueRanks, label_metrics, macro_topk, topk
from vitrine.predictions import PhotoPredictions


def taxonomy_metrics(predictions: PhotoPredictions) -> dict[str, float]:
    """`measure`, and of the tree `mistake_height` and `consistency`.

    `mistake_height` is that of the deepest level's mistakes, where there are any; `consistency` the share of photos
    whose separately predicted levels form one path, where levels are predicted separately.

    Raises:
        InputError: if no photo is annotated.
    """
    values = label_metrics(predictions, measure)
    levels = [target for target in predictions.targets if target.name.startswith("level") and any(target.truth)]
    height = mistake_height(levels[-1]) if levels else None
    if height is not None:
        values["mistake_height"] = height
    if len(predictions.separate) > 1:
        values["consistency"] = float(agreement(predictions.separate).mean())
    return values


def measure(ranks: Mapping[str, TrueRanks], weights: np.ndarray | None) -> dict[str, float]:
    """`level<i>/top1|top5|macro_top1|macro_top5`, the same of the deepest level without prefix, `attr:<type>/top1`.

    Args:
        ranks: By target; levels come coarse to fine.
        weights: (photos,) how often each counts; None: once.
    """
    values: dict[str, float] = {}
    for name, rank in ranks.items():
        if name.startswith("level"):
            level = {
                "top1": topk(rank, 1, weights),
                "top5": topk(rank, 5, weights),
                "macro_top1": macro_topk(rank, 1, weights),
                "macro_top5": macro_topk(rank, 5, weights),
            }
            values |= level  # the deepest one, which comes last, stays
            values |= {f"{name}/{key}": value for key, value in level.items()}
        else:
            values[f"{name}/top1"] = topk(rank, 1, weights)
    return values
