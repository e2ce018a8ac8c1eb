"""Nearly all nearest neighbours in a few milliseconds: 4-bit product codes scanned in registers, then exact scores.

André et al., Cache locality is not enough: high-performance nearest neighbor search with product quantization fast
scan, VLDB 2015; as kept in faiss (`PQ<m>x4fs`). A code takes 4 bits per two components: 256 bytes for 1024. Unlike a
graph it needs no structure in the data to find its way, so it finds neighbours among unrelated vectors too, builds in
seconds and takes new vectors as they come.
"""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from vitrine.errors import InputError

TRAINED_ON = 8192
CENTRES, BLOCK = 16, 32  # of four bits; vectors that faiss scans at once
SMALLEST = 20_000  # rows; below, exact search is as fast


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


def load(path: Path, count: int, dim: int) -> Any:
    """What `build` wrote of so many vectors, memory-mapped where faiss can.

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
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)


def _layout(count: int, dim: int) -> tuple[bytes, bytes, int]:
    """Of a file of codes: the bytes before the centres, those between centres and codes, and how many codes follow."""
    parts = dim // 2
    unused = 1 << 20
    head = struct.pack("<iqqq?i", dim, count, unused, unused, True, 0)  # 0: inner product
    quantiser = struct.pack("<QQQQ", dim, parts, 4, CENTRES * dim)
    blocks, even = -(-count // BLOCK) * BLOCK, parts + parts % 2
    codes = blocks * even // 2
    return b"IPfs" + head + quantiser, struct.pack("<iiiQQQ", 0, BLOCK, 0, blocks, even, codes), codes


def candidates(index: Any, queries: np.ndarray, count: int) -> np.ndarray:
    """The rows whose codes are nearest to each query: (m, count) int64, -1 where there are fewer."""
    rows: np.ndarray = index.search(_even(queries), min(count, index.ntotal))[1]
    return rows


def _even(vectors: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, vectors.shape[1] % 2))), np.float32)
