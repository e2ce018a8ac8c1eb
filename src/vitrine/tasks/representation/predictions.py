"""From a net's logits to predictions of the trained level and those above it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from vitrine.catalog.tree import CategoryTree
from vitrine.inference import probabilities
from vitrine.predictions import LabelPredictions
from vitrine.tasks.representation.net import SUPER


def label_predictions(
    config: Mapping[str, Any], scores: Mapping[str, np.ndarray], table: pd.DataFrame, temperatures: Mapping[str, float]
) -> list[LabelPredictions]:
    """The trained level and those above it, coarse to fine; a coarser node is as likely as all its classes together."""
    if SUPER not in scores:
        return []
    tree = CategoryTree(config["leaves"])
    classes = probabilities(scores[SUPER], temperatures[SUPER])
    paths = table["category"].tolist() if "category" in table else [""] * len(table)
    asked = []
    for level in range(1, config["level"] + 1):
        labels = tree.level(level)
        member = np.array([[_below(name, node) for node in labels] for name in config["classes"]], np.float64)
        nodes = classes @ member
        truth = [[node] if (node := tree.node(path, level)) else [] for path in paths]
        asked.append(LabelPredictions(f"level{level}", labels, nodes, nodes.max(axis=1), truth))
    return asked


def _below(name: str, node: str) -> bool:
    return name == node or name.startswith(f"{node}/")
