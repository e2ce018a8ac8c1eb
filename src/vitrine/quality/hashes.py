"""Numbers for texts that are the same on every machine and in every run: for stable samples, and to match rows."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SLICE = 500_000  # texts that stand as Python objects at a time


def text_hashes(texts: pd.Series, seed: int = 0) -> NDArray[np.uint64]:
    """A 64-bit hash of each text; another seed shuffles them anew."""
    parts = [
        pd.util.hash_array(
            texts.iloc[start : start + SLICE].to_numpy(dtype=object), hash_key=f"{seed:016d}"[-16:], categorize=False
        )
        for start in range(0, len(texts), SLICE)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)


def lowest(hashes: NDArray[np.uint64], size: int) -> NDArray[np.int64]:
    """The positions of the `size` smallest hashes, in order: a sample that mostly outlives an edit of the texts."""
    return np.arange(len(hashes)) if len(hashes) <= size else np.sort(np.argpartition(hashes, size)[:size])
