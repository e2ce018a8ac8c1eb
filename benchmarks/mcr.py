"""Fitting MCR (Eq. 2-4 of the taxonomy paper) at the size of its data: 547 leaves, 10 roots, 100,000 rows of scores.

    python benchmarks/mcr.py [--rows 100000] [--leaves 547] [--roots 10] [--seed 0]

Scores are made up: normal, the true node's raised. Prints what each level came to, seconds and peak memory.
"""

import argparse
import resource
import time

import numpy as np

from vitrine.tasks.taxonomy.mcr import Structure, centred, refine_level


def main() -> None:
    """Fits both levels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--leaves", type=int, default=547)
    parser.add_argument("--roots", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random, rows = np.random.default_rng(options.seed), np.arange(options.rows)
    parent = random.integers(0, options.roots, options.leaves)
    parent[: options.roots] = np.arange(options.roots)
    truth = random.integers(0, options.leaves, options.rows)
    leaf = random.normal(size=(options.rows, options.leaves)).astype(np.float32) * 1.5
    leaf[rows, truth] += 4
    root = random.normal(size=(options.rows, options.roots)).astype(np.float32)
    root[rows, parent[truth]] += 3
    structure = Structure((options.roots, options.leaves), (np.empty(0, int), parent))
    features = centred([root, leaf])
    del leaf, root
    began = time.monotonic()
    for level, labels in ((0, parent[truth]), (1, truth)):
        allowed = np.zeros((options.rows, structure.sizes[level]), bool)
        allowed[rows, labels] = True
        started = time.monotonic()
        found = refine_level(level, features, allowed, structure)
        seconds = time.monotonic() - started
        print(
            f"level {level + 1}: {structure.sizes[level]} nodes, lambda {found.strength:g}, {seconds:.0f} s", flush=True
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{options.rows:,} rows: {time.monotonic() - began:.0f} s, peak {peak:.1f} GB")


if __name__ == "__main__":
    main()
