"""Multiclass regression: the scores of one net per level refine each other (Chen et al., Structure-Aware Deep Learning
for Product Image Classification, TOMM 2019, Section 3.3, Eq. 2-4).

The formula here, with Omega all categories of all levels and C^j those of level j:

    P(c | f, W) = exp(w_c . f_c) / sum over t in C^j of exp(w_t . f_t),   c in C^j            (Eq. 2)
    W* = argmin  - sum_i sum_j log P(l_i^j | f(x_i), W) + lambda ||W - W0||^2                 (Eq. 3)
    R_c = C^1, ..., C^(j-1), the K categories of level j that weigh most for c, their children (Eq. 4)

f is the vector of all nets' unnormalised scores, f_c the same with 0 outside R_c. Three things differ from the print:

- The sum in Eq. 2 runs over the level of c instead of R_c, so that the categories of a level share one distribution
  and Eq. 1 may compare them. Eq. 3 then falls apart into one convex problem per level.
- W is drawn to W0 instead of 0: each category's own score, divided by its net's temperature. An infinite lambda leaves
  the nets' own logits as they are, and few or noisy validation photos can do little harm.
- lambda is chosen per level by cross-validation, infinity among the choices; it has to earn its place, and may not
  lose accuracy on the training photos.

Scores of a level are centred per photo first: softmax does not see their mean, a regression on them would.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import log_softmax

from vitrine.blocks.calibration import fit_temperature

CHUNK = 4096  # rows at once: bounds memory
ITERATIONS = 60
RELATED_ROWS = 10_000  # rows that decide which categories are related, and lambda
FOLDS = 5
LARGE = 2e9  # rows times weights from which one fold is held out, not each in turn
STRENGTHS = (np.inf, 1000.0, 250.0, 60.0, 15.0, 4.0, 1.0)
DENSE = 0.2  # share of R_c in Omega from which plain matrix products are faster


@dataclass(frozen=True)
class Structure:
    """The categories of all levels, in the order of the scores' columns.

    Attributes:
        sizes: |C^j| for each level, coarse to fine.
        parents: For each level the index of each category's parent within the level above; empty for the first.
    """

    sizes: tuple[int, ...]
    parents: tuple[np.ndarray, ...]

    @property
    def total(self) -> int:
        """|Omega|."""
        return sum(self.sizes)

    def columns(self, level: int) -> slice:
        """Where the categories of a level stand among all columns; levels are counted from 0 here."""
        start = sum(self.sizes[:level])
        return slice(start, start + self.sizes[level])


@dataclass(frozen=True)
class Refinement:
    """What was learnt for one level.

    Attributes:
        weights: W, (|C^j|, |Omega|) float32, 0 outside the related categories.
        strength: lambda; infinite where the net's own logits stay as they are.
        losses: Mean -log P on held-out rows for each lambda tried.
        hits: Accuracy on held-out rows, for each.
    """

    weights: np.ndarray
    strength: float
    losses: dict[float, float]
    hits: dict[float, float]


def centred(scores: Sequence[np.ndarray]) -> np.ndarray:
    """The scores of all levels side by side, each level's mean taken out: (rows, |Omega|) float32."""
    return np.concatenate(
        [level_scores - level_scores.mean(axis=1, keepdims=True) for level_scores in scores], axis=1, dtype=np.float32
    )


def refine_level(
    level: int,
    scores: np.ndarray,
    allowed: np.ndarray,
    structure: Structure,
    related: int = 3,
    strength: float | None = None,
    seed: int = 0,
    guard: tuple[np.ndarray, np.ndarray] | None = None,
) -> Refinement:
    """Fits one level's weights.

    Args:
        level: Counted from 0.
        scores: `centred` scores of validation photos, (rows, |Omega|).
        allowed: Which categories of the level may be true of a row, (rows, |C^j|), bool. Rows with none, or with
            several (their label stops above this level), are left out.
        structure: Of the columns.
        related: K of Eq. 4.
        strength: lambda; None = chosen by cross-validation.
        seed: Of the folds.
        guard: Scores and allowed categories of other photos (the training photos), where the chosen weights must answer
            no fewer right than the nets alone. Photos of one source resemble each other: cross-validation among them
            does not see that the weights have learnt the source.
    """
    certain = np.flatnonzero(allowed.sum(axis=1) == 1)
    features, labels = scores[certain], allowed[certain].argmax(axis=1)
    columns = structure.columns(level)
    temperature = (
        fit_temperature(features[:RELATED_ROWS, columns], allowed[certain[:RELATED_ROWS]]) if len(certain) else 1.0
    )
    anchor = np.zeros((structure.sizes[level], structure.total), np.float32)
    anchor[np.arange(structure.sizes[level]), np.arange(columns.start, columns.stop)] = 1 / temperature
    losses: dict[float, float] = {}
    hits: dict[float, float] = {}
    if strength is not None and len(labels):
        candidates = [strength]
    elif len(labels) < 2 * FOLDS:
        candidates = [np.inf]
    else:
        losses, hits = _held_out(level, features, labels, anchor, structure, related, seed)
        candidates = _ranked(losses, hits)
    for candidate in candidates:
        weights, _ = _fit_related(level, features, labels, anchor, structure, related, candidate, seed)
        if strength is not None or guard is None or _right(guard, weights) >= _right(guard, anchor):
            return Refinement(weights, candidate, losses, hits)
    raise AssertionError("an infinite lambda loses no accuracy")


def relevant(level: int, weights: np.ndarray, structure: Structure, related: int) -> np.ndarray:
    """R_c of Eq. 4 for every category of a level: (|C^j|, |Omega|), bool.

    All categories of shallower levels; of the level itself c and the others of largest |w|, K in all; and the children
    of those.

    Args:
        level: Counted from 0.
        weights: W fitted on all categories, (|C^j|, |Omega|).
        structure: Of the columns.
        related: K.
    """
    columns, size = structure.columns(level), structure.sizes[level]
    strength = np.abs(weights[:, columns])
    strength[np.arange(size), np.arange(size)] = np.inf
    nearest = np.argsort(-strength, axis=1, kind="stable")[:, :related]
    same = np.zeros((size, size), bool)
    np.put_along_axis(same, nearest, True, axis=1)
    mask = np.zeros((size, structure.total), bool)
    mask[:, : columns.start] = True
    mask[:, columns] = same
    if level + 1 < len(structure.sizes):
        mask[:, structure.columns(level + 1)] = same[:, structure.parents[level + 1]]
    return mask


def fit_weights(
    features: np.ndarray,
    labels: np.ndarray,
    anchor: np.ndarray,
    mask: np.ndarray,
    strength: float,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Eq. 3 for one level, by L-BFGS (a quasi-Newton method) with the analytic gradient.

    Args:
        features: (rows, |Omega|) float32.
        labels: The true category within the level, (rows,).
        anchor: W0, (|C^j|, |Omega|).
        mask: R_c, (|C^j|, |Omega|), bool; weights outside stay 0.
        strength: lambda > 0.
        start: Where the search begins; default W0.

    Returns:
        W, (|C^j|, |Omega|) float32.
    """
    held = anchor[mask].astype(np.float64)
    columns = np.ascontiguousarray(features.T)  # (|Omega|, rows): one category's scores lie side by side
    scale = 1.0 / len(labels)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = np.zeros(mask.shape, np.float32)
        weights[mask] = flat
        loss, gradient = _loss(weights, columns, labels, mask)
        away = flat - held
        return scale * (loss + strength * (away @ away)), scale * (gradient + 2 * strength * away)

    first = held if start is None else start[mask].astype(np.float64)
    options = {"maxiter": ITERATIONS, "ftol": 1e-7, "gtol": 1e-5}
    minimum = minimize(objective, first, jac=True, method="L-BFGS-B", options=options).x
    weights = np.zeros(mask.shape, np.float32)
    weights[mask] = minimum
    return weights


def _loss(weights: np.ndarray, columns: np.ndarray, labels: np.ndarray, mask: np.ndarray) -> tuple[float, np.ndarray]:
    """- sum log P, and its gradient in the weights inside the mask (in the order of `weights[mask]`)."""
    shared = mask.all(axis=0)  # the shallower levels, which every category looks at
    sparse = mask[:, ~shared].mean() < DENSE if (~shared).any() else False
    rows, places = np.nonzero(mask & ~shared) if sparse else (np.empty(0, int), np.empty(0, int))
    private = csr_array((weights[rows, places], (rows, places)), shape=weights.shape)
    block = np.zeros(weights.shape, np.float32)
    total, on_private = 0.0, np.zeros(len(rows), np.float32)
    for begin in range(0, len(labels), CHUNK):
        part = columns[:, begin : begin + CHUNK]  # (|Omega|, n)
        truth = labels[begin : begin + CHUNK]
        logits = weights[:, shared] @ part[shared] + private @ part if sparse else weights @ part  # (|C^j|, n)
        logits -= logits.max(axis=0)
        right = logits[truth, np.arange(len(truth))].sum(dtype=np.float64)
        np.exp(logits, out=logits)
        normaliser = logits.sum(axis=0)
        total += np.log(normaliser).sum(dtype=np.float64) - right
        logits /= normaliser
        logits[truth, np.arange(len(truth))] -= 1  # P - Y
        if sparse:
            block[:, shared] += logits @ part[shared].T
            for piece in range(0, len(rows), len(mask)):
                at = slice(piece, piece + len(mask))
                on_private[at] += np.einsum("ij,ij->i", logits[rows[at]], part[places[at]])
        else:
            block += logits @ part.T
    block[rows, places] = on_private if sparse else block[rows, places]
    return total, block[mask].astype(np.float64)


def _fit_related(
    level: int,
    features: np.ndarray,
    labels: np.ndarray,
    anchor: np.ndarray,
    structure: Structure,
    related: int,
    strength: float,
    seed: int,
    start: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """First W on all categories, then R_c, then W once more with the rest at 0.

    Returns:
        W, and both fits' weights for the next lambda to begin at.
    """
    if not np.isfinite(strength):
        return anchor, (anchor, anchor)
    some = _sample(len(labels), RELATED_ROWS, seed)
    everything = np.ones(anchor.shape, bool)
    first = fit_weights(features[some], labels[some], anchor, everything, strength, start[0] if start else None)
    mask = relevant(level, first, structure, related)
    begin = np.where(mask, start[1] if start else first, 0)
    refined = fit_weights(features, labels, anchor, mask, strength, begin)
    return refined, (first, refined)


def _held_out(
    level: int,
    features: np.ndarray,
    labels: np.ndarray,
    anchor: np.ndarray,
    structure: Structure,
    related: int,
    seed: int,
) -> tuple[dict[float, float], dict[float, float]]:
    """Mean -log P and share of hits for each lambda, on rows that the weights were not fitted on."""
    some = _sample(len(labels), RELATED_ROWS, seed)
    features, labels = features[some], labels[some]
    fold = np.random.default_rng((seed, 1)).permutation(len(labels)) % FOLDS
    folds = range(FOLDS) if len(labels) * anchor.size < LARGE else range(1)  # of many rows one part will do
    starts: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    losses: dict[float, float] = {}
    hits: dict[float, float] = {}
    for strength in STRENGTHS:
        lost, right, seen = 0.0, 0, 0
        for left_out in folds:
            inside, outside = fold != left_out, fold == left_out
            weights, starts[left_out] = _fit_related(
                level,
                features[inside],
                labels[inside],
                anchor,
                structure,
                related,
                strength,
                seed,
                starts.get(left_out),
            )
            logs = log_softmax(features[outside] @ weights.T, axis=1)
            truth = labels[outside]
            lost -= float(logs[np.arange(len(truth)), truth].sum(dtype=np.float64))
            right += int((logs.argmax(axis=1) == truth).sum())
            seen += len(truth)
        losses[strength], hits[strength] = lost / seen, right / seen
        if _risen(list(losses.values())):
            break
    return losses, hits


def _risen(losses: list[float]) -> bool:
    """Whether the last two losses are each above the one before: smaller lambdas will not do better."""
    return len(losses) > 2 and losses[-1] > losses[-2] > losses[-3]


def _ranked(losses: dict[float, float], hits: dict[float, float]) -> list[float]:
    """The lambdas of no lower held-out accuracy than the nets alone, lowest loss first; infinity is one."""
    plain = hits[np.inf]
    return sorted((strength for strength in losses if hits[strength] >= plain), key=losses.__getitem__)


def _right(photos: tuple[np.ndarray, np.ndarray], weights: np.ndarray) -> int:
    """How many photos these weights predict right."""
    scores, allowed = photos
    return int(allowed[np.arange(len(scores)), (scores @ weights.T).argmax(axis=1)].sum())


def _sample(rows: int, count: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng((seed, 0)).permutation(rows)[:count])
