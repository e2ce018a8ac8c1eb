"""Which rows show the same photo: exact copies, and copies that were re-encoded, resized or slightly cropped."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from vitrine.quality import signature
from vitrine.quality.frames import WHOLE, framed_pairs
from vitrine.quality.scan import signatures

MAX_DISTANCE = 12  # bits of 64; what lies further apart is sought by its looks (`vitrine.quality.frames`)
# Photos up to which pairs within so many bits (upright, turned) are compared: pairs near by chance grow with n².
REACH = ((16_384, 20, 16), (200_000, 16, 16), (2**63, 10, 8))
FLAT_SPREAD = 2.0  # grey levels: below, a photo is one plain colour and its hash means nothing
BRUTE_FORCE = 16_384  # codes up to which all pairs are compared
ORDERS = 96  # random orders of the bits that more codes are sorted by
TURNED_ORDERS = 24  # the same for mirrored and turned copies, which are rarely cropped too
NEIGHBOURS = 16  # codes compared with each in every order
CROWD = 32  # rows of one code that each is compared with
PORTION = 100_000  # signatures looked at together

Groups = NDArray[np.int64]
Rows = NDArray[np.int64]
Links = tuple[Rows, Rows]
Turns = NDArray[np.uint8]
Frames = NDArray[np.float32]  # (pairs, 4)


def near_duplicate_groups(photos: pd.DataFrame, max_distance: int = MAX_DISTANCE, turned: bool = False) -> Groups:
    """Groups rows whose photos are copies of one another, exact ones included.

    Args:
        photos: A photo table.
        max_distance: Hamming distance of candidate hashes.
        turned: Also find copies that were mirrored, flipped or turned by quarters.

    Returns:
        A group number per row, -1 for a row that is alone.
    """
    links = [*exact_links(photos), near_links(photos, max_distance)]
    return linked(len(photos), [*links, turned_links(photos)[:2]] if turned else links)


def exact_links(photos: pd.DataFrame) -> list[Links]:
    """Links between rows whose photos have the same bytes or decode to the same pixels."""
    readable = photos["readable"].to_numpy()
    return [_chain(photos["sha256"], readable), _chain(photos["pixels"], readable)]


def near_links(photos: pd.DataFrame, max_distance: int = MAX_DISTANCE) -> Links:
    """Links between rows whose photos were re-encoded, resized or slightly cropped from one another.

    Candidates are the pairs of hashes at most `max_distance` bits apart; their signatures decide. Photos of one plain
    colour have exact copies only, and of exact copies the first stands for all.
    """
    rows = _textured(photos)
    max_distance = min(max_distance, next(upright for photos, upright, _ in REACH if len(rows) <= photos))
    first, second = near_pairs(photos["hash"].to_numpy(dtype=np.uint64)[rows], max_distance)
    left, right = rows[first], rows[second]
    encoded = signatures(photos)
    same = signature.same_photo(encoded, encoded, left, right)
    return left[same], right[same]


def candidate_links(photos: pd.DataFrame, max_distance: int = MAX_DISTANCE) -> tuple[Rows, Rows, tuple[Frames, Frames]]:
    """Links between rows whose photos may show one photo, for pixels to decide.

    These are `near_links`, and those of photos that look alike in a frame of each, because one was cropped, padded,
    turned a little, brightened or marked.

    Returns:
        Both rows of each link, sorted by the first, and the frame of each in which they look alike; see
        `vitrine.quality.frames`.
    """
    left, right = near_links(photos, max_distance)
    framed = framed_pairs(photos, _textured(photos))
    whole = np.broadcast_to(np.array(WHOLE, dtype=np.float32), (len(left), 4))
    first, second = np.concatenate([left, framed.first]), np.concatenate([right, framed.second])
    frames = np.concatenate([whole, framed.first_frames]), np.concatenate([whole, framed.second_frames])
    # A pair that both found is compared in the frames in which it looks most alike.
    pairs = np.minimum(first, second) * len(photos) + np.maximum(first, second)
    kept = len(pairs) - 1 - np.unique(pairs[::-1], return_index=True)[1]
    kept = kept[np.lexsort((second[kept], first[kept]))]
    return first[kept], second[kept], (frames[0][kept], frames[1][kept])


def turned_links(photos: pd.DataFrame) -> tuple[Rows, Rows, tuple[Turns, Turns]]:
    """Links between rows whose photos were mirrored, flipped or turned by quarters (and then perhaps saved anew).

    Returns:
        Both rows of each link, and the turn (see `signature.turned`) that brings each to where they look alike.
    """
    encoded, rows = signatures(photos), _textured(photos)
    codes: list[NDArray[np.uint64]] = []
    owners: list[Rows] = []
    turns: list[Turns] = []
    for start in range(0, len(rows), PORTION):
        part = rows[start : start + PORTION]
        low, canonical = signature.frequencies(encoded[part]), signature.canonical_turns(encoded[part])
        for turn in range(signature.TURNS):
            chosen = np.flatnonzero(canonical[:, turn])
            codes.append(signature.codes(signature.turned_frequencies(low[chosen], turn)))
            owners.append(part[chosen])
            turns.append(np.full(len(chosen), turn, dtype=np.uint8))
    if not codes:
        none = np.empty(0, dtype=np.uint8)
        return rows, rows, (none, none)
    owner, turned = np.concatenate(owners), np.concatenate(turns)
    reach = next(turned for photos, _, turned in REACH if len(rows) <= photos)
    first, second = near_pairs(np.concatenate(codes), reach, TURNED_ORDERS)
    apart = (turned[first] != turned[second]) & (owner[first] != owner[second])
    first, second = first[apart], second[apart]
    same = np.zeros(len(first), dtype=bool)
    for one in range(signature.TURNS):
        for other in range(signature.TURNS):
            pairs = np.flatnonzero((turned[first] == one) & (turned[second] == other))
            if len(pairs):
                left = signature.turned(encoded[owner[first[pairs]]], one)
                right = signature.turned(encoded[owner[second[pairs]]], other)
                same[pairs] = signature.same_photo(left, right, np.arange(len(pairs)), np.arange(len(pairs)))
    first, second = first[same], second[same]
    return owner[first], owner[second], (turned[first], turned[second])


def near_pairs(codes: NDArray[np.uint64], max_distance: int, orders: int = ORDERS) -> Links:
    """Pairs of 64-bit codes at most `max_distance` bits apart, as two arrays of positions, each pair once.

    Up to `BRUTE_FORCE` different codes all are compared. More are sorted `orders` times, each time with their bits in
    another random order, and each is compared with the `NEIGHBOURS` that follow it (Charikar, "Similarity estimation
    techniques from rounding algorithms", 2002, Section 3): time grows as n log n, and what is found of the pairs d bits
    apart falls with d (benchmarks/near_duplicates.py measures both).

    Positions with one code are linked to the next `CROWD` of the same code, and to at most 8 of a neighbouring one.
    """
    values, group, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    members = np.argsort(group, kind="stable")
    starts = np.cumsum(sizes) - sizes
    search = _all_pairs if len(values) <= BRUTE_FORCE else _sorted_pairs
    low, high = search(values, max_distance, orders)
    return _joined([_within(group[members], members), _across(low, high, members, starts, sizes)])


def linked(rows: int, links: Sequence[Links]) -> Groups:
    """Connected components of rows under pairwise links, numbered by their first row; -1 for a row that is alone."""
    first, second = _joined(links)
    graph = coo_matrix((np.ones(len(first), dtype=np.int8), (first, second)), shape=(rows, rows))
    labels = connected_components(graph, directed=False)[1]
    _, leaders, groups, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    return np.where(sizes[groups] > 1, leaders[groups], -1).astype(np.int64)


def among(links: Links, rows: Rows, total: int) -> Links:
    """The links of a table of `total` rows that hold between some of its rows, as positions in `rows`."""
    place = np.full(total, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    first, second = place[links[0]], place[links[1]]
    both = (first >= 0) & (second >= 0)
    return first[both], second[both]


def chain(values: pd.Series) -> Links:
    """Links every row to the previous row of the same value; "" and null are no value."""
    return _chain(values, np.ones(len(values), dtype=bool))


def members(groups: Groups) -> list[Rows]:
    """The rows of each group of at least two, in order of their first row."""
    rows = np.flatnonzero(groups >= 0)
    rows = rows[np.argsort(groups[rows], kind="stable")]
    return np.split(rows, np.flatnonzero(np.diff(groups[rows])) + 1) if len(rows) else []


def _textured(photos: pd.DataFrame) -> Rows:
    """Readable rows that are not plain, the first of each set of exact copies."""
    readable = photos["readable"].to_numpy()
    textured = readable & (photos["spread"].to_numpy() >= FLAT_SPREAD)
    return np.flatnonzero(textured & ~(photos["pixels"].duplicated().to_numpy() & readable))


def _chain(values: pd.Series, wanted: NDArray[np.bool_]) -> Links:
    rows = np.flatnonzero(wanted & ((values != "") & values.notna()).to_numpy(dtype=bool))
    codes = pd.factorize(values.iloc[rows])[0]
    order = np.argsort(codes, kind="stable")
    rows, codes = rows[order], codes[order]
    same = codes[1:] == codes[:-1]
    return rows[:-1][same], rows[1:][same]


def _joined(links: Sequence[Links]) -> Links:
    none = np.empty(0, dtype=np.int64)
    return np.concatenate([none, *(pair[0] for pair in links)]), np.concatenate([none, *(pair[1] for pair in links)])


def _within(sorted_groups: Rows, members: Rows) -> Links:
    """Pairs of one code: each position with the next `CROWD`."""
    links = []
    for step in range(1, CROWD + 1):
        same = np.flatnonzero(sorted_groups[step:] == sorted_groups[:-step])
        if not len(same):
            break
        links.append((members[same], members[same + step]))
    return _joined(links)


def _across(low: Rows, high: Rows, members: Rows, starts: Rows, sizes: Rows) -> Links:
    """Pairs of positions for pairs of codes, at most 8 of each code."""
    links = []
    for one in range(8):
        for other in range(8):
            both = (one < sizes[low]) & (other < sizes[high])
            if both.any():
                links.append((members[starts[low[both]] + one], members[starts[high[both]] + other]))
    return _joined(links)


def _all_pairs(values: NDArray[np.uint64], max_distance: int, _: int) -> Links:
    links = []
    for row in range(0, len(values), 256):
        near = np.bitwise_count(values[row : row + 256, None] ^ values[None, row:]) <= max_distance
        first, second = np.nonzero(near)
        links.append((row + first[first < second], row + second[first < second]))
    return _joined(links)


def _sorted_pairs(values: NDArray[np.uint64], max_distance: int, orders: int) -> Links:
    random = np.random.default_rng(0)
    seen = np.empty(0, dtype=np.int64)
    waiting: list[Rows] = []
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:  # numpy lets go of the interpreter while it sorts
        for start in range(0, orders, threads):
            portion = [random.permutation(64) for _ in range(start, min(start + threads, orders))]
            waiting += pool.map(lambda order: _neighbours(values, order, max_distance), portion)
            if sum(map(len, waiting)) > len(seen) + 2_000_000:
                seen, waiting = np.unique(np.concatenate([seen, *waiting])), []
    seen = np.unique(np.concatenate([seen, *waiting]))
    return seen // len(values), seen % len(values)


def _neighbours(values: NDArray[np.uint64], order: NDArray[np.int64], max_distance: int) -> Rows:
    """Pairs of codes that are neighbours once their bits stand in `order`, each as one number."""
    shuffled = _reordered(values, order)
    shuffled.sort()
    first, second = [], []
    for step in range(1, NEIGHBOURS + 1):
        near = np.flatnonzero(np.bitwise_count(shuffled[step:] ^ shuffled[:-step]) <= max_distance)
        first.append(shuffled[near])
        second.append(shuffled[near + step])
    back = np.argsort(order)
    one, other = (np.searchsorted(values, _reordered(np.concatenate(side), back)) for side in (first, second))
    return np.minimum(one, other) * len(values) + np.maximum(one, other)


def _reordered(values: NDArray[np.uint64], order: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Codes whose bit i stands at place `order[i]`, a byte at a time."""
    result = np.zeros(len(values), dtype=np.uint64)
    content = values.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)
    for byte in range(8):
        places = np.uint64(1) << order[8 * byte : 8 * byte + 8].astype(np.uint64)
        table = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.uint64) @ places
        result |= table[content[:, byte]]
    return result
