"""Label columns as arrays."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vitrine.catalog import ATTRIBUTE_PREFIX, Catalog, attribute_types, labels_of

# A target's name, the true labels of every row, the labels that can be predicted.
LabelTarget = tuple[str, list[list[str]], Sequence[str]]


def attribute_truth(table: pd.DataFrame, kind: str) -> list[list[str]]:
    """Per row the labels of an attribute type; empty where not annotated (or there is no such column)."""
    column = ATTRIBUTE_PREFIX + kind
    if column not in table:
        return [[] for _ in range(len(table))]
    return [labels_of(cell) for cell in table[column]]


def labels_seen(table: pd.DataFrame, kind: str) -> list[str]:
    """The labels of an attribute type that some row carries, sorted."""
    return sorted({label for names in attribute_truth(table, kind) for label in names})


def teachable_types(catalog: Catalog) -> list[str]:
    """The attribute types with at least two labels among training photos."""
    table = catalog.of_split("train").table
    return [kind for kind in attribute_types(table) if len(labels_seen(table, kind)) > 1]


def label_matrix(truth: Sequence[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """Which rows carry which labels: (rows, labels), bool. Labels outside `labels` are left out."""
    place = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(truth), len(labels)), bool)
    for row, names in enumerate(truth):
        for label in names:
            if label in place:
                matrix[row, place[label]] = True
    return matrix


def labelled_accuracy(
    scores: np.ndarray, truth: Sequence[Sequence[str]], labels: Sequence[str]
) -> tuple[float | None, int]:
    """Share of rows with a label whose best-scored label is one of theirs, and how many such rows there are.

    A row whose label is none of `labels` counts as predicted wrongly. The share is None without rows.

    Args:
        scores: (rows, labels).
        truth: Per row the true labels; none = not annotated.
        labels: Those that can be predicted.
    """
    annotated = np.array([bool(names) for names in truth], dtype=bool)
    if not annotated.any():
        return None, 0
    right = label_matrix(truth, labels)[np.arange(len(scores)), scores.argmax(axis=1)]
    return float(right[annotated].mean()), int(annotated.sum())


def top1_accuracy(scores: np.ndarray, matrix: np.ndarray) -> float | None:
    """Share of rows with a label whose best-scored label is one of theirs; None if no row has one.

    Args:
        scores: (rows, labels).
        matrix: (rows, labels), bool.
    """
    annotated = matrix.any(axis=1)
    if not annotated.any():
        return None
    return float(matrix[annotated, scores[annotated].argmax(axis=1)].mean())
