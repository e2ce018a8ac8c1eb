"""Recall@k and top-k accuracy of retrieval, from the rank of each query's first relevant item.

Tied scores have no order, so a hit among ties counts with the probability that a random order would give it: when all
embeddings are equal, recall is chance, not 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammaln
from torch import Tensor

TIE = 2e-6  # equal vectors give cosines that differ by rounding, by where they stand in the matrix
QUERIES_AT_ONCE = 256


@dataclass(frozen=True)
class Ranks:
    """The rank of each query's first relevant item in the gallery. One entry per query that has one.

    Attributes:
        query: (n,) which queries have a relevant item in the gallery; the others are left out.
        above: (n,) items with a higher score; infinite where the embedding is not a number.
        tied: (n,) items with the same score, itself included.
        right: (n,) how many of those are right.
        left_out: Queries without a relevant item.
    """

    query: np.ndarray
    above: np.ndarray
    tied: np.ndarray
    right: np.ndarray
    left_out: int

    def hits(self, k: int) -> np.ndarray:
        """(n,) probability that a relevant item is among the first k.

        Of T tied items, p of them relevant, the r = min(k - above, T) first are shown in random order:
        P(hit) = 1 - C(T - p, r) / C(T, r).
        """
        shown = np.clip(k - self.above, 0, self.tied)
        wrong = self.tied - self.right
        missed = np.where(shown > wrong, 0.0, np.exp(_log_choose(wrong, shown) - _log_choose(self.tied, shown)))
        return 1.0 - missed

    def recall(self, k: int) -> float:
        """Share of the queries with at least one relevant item among their first k; NaN without queries."""
        return float(self.hits(k).mean()) if len(self.query) else float("nan")


def rank(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    *,
    itself: np.ndarray | None = None,
    query_groups: np.ndarray | None = None,
    gallery_groups: np.ndarray | None = None,
    score: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Ranks:
    """Ranks by cosine, or another score; an item is relevant if it has the query's label.

    Args:
        queries: Features (n, dim); their length does not matter.
        query_labels: (n,) whole numbers; below 0: no label, no question.
        gallery: (m, dim).
        gallery_labels: (m,) whole numbers.
        itself: (n,) the row of the gallery that is the query itself and does not count; below 0: none.
        query_groups: (n,) whole numbers. Where given, a query is searched in its own group alone, as in Street2Shop,
            where the category is known.
        gallery_groups: (m,) the same of the gallery.
        score: (q, dim) and (m, dim) features, as they came, to (q, m), higher is more alike; None: the cosine.
    """
    asked = np.flatnonzero(query_labels >= 0)
    place = np.full(len(queries), -1) if itself is None else itself
    if query_groups is None or gallery_groups is None:
        query_groups, gallery_groups = np.zeros(len(queries), int), np.zeros(len(gallery), int)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parts = []
    for group in np.unique(query_groups[asked]):
        rows = asked[query_groups[asked] == group]
        places = np.flatnonzero(gallery_groups == group)
        prepare = _unit if score is None else _plain
        shelf = prepare(gallery[places], device)  # (m_g, dim)
        labels = torch.from_numpy(gallery_labels[places]).to(device)
        place_of = np.full(len(gallery) + 1, -1)  # the last stands for "none"
        place_of[places] = np.arange(len(places))
        for start in range(0, len(rows), QUERIES_AT_ONCE):
            part = rows[start : start + QUERIES_AT_ONCE]
            asking = prepare(queries[part], device)
            scores = asking @ shelf.T if score is None else score(asking, shelf).clone()  # (q, m_g)
            right = torch.from_numpy(query_labels[part]).to(device)[:, None] == labels
            mine = torch.from_numpy(place_of[place[part]])
            has_answer = torch.nonzero(mine >= 0)[:, 0]
            scores[has_answer, mine[has_answer]] = -torch.inf
            right[has_answer, mine[has_answer]] = False
            parts.append((part, *(value.cpu().numpy() for value in _places(scores, right))))
    if not parts:
        empty = np.zeros(0)
        return Ranks(empty.astype(int), empty, empty, empty, 0)
    query, any_right, above, tied, together = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(query[any_right], kind="stable")
    query, above, tied, together = (values[any_right][order] for values in (query, above, tied, together))
    return Ranks(query, above, tied, together, int((~any_right).sum()))


def _places(scores: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per query: has a relevant item; scores above the best of these, tied with it, relevant among the tied."""
    best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True) if scores.shape[1] else scores.sum(1, True)
    tied = (scores - best).abs() <= TIE
    above = (scores > best + TIE).sum(dim=1).double()
    broken = best[:, 0].isnan() | ~tied.any(dim=1)  # a NaN query; or every relevant item is one
    above[broken] = torch.inf
    together = (tied & right).sum(dim=1).double()
    return right.any(dim=1), above, tied.sum(dim=1).double().masked_fill(broken, 1), together.masked_fill(broken, 1)


def _unit(features: np.ndarray, device: str) -> Tensor:
    return torch.nn.functional.normalize(_plain(features, device), dim=1)


def _plain(features: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(features, np.float32)).to(device)


def _log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    safe = np.minimum(k, n)  # where k > n the caller knows the answer
    value: np.ndarray = gammaln(n + 1) - gammaln(safe + 1) - gammaln(n - safe + 1)
    return value
