"""Accuracy, recall and F1 among the k best labels, and their intervals.

Tied scores have no order, so a tie counts with the probability that a random order would make it a hit: a model that
scores every label alike gets chance, never 1.0. A true label that the model does not know is a miss.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitrine.errors import InputError
from vitrine.predictions import LabelPredictions, PhotoPredictions

ROWS_AT_ONCE = 4096  # bounds the (pairs, C) comparison


@dataclass(frozen=True)
class TrueRanks:
    """Where each true label stands among a question's scores. One entry per (photo, true label) pair.

    Attributes:
        photo: (pairs,) index of the photo.
        label: (pairs,) index into `names`.
        names: The labels that are true of some photo, those the model knows first.
        above: (pairs,) number of labels with a higher score; infinite for a label the model does not know.
        tied: (pairs,) number of labels with the same score, itself included.
        together: (pairs,) how many of those are true of the photo.
        labels: C, the labels the model can predict.
        photos: Photos asked, annotated or not.
    """

    photo: np.ndarray
    label: np.ndarray
    names: tuple[str, ...]
    above: np.ndarray
    tied: np.ndarray
    together: np.ndarray
    labels: int
    photos: int

    def hits(self, k: int) -> np.ndarray:
        """(pairs,) probability that the true label is among the k best: clip((k - above) / tied, 0, 1)."""
        return np.clip((k - self.above) / self.tied, 0.0, 1.0)


def true_ranks(target: LabelPredictions) -> TrueRanks:
    """Ranks every true label of every photo.

    A label named twice for one photo counts once. A score that is not a number is a miss.

    Raises:
        ValueError: if scores are not (photos, C).
    """
    photos, labels = len(target.truth), len(target.labels)
    if target.scores.shape != (photos, labels):
        raise ValueError(f"{target.name}: scores are {target.scores.shape}, not ({photos}, {labels})")
    column_of = {label: i for i, label in enumerate(target.labels)}
    pairs = [(i, name) for i, names in enumerate(target.truth) for name in dict.fromkeys(names)]
    photo = np.array([i for i, _ in pairs], dtype=np.int64)
    column = np.array([column_of.get(name, -1) for _, name in pairs], dtype=np.int64)
    above, tied = np.empty(len(pairs)), np.empty(len(pairs))
    for start in range(0, len(pairs), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        scores = target.scores[photo[part]].astype(np.float64)  # (part, C)
        true_score = scores[np.arange(len(scores)), column[part]][:, None]  # an unknown label's -1 is overwritten below
        above[part] = (scores > true_score).sum(axis=1)
        tied[part] = (scores == true_score).sum(axis=1)
    missed = (column < 0) | (tied == 0)  # unknown to the model, or NaN (which equals nothing)
    above[missed], tied[missed] = np.inf, 1
    true_names = {name for _, name in pairs}
    names = [name for name in target.labels if name in true_names] + sorted(true_names - column_of.keys())
    place = {name: i for i, name in enumerate(names)}
    groups = np.stack([photo, above])  # true labels of one photo with one score
    _, group, size = np.unique(groups, axis=1, return_inverse=True, return_counts=True)
    together = np.where(missed, 1, size[group.reshape(-1)]) if pairs else np.ones(0)
    label = np.array([place[name] for _, name in pairs], dtype=np.int64)
    return TrueRanks(photo, label, tuple(names), above, tied, together, labels, photos)


Measure = Callable[[Mapping[str, TrueRanks], np.ndarray | None], dict[str, float]]


def label_metrics(predictions: PhotoPredictions, measure: Measure) -> dict[str, float]:
    """A task's figures of labels, with `count` (photos asked), `<target>/count` (photos with a label of that level or
    type, over which its figures are) and `seconds_per_1000_images`.

    Args:
        predictions: Targets without any annotated photo are left out.
        measure: The true ranks of each target, and how often each photo counts ((photos,); None: once), to figures.

    Raises:
        InputError: if no photo is annotated for anything that was predicted.
    """
    return _measured(predictions, _all_ranks(predictions), measure)


def bootstrap_intervals(
    predictions: PhotoPredictions, measure: Measure, units: np.ndarray, draws: int = 200, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % interval of every figure of `label_metrics` that depends on which photos happened to be in the test set.

    Percentile bootstrap over units, all predictions about a unit's photos together. A class or type that a draw misses
    is left out of that draw's mean.

    Args:
        predictions: Of the test set.
        measure: See `label_metrics`.
        units: (photos,) whole numbers: photos of one product are no independent trials, see `units_of`.
        draws: Of the bootstrap.
        seed: Of the draws.
    """
    ranks = _all_ranks(predictions)
    measured: dict[str, list[float]] = {}
    for weights in drawn_weights(units, draws, seed):
        for key, value in measure(ranks, weights).items():
            measured.setdefault(key, []).append(value)
    intervals = {}
    for key, values in measured.items():
        low, high = np.nanquantile(values, [0.025, 0.975])
        intervals[key] = (float(low), float(high))
    return intervals


def drawn_weights(units: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row counts in each draw of a bootstrap over units, (rows,)."""
    generator = np.random.default_rng(seed)
    _, unit = np.unique(units, return_inverse=True)
    count = int(unit.max(initial=-1)) + 1
    for _ in range(draws):
        yield np.bincount(generator.integers(count, size=count), minlength=count)[unit]


def _all_ranks(predictions: PhotoPredictions) -> dict[str, TrueRanks]:
    ranks = {target.name: true_ranks(target) for target in predictions.targets if any(target.truth)}
    if not ranks:
        named = ", ".join(target.name for target in predictions.targets) or "nothing"
        raise InputError(f"nothing to measure: none of {len(predictions.images)} photos is annotated for {named}")
    return ranks


def _measured(predictions: PhotoPredictions, ranks: Mapping[str, TrueRanks], measure: Measure) -> dict[str, float]:
    values = measure(ranks, None)
    values |= {f"{name}/count": float(len(np.unique(of_target.photo))) for name, of_target in ranks.items()}
    values["count"] = float(len(predictions.images))
    values["seconds_per_1000_images"] = 1000.0 * predictions.seconds / len(predictions.images)
    return values


def topk(ranks: TrueRanks, k: int, weights: np.ndarray | None = None) -> float:
    """Share of annotated photos with a true label among the k best.

    With several true labels a photo is a hit as soon as one of them is found: it counts by the best-scored one, and a
    tie group that holds several has several chances. NaN if no photo is annotated.

    >>> scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5]])
    >>> target = LabelPredictions("level1", ["hat", "shirt", "shoe"], scores, scores.max(1), [["hat"], ["shoe"], []])
    >>> topk(true_ranks(target), 1), topk(true_ranks(target), 2)
    (0.5, 1.0)
    """
    best = np.full(ranks.photos, np.inf)
    np.minimum.at(best, ranks.photo, ranks.above)
    lead = ranks.above == best[ranks.photo]
    slots = np.clip(k - ranks.above, 0, ranks.tied)  # places of the k best that the tie group gets
    none = np.ones(len(ranks.photo))
    for taken in range(k if len(slots) else 0):
        left = np.clip(ranks.tied - ranks.together - taken, 0, None) / np.maximum(ranks.tied - taken, 1)
        none *= np.where(taken < slots, left, 1.0)
    hit = np.full(ranks.photos, np.nan)
    hit[ranks.photo[lead]] = (1.0 - none)[lead]
    annotated = ~np.isnan(hit)
    share = np.ones(ranks.photos) if weights is None else weights
    return _ratio((hit[annotated] * share[annotated]).sum(), share[annotated].sum())


def macro_topk(ranks: TrueRanks, k: int, weights: np.ndarray | None = None) -> float:
    """Mean over true classes of the class's own top-k accuracy (MACC), so that rare classes weigh as much as common.

    acc_c = |{photos of c with c among the k best}| / |photos of c|;  MACC = mean_c acc_c. Classes without a photo are
    left out; a class the model does not know has accuracy 0. `weights` (photos,) say how often each photo
    counts; None: once.

    >>> scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    >>> truth = [["hat"], ["hat"], ["hat"], ["shoe"]]
    >>> macro_topk(true_ranks(LabelPredictions("level1", ["hat", "shoe"], scores, scores.max(1), truth)), 1)
    0.5
    """
    share = _pair_weights(ranks, weights)
    hits = np.bincount(ranks.label, ranks.hits(k) * share, minlength=len(ranks.names))
    count = np.bincount(ranks.label, share, minlength=len(ranks.names))
    return mean(hits[count > 0] / count[count > 0])


def recall(ranks: TrueRanks, k: int, weights: np.ndarray | None = None) -> float:
    """R@k = labels found / true labels, pooled over the annotated photos.

    found = sum over photos |true labels among the k best|. This is the top-k recall of DeepFashion (Liu et al., CVPR
    2016), which MTSS reports. That MTSS pools labels, and does not average a ratio per photo, follows from its
    Table 2: pooled F1@k = 2 R@k a / (k + a), a the true labels per photo, and its three rows give a = 0.718, 0.718 and
    0.718. With one label per photo both readings are the same.

    >>> scores = np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.7]])
    >>> truth = [["red", "grey"], ["grey"]]
    >>> target = LabelPredictions("attr:colour", ["red", "blue", "grey"], scores, scores.max(1), truth)
    >>> round(recall(true_ranks(target), 1), 3)
    0.667
    """
    share = _pair_weights(ranks, weights)
    return _ratio((ranks.hits(k) * share).sum(), share.sum())


def f1(ranks: TrueRanks, k: int, weights: np.ndarray | None = None) -> float:
    """F1@k = 2 P R / (P + R) = 2 found / (predictions + true labels), pooled over the annotated photos.

    P = found / predictions, min(k, C) per photo, R = `recall`. With one label per photo F1@1 = R@1, and
    F1@k falls with k by construction: k - 1 of k predictions cannot be right.

    >>> scores = np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.7]])
    >>> truth = [["red", "grey"], ["grey"]]
    >>> target = LabelPredictions("attr:colour", ["red", "blue", "grey"], scores, scores.max(1), truth)
    >>> f1(true_ranks(target), 1)
    0.8
    """
    share = _pair_weights(ranks, weights)
    annotated = np.unique(ranks.photo)
    photos = len(annotated) if weights is None else weights[annotated].sum()
    return _ratio(2 * (ranks.hits(k) * share).sum(), photos * min(k, ranks.labels) + share.sum())


def _pair_weights(ranks: TrueRanks, weights: np.ndarray | None) -> np.ndarray:
    return np.ones(len(ranks.photo)) if weights is None else weights[ranks.photo].astype(np.float64)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def mean(values: Sequence[float] | np.ndarray) -> float:
    """Of those that are numbers; NaN without any."""
    finite = [value for value in values if not np.isnan(value)]
    return float(np.mean(finite)) if finite else float("nan")
