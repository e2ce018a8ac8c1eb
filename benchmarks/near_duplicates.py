"""Near copies among millions of hashes: seconds, growth, and what is found of the pairs that are known.

    python benchmarks/near_duplicates.py [--codes 500000 1000000 2000000]

Random 64-bit codes, of which a tenth are copies of others with 0 to 12 bits changed.
"""

import argparse
import time

import numpy as np

from vitrine.quality.duplicates import near_pairs


def main() -> None:
    """Prints a line per number of codes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, nargs="+", default=[500_000, 1_000_000, 2_000_000])
    parser.add_argument("--distance", type=int, default=12)
    options = parser.parse_args()
    before = 0.0
    for count in options.codes:
        codes, pairs, distances = planted(count)
        started = time.perf_counter()
        first, second = near_pairs(codes, options.distance)
        seconds = time.perf_counter() - started
        found = np.sort(np.minimum(first, second) * count + np.maximum(first, second))
        wanted = pairs.min(axis=1) * count + pairs.max(axis=1)
        hit = found[np.searchsorted(found, wanted).clip(max=len(found) - 1)] == wanted
        shares = ", ".join(
            f"{d} bits {hit[distances == d].mean():.3f}" for d in (4, 6, 8, 10, 12) if d <= options.distance
        )
        growth = f", {seconds / before:.2f} times the one before" if before else ""
        print(f"{count:,} codes: {seconds:.1f} s{growth}; found of pairs apart {shares}", flush=True)
        before = seconds


def planted(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, positions of the pairs among them, and how many bits each pair differs by."""
    random = np.random.default_rng(0)
    codes = random.integers(0, 2**64, count, dtype=np.uint64)
    pairs = random.permutation(count)[: count // 10 * 2].reshape(-1, 2)
    distances = random.integers(0, 13, len(pairs))
    bits = np.argsort(random.random((len(pairs), 64), dtype=np.float32), axis=1)[:, :12].astype(np.uint64)
    flips = np.where(np.arange(12) < distances[:, None], np.uint64(1) << bits, np.uint64(0))
    codes[pairs[:, 1]] = codes[pairs[:, 0]] ^ np.bitwise_or.reduce(flips, axis=1)
    return codes, pairs, distances


if __name__ == "__main__":
    main()
