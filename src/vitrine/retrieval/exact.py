"""Exact nearest neighbours by inner product, reading a byte per component: bounds first, then the few that matter.

One query is searched as fast as the memory can be read, so the gallery is read as int8 codes (a quarter of float32).
What rounding can have changed is bounded, and whatever could still be among the k best is scored again in float32.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CODE = 127
ROWS_AT_ONCE = 65_536
QUERIES_AT_ONCE = 64
ROUNDING = 1e-5  # of float32 sums over some thousand components
SURELY = 6.0  # standard deviations: passed once in a thousand million


@dataclass(frozen=True)
class Codes:
    """int8 codes of unit vectors, x ≈ scale * code.

    Attributes:
        code: (n, dim) int8.
        scale: (n,) float32.
        slack: (n,) float32, ‖x - scale * code‖.
    """

    code: np.ndarray
    scale: np.ndarray
    slack: np.ndarray

    def part(self, rows: slice | np.ndarray) -> "Codes":
        """Some of the rows."""
        return Codes(self.code[rows], self.scale[rows], self.slack[rows])


def encode(vectors: np.ndarray) -> Codes:
    """Rounds each vector to 255 steps of its own largest component."""
    scale = np.maximum(np.abs(vectors).max(axis=1, initial=0.0), 1e-30).astype(np.float32) / CODE
    code = np.rint(vectors / scale[:, None])
    slack = np.linalg.norm(vectors - code * scale[:, None], axis=1)
    return Codes(code.astype(np.int8), scale, slack.astype(np.float32))


def search_exact(
    queries: np.ndarray, vectors: np.ndarray, codes: Codes | None, k: int, alive: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each query, best first; the lower row first among equals.

    With q̂ and x̂ the rounded vectors, |<q, x> - <q̂, x̂>| <= ‖q - q̂‖ (1 + ‖x - x̂‖) + ‖x - x̂‖ for unit vectors. A row
    whose upper bound lies below the k-th best lower bound is out. If most rows are in (all vectors alike), bounds do
    not pay and everything is scored.

    Args:
        queries: Unit vectors (m, dim) float32.
        vectors: Unit vectors (n, dim) float32; may be memory-mapped.
        codes: `encode(vectors)`; None: score everything in float32.
        k: At least 1; there are min(k, rows alive) results.
        alive: (n,) bool, rows that may be results.

    Returns:
        Rows (m, results) int64 and scores (m, results) float32.
    """
    rows = len(vectors) if alive is None else int(np.count_nonzero(alive))
    k = min(k, rows)
    if not k or not len(queries):
        return np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k), np.float32)
    parts = []
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        few = queries[start : start + QUERIES_AT_ONCE]
        parts.append(_bounded(few, vectors, codes, k, alive) if codes else _all(few, vectors, k, alive))
    row_ids, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    return row_ids, scores


def best_of(
    rows: np.ndarray, query: np.ndarray, vectors: np.ndarray, codes: Codes, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of some rows for one unit vector, with exact scores; few of the float32 vectors are read.

    Rounding errors are as good as independent, so that a score is off by ‖x - x̂‖ / √dim in the mean; a row that
    `SURELY` as much could not bring among the k best is not scored.
    """
    own, some = encode(query[None]), codes.part(rows)
    near = _approximate(own, some)[0].numpy()
    doubt = (own.slack[0] * (1 + some.slack) + some.slack) * min(1.0, SURELY / len(query) ** 0.5) + ROUNDING
    kept = rows
    if len(rows) > k:
        kept = rows[near + doubt >= np.partition(near - doubt, len(rows) - k)[len(rows) - k]]
    return best_first(kept, vectors[kept] @ query, k)


def fast_codes() -> bool:
    """Whether this processor multiplies bytes faster than floats (VNNI)."""
    return bool(torch.cpu._is_vnni_supported())


def best_first(rows: np.ndarray, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of one query's candidates, the lower row first among equals."""
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


def _bounded(
    queries: np.ndarray, vectors: np.ndarray, codes: Codes, k: int, alive: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    query_codes = encode(queries)
    near = _approximate(query_codes, codes)  # (m, n)
    if alive is not None:
        near[:, torch.from_numpy(~alive)] = -torch.inf
    hits = []
    for i, approximate in enumerate(near.numpy()):
        doubt = query_codes.slack[i] * (1 + codes.slack) + codes.slack + ROUNDING  # (n,)
        least = torch.from_numpy(approximate - doubt).topk(k).values[-1].item()
        rows = np.flatnonzero(approximate + doubt >= least)
        if len(rows) > max(k, len(vectors) // 4):
            row_ids, scores = _all(queries[i : i + 1], vectors, k, alive)
            hits.append((row_ids[0], scores[0]))
        else:
            hits.append(best_first(rows, vectors[rows] @ queries[i], k))
    row_ids, scores = (np.stack(column) for column in zip(*hits, strict=True))
    return row_ids, scores


def _approximate(queries: Codes, gallery: Codes) -> Tensor:
    """(m, n) float32 inner products of the rounded vectors."""
    left = torch.from_numpy(queries.code)
    out = torch.empty(len(left), len(gallery.code))
    for start in range(0, len(gallery.code), ROWS_AT_ONCE):
        block = gallery.part(slice(start, start + ROWS_AT_ONCE))
        product = torch._int_mm(left, torch.from_numpy(block.code).T)  # exact in int32
        torch.mul(product, torch.from_numpy(np.asarray(block.scale)), out=out[:, start : start + ROWS_AT_ONCE])
    return out.mul_(torch.from_numpy(queries.scale)[:, None])


def _all(queries: np.ndarray, vectors: np.ndarray, k: int, alive: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    left = torch.from_numpy(queries)
    scores = torch.cat(
        [
            left @ torch.from_numpy(vectors[start : start + ROWS_AT_ONCE]).T
            for start in range(0, len(vectors), ROWS_AT_ONCE)
        ],
        dim=1,
    )
    if alive is not None:
        scores[:, torch.from_numpy(~alive)] = -torch.inf
    worst = scores.topk(k, dim=1).values[:, -1:]
    hits = []
    for i in range(len(queries)):
        rows = torch.nonzero(scores[i] >= worst[i])[:, 0].numpy()
        hits.append(best_first(rows, scores[i].numpy()[rows], k))
    row_ids, best = (np.stack(column) for column in zip(*hits, strict=True))
    return row_ids, best
