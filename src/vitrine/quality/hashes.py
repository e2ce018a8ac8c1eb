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


def stable_sample(texts: pd.Series, size: int, seed: int = 0) -> NDArray[np.int64]:
    """At most `size` positions, in order; the choice hangs on the texts themselves, so most of it outlives an edit."""
    if len(texts) <= size:
        return np.arange(len(texts))
    return np.sort(np.argpartition(text_hashes(texts, seed), size)[:size])
