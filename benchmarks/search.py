"""Search over 404,683 x 1024 (the shop photos of Street2Shop), exact and approximate, beside what others offer.

    python benchmarks/search.py [--rows 404683] [--threads 2] [--graphs 20000]

Random unit vectors; half of the queries have 20 planted neighbours (cosine about 0.8), the other half none, so that
their answers are the far tail of unrelated vectors, the hardest case. Every way is measured in the same process: one
query as the best of 15, by the clock and in processor time of all threads, and a batch of 100 once; memory is what the
index keeps mapped and its files on disk.

Graphs (HNSW of faiss and usearch) are made of fewer vectors of the same kind, because making them of all takes hours;
the quick search is measured over these too. Graphs are searched ever wider until they find 0.99 of the neighbours.
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
ALONE, RECALL = 15, 0.99


def main() -> None:
    """Prints one line per way to search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=404_683)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--graphs", type=int, default=20_000, help="Vectors in graphs; 0: none.")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    vectors, queries = planted(options.rows)
    here(vectors, queries, elsewhere(vectors, queries, options.threads), (True, False))
    if options.graphs:
        print(f"{options.graphs:,} vectors:")
        vectors, queries = planted(options.graphs)
        answers = (torch.from_numpy(queries) @ torch.from_numpy(vectors).T).topk(K).indices.numpy()
        here(vectors, queries, answers, (False,))
        graphs(vectors, queries, answers, options.threads)


def here(vectors: np.ndarray, queries: np.ndarray, answers: np.ndarray, ways: tuple[bool, ...]) -> None:
    """Prints what an index of ours takes; `ways`: exact or not."""
    with tempfile.TemporaryDirectory() as folder:
        started, busy = time.perf_counter(), time.process_time()
        Index.create(Path(folder)).add(numbered(len(vectors)), np.array_split(vectors, 64))
        print(f"index made in {time.perf_counter() - started:.0f} s, processor {time.process_time() - busy:.0f}")
        index = Index(Path(folder))
        for exact in ways:
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


def graphs(vectors: np.ndarray, queries: np.ndarray, answers: np.ndarray, threads: int) -> None:
    """Prints what graphs take that are searched as widely as `RECALL` needs."""
    started = time.process_time()
    of_faiss = faiss.IndexHNSWFlat(DIM, 32, faiss.METRIC_INNER_PRODUCT)
    of_faiss.hnsw.efConstruction = 128
    of_faiss.add(vectors)
    size = faiss.serialize_index(of_faiss).nbytes
    print(f"faiss HNSW made in processor {time.process_time() - started:.0f} s, {size / 1e6:.0f} MB")
    started = time.process_time()
    of_usearch = usearch.index.Index(ndim=DIM, metric="ip", dtype="f32", connectivity=32, expansion_add=128)
    of_usearch.add(np.arange(len(vectors)), vectors, threads=threads)
    size = of_usearch.memory_usage
    print(f"usearch HNSW made in processor {time.process_time() - started:.0f} s, {size / 1e6:.0f} MB")

    def by_faiss(m: int, width: int) -> np.ndarray:
        return of_faiss.search(queries[:m], K, params=faiss.SearchParametersHNSW(efSearch=width))[1]

    def by_usearch(m: int, width: int) -> np.ndarray:
        of_usearch.expansion_search = width
        return of_usearch.search(queries[:m], K, threads=threads).keys.reshape(m, -1)

    for name, search in (("faiss", by_faiss), ("usearch", by_usearch)):
        for width in (64 << step for step in range(10)):
            if recall(search(QUERIES, width), answers).mean() >= RECALL or width >= len(vectors):
                break
        found, times = timed(lambda m, search=search, width=width: search(m, width))
        report(f"{name} HNSW, ef {width}", times, found, answers)


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


def timed(search: Callable[[int], np.ndarray]) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The answers to all queries; for one alone seconds and processor time; seconds for one in a batch."""
    search(1)
    alone = []
    for _ in range(ALONE):
        started, busy = time.perf_counter(), time.process_time()
        search(1)
        alone.append((time.perf_counter() - started, time.process_time() - busy))
    started = time.perf_counter()
    found = search(QUERIES)
    clock, processor = (min(column) for column in zip(*alone, strict=True))
    return found, (clock, processor, (time.perf_counter() - started) / QUERIES)


def recall(found: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Per query the share of its nearest neighbours that were found."""
    return np.array([len({*a} & {*b}) / K for a, b in zip(found, answers, strict=True)])


def report(name: str, times: tuple[float, float, float], found: np.ndarray, answers: np.ndarray) -> None:
    """One line."""
    shared, half = recall(found, answers), QUERIES // 2
    clock, processor, together = (1e3 * seconds for seconds in times)
    print(
        f"{name:20} one {clock:6.1f} ms, processor {processor:6.1f}, in a batch {together:6.1f} ms a query; recall@{K} "
        f"{shared[:half].mean():.4f} planted, {shared[half:].mean():.4f} not",
        flush=True,
    )


if __name__ == "__main__":
    main()
