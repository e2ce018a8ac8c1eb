"""Which rows a step sees. Every order is a function of (seed, epoch) alone, so a resumed training repeats it."""

from collections.abc import Sequence

import numpy as np


def shuffled(rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """All rows once, shuffled, in batches; a last batch of one joins the one before (batch norm needs two)."""
    order = np.random.default_rng((seed, epoch)).permutation(rows)
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        last = batches.pop()
        batches[-1] = np.concatenate([batches[-1], last])
    return batches


def class_balanced(
    rows_of_class: Sequence[np.ndarray], batch_size: int, steps: int, seed: int, epoch: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches of (rows, classes) where every class is equally likely, whatever its number of photos.

    Within a class all photos are seen before any is seen again.

    Args:
        rows_of_class: For each class the rows that carry it, none empty. A row may carry several.
        batch_size: Rows per batch.
        steps: Batches.
        seed: Of the training.
        epoch: Counted from 0.
    """
    random = np.random.default_rng((seed, epoch))
    count = batch_size * steps
    classes = np.concatenate([random.permutation(len(rows_of_class)) for _ in range(-(-count // len(rows_of_class)))])[
        :count
    ]
    rows = np.empty(count, np.int64)
    for label, members in enumerate(rows_of_class):
        places = np.flatnonzero(classes == label)
        turns = [random.permutation(members) for _ in range(-(-len(places) // len(members)))]
        if turns:
            rows[places] = np.concatenate(turns)[: len(places)]
    return list(zip(np.split(rows, steps), np.split(classes, steps), strict=True))
