"""From a net's logits to the probabilities of every level of the tree, which agree with each other, and the truth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vitrine.catalog.tree import CategoryTree
from vitrine.data.truth import LabelTarget, attribute_truth
from vitrine.inference import probabilities
from vitrine.predictions import LabelPredictions
from vitrine.tasks.taxonomy.net import HEAT, LEAF
from vitrine.tasks.taxonomy.systems import level_task


def label_targets(config: Mapping[str, Any], table: pd.DataFrame) -> list[LabelTarget]:
    """Each task of the net: its name, the labels that may be true of every row, the labels it can predict.

    A category that stops at an inner node may be any node below it.
    """
    tree = CategoryTree(config["leaves"])
    paths = _paths(table)
    asked: list[LabelTarget] = []
    for level in [*config.get("levels", ()), tree.depth]:
        below = {path: tree.possible(path, level) for path in set(paths)}
        name = LEAF if level == tree.depth else level_task(level)
        asked.append((name, [below[path] for path in paths], tree.level(level)))
    for kind, labels in config["labels"].items():
        asked.append((f"attr:{kind}", attribute_truth(table, kind), labels))
    return asked


def labelled_targets(config: Mapping[str, Any], table: pd.DataFrame) -> list[LabelTarget]:
    """As `label_targets`, for measuring: a row has a label of those levels only that its category reaches."""
    tree = CategoryTree(config["leaves"])
    paths = _paths(table)
    levels = iter([*config.get("levels", ()), tree.depth])
    return [
        (name, truth if name.startswith("attr:") else _truth(tree, paths, next(levels)), labels)
        for name, truth, labels in label_targets(config, table)
    ]


def label_predictions(
    config: Mapping[str, Any], scores: Mapping[str, np.ndarray], table: pd.DataFrame, temperatures: Mapping[str, float]
) -> list[LabelPredictions]:
    """The net's predictions: every level of the tree, coarse to fine, then the attributes it learnt.

    A coarser level is predicted by adding up the probabilities of the leaves below each node, so probabilities agree;
    the answers of a photo form one path wherever the likeliest leaf lies below the likeliest node.
    """
    tree = CategoryTree(config["leaves"])
    leaves = probabilities(scores[LEAF], temperatures[LEAF], leaf_offsets(config))
    paths = _paths(table)
    asked = [
        _target(f"level{level}", tree.level(level), leaves @ tree.membership(level), _truth(tree, paths, level))
        for level in range(1, tree.depth + 1)
    ]
    for kind, labels in config["labels"].items():
        name = f"attr:{kind}"
        asked.append(
            _target(name, labels, probabilities(scores[name], temperatures[name]), attribute_truth(table, kind))
        )
    return asked


def separate_levels(
    config: Mapping[str, Any], scores: Mapping[str, np.ndarray], table: pd.DataFrame, temperatures: Mapping[str, float]
) -> list[LabelPredictions]:
    """What each level's own branch or net predicts, the deepest last, as Eq. 1 has it: these may contradict each other.

    Empty where only the leaves are predicted.
    """
    if not config.get("levels"):
        return []
    tree = CategoryTree(config["leaves"])
    paths = _paths(table)
    asked = []
    for level in [*config.get("levels", ()), tree.depth]:
        name = LEAF if level == tree.depth else level_task(level)
        values = probabilities(scores[name], temperatures[name])
        if name == LEAF:
            values = probabilities(scores[LEAF], temperatures[LEAF], leaf_offsets(config))
        asked.append(_target(f"level{level}", tree.level(level), values, _truth(tree, paths, level)))
    return asked


def heat_maps(scores: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Where a salient-sensitive net looked in each photo, (photos, rows, columns); None for the others."""
    return scores.get(HEAT)


def leaf_offsets(config: Mapping[str, Any]) -> np.ndarray:
    """- tau log pi, added to each leaf's score over its temperature, (leaves,); 0 without balance. See `balance`."""
    return -np.asarray(config.get("balance", 0.0))


def _target(name: str, labels: Sequence[str], scores: np.ndarray, truth: list[list[str]]) -> LabelPredictions:
    return LabelPredictions(name, labels, scores, scores.max(axis=1), truth)


def _paths(table: pd.DataFrame) -> list[str]:
    return table["category"].tolist() if "category" in table else [""] * len(table)


def _truth(tree: CategoryTree, paths: Sequence[str], level: int) -> list[list[str]]:
    """The true node at a level; a category the net never saw is kept, to count as a miss."""
    nodes = {path: tree.node(path, level) for path in set(paths)}
    return [[nodes[path]] if nodes[path] else [] for path in paths]
