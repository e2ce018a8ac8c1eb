"""Which rows show the same photo: exact copies, and copies that were re-encoded, resized or slightly cropped."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from vitrine.quality import signature
from vitrine.quality.scan import signatures

MAX_DISTANCE = 12  # bits of 64: what copies cropped by 3.5 % a side stay within, 95 in 100 of them
MAX_BUCKET = 256  # neighbours compared within one bucket, so that a crowd of alike photos costs linear time
FLAT_SPREAD = 2.0  # grey levels: below, a photo is one plain colour and its hash means nothing
MAX_TABLES = 300

Groups = NDArray[np.int64]
Indices = NDArray[np.int64]


def exact_groups(photos: pd.DataFrame) -> Groups:
    """Groups rows whose photos have the same bytes or decode to the same pixels.

    Returns:
        A group number per row, -1 for a row that is alone or unreadable.
    """
    readable = photos["readable"].to_numpy()
    return linked(len(photos), [_chain(photos["sha256"], readable), _chain(photos["pixels"], readable)])


def near_duplicate_groups(photos: pd.DataFrame, max_distance: int = MAX_DISTANCE, turned: bool = False) -> Groups:
    """Groups rows whose photos are copies of one another, exact ones included.

    Candidates are the pairs of hashes at most `max_distance` bits apart; their signatures decide. Photos of one plain
    colour are grouped with exact copies only.

    Args:
        photos: A photo table.
        max_distance: Hamming distance of candidate hashes.
        turned: Also find copies that were mirrored, flipped or turned by quarters.

    Returns:
        A group number per row, -1 for a row that is alone.
    """
    readable = photos["readable"].to_numpy()
    links = [_chain(photos["sha256"], readable), _chain(photos["pixels"], readable)]
    textured = readable & (photos["spread"].to_numpy() >= FLAT_SPREAD)
    chosen = np.flatnonzero(textured & ~(photos["pixels"].duplicated().to_numpy() & readable))
    looks = signatures(photos.iloc[chosen])
    variants = [looks] + [signature.turned(looks, turn) for turn in range(1, signature.TURNS if turned else 1)]
    codes = np.concatenate([signature.hashes(variant) for variant in variants])
    count = len(chosen)
    low, high = _distinct(near_pairs(codes, max_distance), len(codes))
    wanted = (low < count) & (low != high % max(count, 1))  # one side is the photo as it is
    low, high = low[wanted], high[wanted]
    for turn, variant in enumerate(variants):
        mine = high // max(count, 1) == turn
        left, right = low[mine], high[mine] % max(count, 1)
        same = signature.same_photo(looks, variant, left, right)
        links.append((chosen[left[same]], chosen[right[same]]))
    return linked(len(photos), links)


def near_pairs(codes: NDArray[np.uint64], max_distance: int) -> Iterator[tuple[Indices, Indices]]:
    """All pairs of 64-bit codes at most `max_distance` bits apart, in portions; a pair may come more than once.

    Cut into `max_distance + k` blocks, two such codes agree in at least k of them (Manku et al., "Detecting
    near-duplicates for web crawling", 2007): for each choice of k blocks, sort by their bits and compare within runs of
    equal ones. Runs longer than `MAX_BUCKET` are compared along their sorted order only.
    """
    agreeing = _agreeing_blocks(len(codes), max_distance)
    edges = np.linspace(0, 64, max_distance + agreeing + 1).round().astype(int)
    blocks = [np.uint64(((1 << int(stop - start)) - 1) << int(start)) for start, stop in pairwise(edges)]
    for chosen in combinations(blocks, agreeing):
        mask = np.bitwise_or.reduce(np.array(chosen, dtype=np.uint64))
        keys = codes & mask
        order = np.lexsort((codes, keys))
        sorted_keys, sorted_codes = keys[order], codes[order]
        at = np.arange(len(codes) - 1)
        for step in range(1, MAX_BUCKET + 1):
            at = at[at + step < len(codes)]
            at = at[sorted_keys[at] == sorted_keys[at + step]]
            if not len(at):
                break
            close = at[np.bitwise_count(sorted_codes[at] ^ sorted_codes[at + step]) <= max_distance]
            if len(close):
                yield order[close], order[close + step]


def linked(rows: int, links: Sequence[tuple[Indices, Indices]]) -> Groups:
    """Connected components of rows under pairwise links, numbered by their first row; -1 for a row that is alone."""
    first = np.concatenate([pair[0] for pair in links]) if links else np.empty(0, dtype=np.int64)
    second = np.concatenate([pair[1] for pair in links]) if links else np.empty(0, dtype=np.int64)
    graph = coo_matrix((np.ones(len(first), dtype=np.int8), (first, second)), shape=(rows, rows))
    labels = connected_components(graph, directed=False)[1]
    _, leaders, groups, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    return np.where(sizes[groups] > 1, leaders[groups], -1).astype(np.int64)


def chain(values: pd.Series) -> tuple[Indices, Indices]:
    """Links every row to the previous row of the same value; "" is no value."""
    return _chain(values, np.ones(len(values), dtype=bool))


def members(groups: Groups) -> list[Indices]:
    """The rows of each group of at least two, in order of their first row."""
    rows = np.flatnonzero(groups >= 0)
    rows = rows[np.argsort(groups[rows], kind="stable")]
    return np.split(rows, np.flatnonzero(np.diff(groups[rows])) + 1) if len(rows) else []


def _chain(values: pd.Series, wanted: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    rows = np.flatnonzero(wanted & (values != "").to_numpy(dtype=bool))
    codes = pd.factorize(values.iloc[rows])[0]
    order = np.argsort(codes, kind="stable")
    rows, codes = rows[order], codes[order]
    same = codes[1:] == codes[:-1]
    return rows[:-1][same], rows[1:][same]


def _distinct(portions: Iterator[tuple[Indices, Indices]], codes: int) -> tuple[Indices, Indices]:
    """Each pair once, the smaller index first."""
    seen = np.empty(0, dtype=np.int64)
    waiting: list[Indices] = []
    for first, second in portions:
        waiting.append(np.minimum(first, second) * codes + np.maximum(first, second))
        if sum(map(len, waiting)) > len(seen) + 2_000_000:
            seen, waiting = np.unique(np.concatenate([seen, *waiting])), []
    seen = np.unique(np.concatenate([seen, *waiting]))
    return seen // max(codes, 1), seen % max(codes, 1)


def _agreeing_blocks(rows: int, max_distance: int) -> int:
    """How many blocks a table sorts by: enough bits that unrelated codes rarely share them, few enough tables."""
    agreeing = 1
    while (
        64 * agreeing / (max_distance + agreeing) < np.log2(max(rows, 2))
        and comb(max_distance + agreeing + 1, agreeing + 1) <= MAX_TABLES
    ):
        agreeing += 1
    return agreeing
