"""Nearly all nearest neighbours in a few milliseconds: 4-bit product codes scanned in registers, then exact scores.

André et al., Cache locality is not enough: high-performance nearest neighbor search with product quantization fast
scan, VLDB 2015; as kept in faiss (`PQ<m>x4fs`). A code takes 4 bits per two components: 256 bytes for 1024. Unlike a
graph it needs no structure in the data to find its way, so it finds neighbours among unrelated vectors too, builds in
seconds and takes new vectors as they come.
"""

import itertools
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vitrine.errors import InputError
from vitrine.memory import ask_for_huge_pages

TRAINED_ON = 8192
CENTRES, BLOCK = 16, 32  # of four bits; vectors that faiss scans at once
SMALLEST = 20_000  # rows; below, exact search is as fast


@dataclass(frozen=True)
class Parts:
    """Codes in parts that are scanned side by side, because faiss gives a query to one core.

    Attributes:
        indexes: Of faiss, of so many consecutive vectors each.
        first: The row at which each begins.
    """

    indexes: Sequence[Any]
    first: Sequence[int]


def build(vectors: np.ndarray, path: Path) -> None:
    """Writes the codes of unit vectors (n, dim) float32, n at least `SMALLEST`, to a file."""
    import faiss

    dim = vectors.shape[1] + vectors.shape[1] % 2  # pairs of components; a zero makes an odd one even
    index = faiss.index_factory(dim, f"PQ{dim // 2}x4fs", faiss.METRIC_INNER_PRODUCT)
    drawn = np.sort(np.random.default_rng(0).choice(len(vectors), min(TRAINED_ON, len(vectors)), replace=False))
    index.train(_even(vectors[drawn]))
    for start in range(0, len(vectors), 65_536):
        index.add(_even(vectors[start : start + 65_536]))
    faiss.write_index(index, str(path))


def load(path: Path, count: int, dim: int) -> Parts:
    """What `build` wrote of so many vectors, a part for each thread that faiss may use.

    faiss believes every length in a file. So all of it but the numbers is compared with what `build` writes.

    Raises:
        InputError: if it is damaged, or of other vectors.
    """
    import faiss

    first, between, codes = _layout(count, dim + dim % 2)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(len(first))
        file.seek(CENTRES * (dim + dim % 2) * 4, os.SEEK_CUR)
        if (start, file.read(len(between)), size - file.tell()) != (first, between, codes):
            raise InputError(f"{path}: damaged (not the codes of {count} vectors)")
    return split(faiss.read_index(str(path)), faiss.omp_get_max_threads())


def split(index: Any, parts: int) -> Parts:
    """An index in at most so many parts, of whole blocks of vectors."""
    import faiss

    codes = faiss.rev_swig_ptr(index.codes.get(), index.codes.size())
    bounds = np.unique(np.linspace(0, -(-index.ntotal // BLOCK), parts + 1).astype(int)).tolist()
    size = index.codes.size() // max(1, bounds[-1])  # bytes of a block
    indexes = []
    for start, stop in itertools.pairwise(bounds):
        part: Any = faiss.IndexPQFastScan(index.d, index.M, index.nbits, index.metric_type, BLOCK)
        part.pq, part.is_trained = index.pq, True
        own = codes[start * size : stop * size]
        part.codes.resize(len(own))
        ask_for_huge_pages(int(part.codes.get()), len(own))
        faiss.copy_array_to_AlignedTable(own, part.codes)
        part.ntotal, part.ntotal2 = min(index.ntotal, stop * BLOCK) - start * BLOCK, (stop - start) * BLOCK
        indexes.append(part)
    return Parts(indexes, [start * BLOCK for start in bounds[:-1]])


def _layout(count: int, dim: int) -> tuple[bytes, bytes, int]:
    """Of a file of codes: the bytes before the centres, those between centres and codes, and how many codes follow."""
    parts = dim // 2
    unused = 1 << 20
    head = struct.pack("<iqqq?i", dim, count, unused, unused, True, 0)  # 0: inner product
    quantiser = struct.pack("<QQQQ", dim, parts, 4, CENTRES * dim)
    blocks, even = -(-count // BLOCK) * BLOCK, parts + parts % 2
    codes = blocks * even // 2
    return b"IPfs" + head + quantiser, struct.pack("<iiiQQQ", 0, BLOCK, 0, blocks, even, codes), codes


def candidates(codes: Parts, queries: np.ndarray, count: int) -> np.ndarray:
    """The rows whose codes are nearest to each query: (m, at most count) int64, -1 where there are fewer."""
    queries = _even(queries)

    def scan(part: int) -> tuple[np.ndarray, np.ndarray]:
        index = codes.indexes[part]
        scores, rows = index.search(queries, min(count, index.ntotal))
        return scores, np.where(rows < 0, -1, rows + codes.first[part])

    here, *others = range(len(codes.indexes))
    if len(queries) == 1 and others:
        waiting = _helpers(os.getpid(), len(others)).map(scan, others)
        found = [scan(here), *waiting]
    else:  # faiss deals several queries to the cores
        found = [scan(part) for part in (here, *others)]
    scores, rows = (np.concatenate(column, axis=1) for column in zip(*found, strict=True))
    if rows.shape[1] <= count:
        return rows
    best = np.argpartition(scores, rows.shape[1] - count, axis=1)[:, -count:]
    return np.take_along_axis(rows, best, axis=1)


@cache
def _helpers(process: int, count: int) -> ThreadPoolExecutor:
    """Threads that wait for parts to scan, since starting one takes a tenth of a query; they do not outlive a fork.

    Each scans alone: faiss would have others of its own wait at work beside it.
    """
    import faiss

    return ThreadPoolExecutor(count, f"scan-{process}", faiss.omp_set_num_threads, (1,))


def _even(vectors: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, vectors.shape[1] % 2))), np.float32)
