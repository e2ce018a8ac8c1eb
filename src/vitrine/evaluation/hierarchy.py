"""How far mistakes lie from the truth in the tree, and whether separately predicted levels agree."""

from collections.abc import Sequence

import numpy as np

from vitrine.predictions import LabelPredictions


def steps_up(truth: str, predicted: str) -> int:
    """Levels from the true node up to the lowest node that the prediction lies below too; 0 for a right one.

    1: a sibling was predicted; the depth of the tree: not even the root is right. (The height of the lowest common
    ancestor: Bertinetto et al., Making Better Mistakes, CVPR 2020, Section 3.)

    >>> steps_up("Apparel/Topwear/Shirts", "Apparel/Topwear/Tops"), steps_up("Apparel/Topwear/Shirts", "Footwear")
    (1, 3)
    """
    true, path = truth.split("/"), predicted.split("/")
    shared = 0
    while shared < min(len(true), len(path)) and true[shared] == path[shared]:
        shared += 1
    return len(true) - shared if truth != predicted else 0


def mistakes(target: LabelPredictions) -> np.ndarray:
    """`steps_up` of every photo with a true node whose top-1 prediction is another one, (mistakes,)."""
    return np.array([steps for steps, _ in _mistakes(target)], dtype=np.int64)


def mistake_height(target: LabelPredictions) -> float | None:
    """Mean over the mistakes of `steps_up` as a share of the true path's levels, 0..1; None without mistakes."""
    shares = [steps / depth for steps, depth in _mistakes(target)]
    return float(np.mean(shares)) if shares else None


def _mistakes(target: LabelPredictions) -> list[tuple[int, int]]:
    """Of every mistake the steps up, and the levels of the true path."""
    best = target.scores.argmax(axis=1)
    severities = [
        (steps_up(truth[0], target.labels[predicted]), truth[0].count("/") + 1)
        for truth, predicted in zip(target.truth, best, strict=True)
        if truth
    ]
    return [(steps, depth) for steps, depth in severities if steps]


def agreement(levels: Sequence[LabelPredictions]) -> np.ndarray:
    """Whether the top-1 predictions of separately predicted levels form one path, (photos,), bool.

    Args:
        levels: At least one, coarse to fine.
    """
    best = [[target.labels[i] for i in target.scores.argmax(axis=1)] for target in levels]
    deepest = best[-1]
    return np.array(
        [
            all(leaf == level_labels[row] or leaf.startswith(f"{level_labels[row]}/") for level_labels in best[:-1])
            for row, leaf in enumerate(deepest)
        ],
        dtype=bool,
    )
