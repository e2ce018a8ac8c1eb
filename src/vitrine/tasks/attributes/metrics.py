"""Figures of attribute predictions: recall and F1 among the k best labels of each type (MTSS, Tables 2-4)."""

from collections.abc import Callable, Mapping

import numpy as np

from vitrine.evaluation.metrics import TrueRanks, f1, label_metrics, mean, recall
from vitrine.predictions import PhotoPredictions

RECALL_AT = (1, 3, 5)


def attribute_metrics(predictions: PhotoPredictions) -> dict[str, float]:
    """`measure` of the predictions, `count` and `seconds_per_1000_images`.

    Raises:
        InputError: if no photo is annotated.
    """
    return label_metrics(predictions, measure)


def measure(ranks: Mapping[str, TrueRanks], weights: np.ndarray | None) -> dict[str, float]:
    """`attr:<type>/recall@1|3|5` and `/f1@1|3|5`, and their means over types without prefix.

    Args:
        ranks: By target.
        weights: (photos,) how often each counts; None: once.
    """
    values: dict[str, float] = {}
    formulas: tuple[tuple[str, Callable[..., float]], ...] = (("recall", recall), ("f1", f1))
    for key, formula in formulas:
        for k in RECALL_AT:
            per_type = {name: formula(rank, k, weights) for name, rank in ranks.items()}
            values[f"{key}@{k}"] = mean(list(per_type.values()))
            values |= {f"{name}/{key}@{k}": value for name, value in per_type.items()}
    return values
