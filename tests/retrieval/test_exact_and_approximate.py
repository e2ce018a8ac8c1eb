"""Searching with bounds against a plain sort in double precision; what the quick search may miss."""

import subprocess
import sys

import faiss
import numpy as np
import pytest

from vitrine.retrieval import approximate
from vitrine.retrieval.exact import best_of, encode, search_exact
from vitrine.retrieval.segment import unit_rows


def sorted_by_cosine(queries, vectors, k, alive=None):
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    if alive is not None:
        scores[:, ~alive] = -2
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(scores, rows, axis=1)


def clustered(random, rows, dim):
    """Vectors as nets make them: not negative, in clumps."""
    centres = random.random((20, dim))
    return unit_rows(centres[random.integers(20, size=rows)] + 0.2 * random.random((rows, dim)))


@pytest.mark.parametrize("dim", [3, 64, 129])
@pytest.mark.parametrize("make", [clustered, lambda random, rows, dim: unit_rows(random.standard_normal((rows, dim)))])
def test_bounds_lose_nothing(dim, make):
    random = np.random.default_rng(dim)
    vectors, queries = make(random, 3000, dim), make(random, 5, dim)
    alive = random.random(3000) < 0.7
    for mask in (None, alive):
        rows, scores = search_exact(queries, vectors, encode(vectors), 20, mask)
        _, best = sorted_by_cosine(queries, vectors, 20, mask)
        np.testing.assert_allclose(scores, best, atol=1e-6)
        np.testing.assert_allclose((vectors[rows] * queries[:, None]).sum(2), scores, atol=1e-6)
        if mask is not None:
            assert mask[rows].all()


def test_the_bound_holds_and_is_needed():
    random = np.random.default_rng(2)
    vectors, queries = (unit_rows(random.standard_normal((n, 256))) for n in (4000, 50))
    own, codes = encode(queries), encode(vectors)
    rounded = (codes.code * codes.scale[:, None]) @ (own.code * own.scale[:, None]).T
    error = np.abs(vectors @ queries.T - rounded)
    bound = codes.slack[:, None] + own.slack * (1 + codes.slack[:, None])
    assert (error <= bound).all()
    by_codes = np.argsort(-rounded, axis=0)[:20].T
    true, _ = sorted_by_cosine(queries, vectors, 20)
    assert any(set(a) != set(b) for a, b in zip(by_codes, true, strict=True))  # codes alone would be wrong


def test_equal_vectors_come_in_order_and_k_may_be_too_large():
    vectors = unit_rows(np.ones((500, 8)))
    for codes in (encode(vectors), None):
        rows, scores = search_exact(vectors[:2], vectors, codes, 3)
        assert rows.tolist() == [[0, 1, 2]] * 2
        np.testing.assert_allclose(scores, 1, atol=1e-6)
        assert search_exact(vectors[:1], vectors, codes, 9999)[0].shape == (1, 500)
    assert search_exact(vectors[:1], vectors[:0], None, 3)[0].shape == (1, 0)


def test_the_best_of_some_rows():
    random = np.random.default_rng(6)
    vectors, queries = clustered(random, 2000, 64), clustered(random, 4, 64)
    some = np.sort(random.choice(2000, 300, replace=False))
    for query in queries:
        for k in (7, 300, 400):
            rows, scores = best_of(some, query, vectors, encode(vectors), k)
            _true, best = sorted_by_cosine(query[None], vectors[some], k)
            np.testing.assert_allclose(scores, best[0], atol=1e-6)
            assert set(rows) <= set(some)
            assert len(rows) == min(k, 300)


def test_zeros_are_found_last():
    vectors = np.vstack([np.zeros((1, 4)), np.eye(4)]).astype(np.float32)
    rows, scores = search_exact(np.eye(4, dtype=np.float32)[:1], vectors, encode(vectors), 5)
    assert rows[0, 0] == 1
    assert np.isfinite(scores).all()


@pytest.mark.slow
def test_codes_of_four_bits_find_planted_and_random_neighbours(tmp_path):
    random = np.random.default_rng(3)
    vectors, queries = (unit_rows(random.standard_normal((n, 65))) for n in (20_000, 20))
    vectors[:5] = unit_rows(queries[:1] + 0.02 * random.standard_normal((5, 65)))
    approximate.build(vectors, tmp_path / "codes")
    codes = approximate.load(tmp_path / "codes", *vectors.shape)
    near = approximate.candidates(codes, queries, 1000)
    true, _ = sorted_by_cosine(queries, vectors, 20)
    assert set(range(5)) <= set(approximate.candidates(codes, queries, 50)[0])
    assert np.mean([len(set(a) & set(b)) / 20 for a, b in zip(near, true, strict=True)]) > 0.99


@pytest.mark.parametrize("queries", [1, 3])
def test_parts_name_what_the_whole_names(tmp_path, queries):
    vectors = unit_rows(np.random.default_rng(7).standard_normal((1000, 31)))
    approximate.build(vectors, tmp_path / "codes")
    whole = faiss.read_index(str(tmp_path / "codes"))
    _, expected = whole.search(np.pad(vectors[:queries], ((0, 0), (0, 1))), 40)
    for parts in (1, 3, 8, 99):
        codes = approximate.split(whole, parts)
        assert len(codes.indexes) == min(parts, 32)  # blocks of 32 vectors
        assert [part.ntotal for part in codes.indexes][-1] <= 32 * -(-32 // parts)
        near = approximate.candidates(codes, vectors[:queries], 40)
        shared = [len({*a} & {*b}) for a, b in zip(near, expected, strict=True)]
        assert min(shared) >= 38  # tables are rounded to eight bits anew in each
    assert sorted(approximate.candidates(codes, vectors[:1], 5000)[0]) == list(range(1000))
    loaded = approximate.load(tmp_path / "codes", 1000, 31)
    assert approximate.candidates(loaded, vectors[:queries], 40).shape == (queries, 40)


FORKED = """
import os, sys
import faiss, numpy as np
from vitrine.retrieval import approximate
vectors = np.random.default_rng(7).standard_normal((1000, 32), dtype=np.float32)
whole = faiss.index_factory(32, "PQ16x4fs", faiss.METRIC_INNER_PRODUCT)
whole.train(vectors)
whole.add(vectors)
codes = approximate.split(whole, 3)
before = approximate.candidates(codes, vectors[:1], 40)
child = os.fork()
after = approximate.candidates(codes, vectors[:1], 40)
same = np.array_equal(np.sort(before), np.sort(after))
if not child:
    os._exit(0 if same else 1)
_, status = os.waitpid(child, 0)
print(same, os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_fork_of_a_process_that_has_searched_searches():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True 0\n"
