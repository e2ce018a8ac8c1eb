"""Which rows a step sees. Every order is a function of (seed, epoch) alone, so a resumed training repeats it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def shuffled(rows: np.ndarray, batch_size: int, seed: int, epoch: int, views: int = 1) -> list[np.ndarray]:
    """All rows `views` times, shuffled, in batches; a last batch of one joins the one before (batch norm needs two).

    No row comes again before all have come.
    """
    order = in_turns(rows, len(rows) * views, np.random.default_rng((seed, epoch)))
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
        rows[places] = in_turns(members, len(places), random)
    return list(zip(np.split(rows, steps), np.split(classes, steps), strict=True))


@dataclass(frozen=True)
class Mixture:
    """What one step of a student sees. Each is (n,).

    Attributes:
        rows: Of the photos.
        corrupted: Whether the photo is to be corrupted.
        draws: A random number a photo, for what is drawn about it.
    """

    rows: np.ndarray
    corrupted: np.ndarray
    draws: np.ndarray


def mixed(
    own_rows: np.ndarray,
    annotated: Sequence[np.ndarray],
    further: np.ndarray,
    shares: tuple[float, float, float],
    views: int,
    batch_size: int,
    seed: int,
    epoch: int,
) -> list[Mixture]:
    """Batches of an epoch that shows every own photo `views` times, and so many others that these make up their shares.

    No view of a photo follows on another before all photos had theirs.

    Args:
        own_rows: Rows of the catalog's training photos.
        annotated: For each attribute type the own rows annotated for it; types are drawn evenly.
        further: Rows of the unlabelled catalogs' photos.
        shares: Of all photos: those drawn from `annotated`, those from `further`, those that are corrupted, which are
            drawn from `own_rows` and `further`. What there is nothing to draw from has no share.
        views: How often an own photo is shown clean and whatever its labels.
        batch_size: Rows per batch; a last batch of one joins the one before.
        seed: Of the training.
        epoch: Counted from 0.
    """
    random = np.random.default_rng((seed, epoch))
    annotated = [rows for rows in annotated if len(rows)]
    labelled_share = shares[0] if annotated else 0.0
    further_share = shares[1] if len(further) else 0.0
    whole = len(own_rows) * views / (1 - labelled_share - further_share - shares[2])
    counts = [round(whole * share) for share in (labelled_share, further_share, shares[2])]
    of_type = random.permutation(np.arange(counts[0]) % max(1, len(annotated)))
    parts = [
        in_turns(own_rows, len(own_rows) * views, random),
        *(in_turns(rows, int((of_type == i).sum()), random) for i, rows in enumerate(annotated)),
        in_turns(further, counts[1], random),
        in_turns(np.concatenate([own_rows, further]), counts[2], random),
    ]
    rows = np.concatenate(parts)
    corrupted = np.arange(len(rows)) >= len(rows) - counts[2]
    draws = random.integers(2**62, size=len(rows))
    # Shuffled within each view: a window of the epoch holds about as much of everything as the whole.
    places = np.concatenate([(np.arange(len(part)) + random.random(len(part))) / max(1, len(part)) for part in parts])
    order = np.argsort(places, kind="stable")
    starts = list(range(0, len(order), batch_size))
    if len(starts) > 1 and len(order) - starts[-1] == 1:
        starts.pop()
    cuts = np.split(order, starts[1:])
    return [Mixture(rows[cut], corrupted[cut], draws[cut]) for cut in cuts]


def in_turns(rows: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """So many of the rows, shuffled, each once before any comes again."""
    if not count:
        return rows[:0]
    return np.concatenate([random.permutation(rows) for _ in range(-(-count // len(rows)))])[:count]
