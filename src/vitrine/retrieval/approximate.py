"""Nearly all nearest neighbours in a few milliseconds: 4-bit product codes scanned in registers, then exact scores.

André et al., Cache locality is not enough: high-performance nearest neighbor search with product quantization fast
scan, VLDB 2015; as kept in faiss (`PQ<m>x4fs`). A code takes 4 bits per two components: 256 bytes for 1024. Unlike a
graph it needs no structure in the data to find its way, so it finds neighbours among unrelated vectors too, builds in
seconds and takes new vectors as they come.
"""

from pathlib import Path
from typing import Any

import numpy as np

from vitrine.errors import InputError

TRAINED_ON = 8192
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

    Raises:
        InputError: if it is damaged, or of other vectors.
    """
    import faiss

    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except (RuntimeError, MemoryError) as error:
        raise InputError(f"{path}: damaged ({' '.join(str(error).split())})") from error
    if not isinstance(index, faiss.IndexPQFastScan) or (index.ntotal, index.d) != (count, dim + dim % 2):
        raise InputError(f"{path}: damaged (not the codes of {count} vectors)")
    return index


def candidates(index: Any, queries: np.ndarray, count: int) -> np.ndarray:
    """The rows whose codes are nearest to each query: (m, count) int64, -1 where there are fewer."""
    rows: np.ndarray = index.search(_even(queries), min(count, index.ntotal))[1]
    return rows


def _even(vectors: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, vectors.shape[1] % 2))), np.float32)
