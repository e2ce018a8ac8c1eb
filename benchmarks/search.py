"""Search over 404,683 x 1024 (the shop photos of Street2Shop), exact and approximate, beside what others offer.

    python benchmarks/search.py [--rows 404683] [--threads 2]

Random unit vectors; half of the queries have 20 planted neighbours (cosine about 0.8), the other half none, so that
their answers are the far tail of unrelated vectors, the hardest case. Every way is measured in the same process, best
of three for one query and once for a batch of 100; memory is what the index keeps mapped and its files on disk.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import torch
import usearch.index

from vitrine.retrieval.index import Index
from vitrine.retrieval.segment import unit_rows

DIM, QUERIES, K, PLANTED, NEAR = 1024, 100, 20, 20, 0.8


def main() -> None:
    """Prints one line per way to search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=404_683)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    vectors, queries = planted(options.rows)
    answers = elsewhere(vectors, queries, options.threads)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        Index.create(Path(folder)).add(numbered(options.rows), np.array_split(vectors, 64))
        print(f"index made in {time.perf_counter() - started:.0f} s")
        index = Index(Path(folder))
        for exact in (True, False):
            found, times = timed(
                lambda m, exact=exact: np.array(
                    [[int(hit.image) for hit in hits] for hits in index.search(queries[:m], K, exact=exact)]
                )
            )
            report(f"vitrine {'exact' if exact else 'approximate'}", times, found, answers)
        sizes = {path.name: round(path.stat().st_size / 1e6) for path in sorted(Path(folder).glob("*/*"))}
        print(json.dumps({"MB on disk": sizes}))


def elsewhere(vectors: np.ndarray, queries: np.ndarray, threads: int) -> np.ndarray:
    """Prints what others take; the true answers."""
    gallery, asked = torch.from_numpy(vectors), torch.from_numpy(queries)
    answers, torch_times = timed(lambda m: (asked[:m] @ gallery.T).topk(K).indices.numpy())
    report("torch matmul + topk", torch_times, answers, answers)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(vectors)
    found, times = timed(lambda m: flat.search(queries[:m], K)[1])
    report("faiss flat", times, found, answers)
    found, times = timed(
        lambda m: usearch.index.search(vectors, queries[:m], K, metric="ip", exact=True, threads=threads).keys.reshape(
            m, -1
        )
    )
    report("usearch exact", times, found, answers)
    return answers


def planted(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (rows, DIM) and queries (QUERIES, DIM)."""
    random = np.random.default_rng(0)
    vectors = np.empty((rows, DIM), np.float32)
    for start in range(0, rows, 20_000):
        vectors[start : start + 20_000] = unit_rows(
            random.standard_normal((min(20_000, rows - start), DIM), dtype=np.float32)
        )
    queries = unit_rows(random.standard_normal((QUERIES, DIM)))
    places = random.permutation(rows)[: QUERIES // 2 * PLANTED].reshape(-1, PLANTED)
    for query, own in zip(queries, places, strict=False):
        noise = random.standard_normal((PLANTED, DIM)) / DIM**0.5
        vectors[own] = unit_rows(NEAR * query + (1 - NEAR**2) ** 0.5 * noise)
    return vectors, queries


def numbered(rows: int) -> pd.DataFrame:
    """The rows' numbers as their names."""
    names = [str(i) for i in range(rows)]
    return pd.DataFrame({"image": names, "uri": names, "product": names, "category": ""})


def timed(search: Callable[[int], np.ndarray]) -> tuple[np.ndarray, tuple[float, float]]:
    """The answers to all queries; seconds for one alone, and for one in a batch."""
    search(1)
    alone = []
    for _ in range(3):
        started = time.perf_counter()
        search(1)
        alone.append(time.perf_counter() - started)
    started = time.perf_counter()
    found = search(QUERIES)
    return found, (min(alone), (time.perf_counter() - started) / QUERIES)


def report(name: str, times: tuple[float, float], found: np.ndarray, answers: np.ndarray) -> None:
    shared = [len({*a} & {*b}) / K for a, b in zip(found, answers, strict=True)]
    half = QUERIES // 2
    print(
        f"{name:20} one {1e3 * times[0]:6.1f} ms, in a batch {1e3 * times[1]:6.1f} ms a query; recall@{K} "
        f"{np.mean(shared[:half]):.4f} planted, {np.mean(shared[half:]):.4f} not",
        flush=True,
    )


if __name__ == "__main__":
    main()
