"""Accuracy, recall and F1 among the k best answers, and a model's `metrics.json`.

Tied scores have no order, so a tie counts with the probability that a random order would make it a hit: a model that
scores every label alike gets chance, never 1.0. A true label that the model does not know is a miss.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitrine.errors import InputError
from vitrine.evaluation.authenticity import listing_metrics
from vitrine.evaluation.hierarchy import agreement, mistake_height
from vitrine.evaluation.matching import matching_metrics
from vitrine.evaluation.representation import representation_metrics
from vitrine.outcome import ListingOutcome, Outcome, Question

TASKS = ("taxonomy", "attributes")
RECALL_AT = (1, 3, 5)
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
        labels: C, the labels the model can answer.
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


def true_ranks(question: Question) -> TrueRanks:
    """Ranks every true label of every photo.

    A label named twice for one photo counts once. A score that is not a number is a miss.

    Raises:
        ValueError: if scores are not (photos, C).
    """
    photos, labels = len(question.truth), len(question.labels)
    if question.scores.shape != (photos, labels):
        raise ValueError(f"{question.name}: scores are {question.scores.shape}, not ({photos}, {labels})")
    known = {label: i for i, label in enumerate(question.labels)}
    pairs = [(i, name) for i, names in enumerate(question.truth) for name in dict.fromkeys(names)]
    photo = np.array([i for i, _ in pairs], dtype=np.int64)
    column = np.array([known.get(name, -1) for _, name in pairs], dtype=np.int64)
    above, tied = np.empty(len(pairs)), np.empty(len(pairs))
    for start in range(0, len(pairs), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        scores = question.scores[photo[part]].astype(np.float64)  # (part, C)
        own = scores[np.arange(len(scores)), column[part]][:, None]  # an unknown label's -1 is overwritten below
        above[part] = (scores > own).sum(axis=1)
        tied[part] = (scores == own).sum(axis=1)
    missed = (column < 0) | (tied == 0)  # unknown to the model, or NaN (which equals nothing)
    above[missed], tied[missed] = np.inf, 1
    true_names = {name for _, name in pairs}
    names = [name for name in question.labels if name in true_names] + sorted(true_names - known.keys())
    place = {name: i for i, name in enumerate(names)}
    groups = np.stack([photo, above])  # true labels of one photo with one score
    _, group, size = np.unique(groups, axis=1, return_inverse=True, return_counts=True)
    together = np.where(missed, 1, size[group.reshape(-1)]) if pairs else np.ones(0)
    label = np.array([place[name] for _, name in pairs], dtype=np.int64)
    return TrueRanks(photo, label, tuple(names), above, tied, together, labels, photos)


def topk_accuracy(question: Question, k: int) -> float:
    """Share of annotated photos with a true label among the k best.

    With several true labels a photo is a hit as soon as one of them is found. NaN if no photo is annotated.

    >>> scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5]])
    >>> question = Question("level1", ["hat", "shirt", "shoe"], scores, scores.max(1), [["hat"], ["shoe"], []])
    >>> topk_accuracy(question, 1), topk_accuracy(question, 2)
    (0.5, 1.0)
    """
    return _topk(true_ranks(question), k)


def macro_topk_accuracy(question: Question, k: int) -> float:
    """Mean over true classes of the class's own top-k accuracy (MACC), so that rare classes weigh as much as common.

    acc_c = |{photos of c with c among the k best}| / |photos of c|;  MACC = mean_c acc_c. Classes without a photo are
    left out; a class the model does not know has accuracy 0.

    >>> scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    >>> truth = [["hat"], ["hat"], ["hat"], ["shoe"]]
    >>> macro_topk_accuracy(Question("level1", ["hat", "shoe"], scores, scores.max(1), truth), 1)
    0.5
    """
    return _macro(true_ranks(question), k)


def recall_at_k(question: Question, k: int) -> float:
    """R@k = labels found / true labels, pooled over the annotated photos.

    found = sum over photos |true labels among the k best|. This is the top-k recall of DeepFashion (Liu et al., CVPR
    2016), which MTSS reports. That MTSS pools labels, and does not average a ratio per photo, follows from its
    Table 2: pooled F1@k = 2 R@k a / (k + a), a the true labels per photo, and its three rows give a = 0.718, 0.718 and
    0.718. With one label per photo both readings are the same.

    >>> scores = np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.7]])
    >>> question = Question("attr:colour", ["red", "blue", "grey"], scores, scores.max(1), [["red", "grey"], ["grey"]])
    >>> round(recall_at_k(question, 1), 3)
    0.667
    """
    return _recall(true_ranks(question), k)


def f1_at_k(question: Question, k: int) -> float:
    """F1@k = 2 P R / (P + R) = 2 found / (answers + true labels), pooled over the annotated photos.

    P = found / answers with min(k, C) answers per photo, R = `recall_at_k`. With one label per photo F1@1 = R@1, and
    F1@k falls with k by construction: k - 1 of k answers cannot be right.

    >>> scores = np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.7]])
    >>> question = Question("attr:colour", ["red", "blue", "grey"], scores, scores.max(1), [["red", "grey"], ["grey"]])
    >>> f1_at_k(question, 1)
    0.8
    """
    return _f1(true_ranks(question), k)


def compute_metrics(outcome: Outcome | ListingOutcome) -> dict[str, float]:
    """The flat `metrics.json` of an outcome, fractions 0..1.

    taxonomy: per level `level<i>/top1|top5|macro_top1|macro_top5`, the same without prefix for the deepest level that
    has annotated photos, and `attr:<type>/top1`; `mistake_height` (of the deepest level's mistakes, see there)
    where there are mistakes, and `consistency` (share of photos whose separately answered levels form one
    path) where levels are answered separately. attributes: `attr:<type>/recall@1|3|5` and `/f1@1|3|5`, and their
    means over types without prefix. Both: `count` (photos asked) and `seconds_per_1000_images`. Questions without
    any annotated photo are left out. Authenticity: see `listing_metrics`; representation: see `representation_metrics`;
    matching: see `matching_metrics`.

    Raises:
        InputError: if no photo is annotated for anything the model was asked, or the task is another.
    """
    if isinstance(outcome, ListingOutcome):
        return listing_metrics(outcome)
    if outcome.task == "representation":
        return representation_metrics(outcome, _trained_levels(outcome))
    if outcome.task == "matching":
        return matching_metrics(outcome)
    return _measure(outcome, _all_ranks(outcome)) | _hierarchy(outcome)


def _trained_levels(outcome: Outcome) -> dict[str, float]:
    values: dict[str, float] = {}
    for question in outcome.questions:
        if any(question.truth):
            own = true_ranks(question)
            values |= {f"{question.name}/top{k}": _topk(own, k) for k in (1, 5)}
    return values


def bootstrap_intervals(outcome: Outcome, draws: int = 200, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % interval of every figure of `compute_metrics` that depends on which photos happened to be in the test set.

    Percentile bootstrap over photos, all of a photo's answers together. A class or type that a draw misses is left
    out of that draw's mean.
    """
    ranks = _all_ranks(outcome)
    generator = np.random.default_rng(seed)
    photos = len(outcome.images)
    measured: dict[str, list[float]] = {}
    for _ in range(draws):
        weights = np.bincount(generator.integers(photos, size=photos), minlength=photos)
        for key, value in _measure(outcome, ranks, weights).items():
            measured.setdefault(key, []).append(value)
    intervals = {}
    for key in measured.keys() - {"count", "seconds_per_1000_images"}:
        low, high = np.nanquantile(measured[key], [0.025, 0.975])
        intervals[key] = (float(low), float(high))
    return intervals


def _hierarchy(outcome: Outcome) -> dict[str, float]:
    values = {}
    levels = [question for question in outcome.questions if question.name.startswith("level") and any(question.truth)]
    height = mistake_height(levels[-1]) if levels else None
    if height is not None:
        values["mistake_height"] = height
    if len(outcome.separate) > 1:
        values["consistency"] = float(agreement(outcome.separate).mean())
    return values


def _all_ranks(outcome: Outcome) -> dict[str, TrueRanks]:
    if outcome.task not in TASKS:
        raise InputError(f"no metrics for task {outcome.task!r} here (only {', '.join(TASKS)})")
    ranks = {question.name: true_ranks(question) for question in outcome.questions if any(question.truth)}
    if not ranks:
        asked = ", ".join(question.name for question in outcome.questions) or "nothing"
        raise InputError(f"nothing to measure: none of {len(outcome.images)} photos is annotated for {asked}")
    return ranks


def _measure(outcome: Outcome, ranks: Mapping[str, TrueRanks], weights: np.ndarray | None = None) -> dict[str, float]:
    values = (_taxonomy if outcome.task == "taxonomy" else _attributes)(ranks, weights)
    values["count"] = float(len(outcome.images))
    values["seconds_per_1000_images"] = 1000.0 * outcome.seconds / len(outcome.images)
    return values


def _taxonomy(ranks: Mapping[str, TrueRanks], weights: np.ndarray | None) -> dict[str, float]:
    values: dict[str, float] = {}
    for name, rank in ranks.items():
        if name.startswith("level"):
            level = {
                "top1": _topk(rank, 1, weights),
                "top5": _topk(rank, 5, weights),
                "macro_top1": _macro(rank, 1, weights),
                "macro_top5": _macro(rank, 5, weights),
            }
            values |= level  # levels come coarse to fine, so the deepest one stays
            values |= {f"{name}/{key}": value for key, value in level.items()}
        else:
            values[f"{name}/top1"] = _topk(rank, 1, weights)
    return values


def _attributes(ranks: Mapping[str, TrueRanks], weights: np.ndarray | None) -> dict[str, float]:
    values: dict[str, float] = {}
    formulas: tuple[tuple[str, Callable[..., float]], ...] = (("recall", _recall), ("f1", _f1))
    for key, formula in formulas:
        for k in RECALL_AT:
            per_type = {name: formula(rank, k, weights) for name, rank in ranks.items()}
            values[f"{key}@{k}"] = _mean(list(per_type.values()))
            values |= {f"{name}/{key}@{k}": value for name, value in per_type.items()}
    return values


def _topk(ranks: TrueRanks, k: int, weights: np.ndarray | None = None) -> float:
    """A photo counts by its best-scored true label; a tie group holding several true labels has several chances."""
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


def _macro(ranks: TrueRanks, k: int, weights: np.ndarray | None = None) -> float:
    share = _pair_weights(ranks, weights)
    hits = np.bincount(ranks.label, ranks.hits(k) * share, minlength=len(ranks.names))
    count = np.bincount(ranks.label, share, minlength=len(ranks.names))
    return _mean(hits[count > 0] / count[count > 0])


def _recall(ranks: TrueRanks, k: int, weights: np.ndarray | None = None) -> float:
    share = _pair_weights(ranks, weights)
    return _ratio((ranks.hits(k) * share).sum(), share.sum())


def _f1(ranks: TrueRanks, k: int, weights: np.ndarray | None = None) -> float:
    share = _pair_weights(ranks, weights)
    annotated = np.unique(ranks.photo)
    photos = len(annotated) if weights is None else weights[annotated].sum()
    return _ratio(2 * (ranks.hits(k) * share).sum(), photos * min(k, ranks.labels) + share.sum())


def _pair_weights(ranks: TrueRanks, weights: np.ndarray | None) -> np.ndarray:
    return np.ones(len(ranks.photo)) if weights is None else weights[ranks.photo].astype(np.float64)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _mean(values: Sequence[float] | np.ndarray) -> float:
    finite = [value for value in values if not np.isnan(value)]
    return float(np.mean(finite)) if finite else float("nan")
