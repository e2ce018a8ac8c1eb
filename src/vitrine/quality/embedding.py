"""What a net trained on other photos sees in a catalog's: a vector a photo, computed once for each content and kept.

The net is the one that trainings on CPUs start from, as it was published: nothing here has seen the catalog's labels.
Vectors are the mean over places of its last map, the same that the baseline of an evaluation is fitted on, and both
find them in the same cache.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.catalog import Catalog
from vitrine.quality.label_noise import Features, Rows, looks_of

NET = "mobilenet_v2"
EDGE = 128  # pixels of the square that a photo is fitted into, as trainings on CPUs do by default
BATCH = 64


def label_features(
    catalog: Catalog,
    photos: pd.DataFrame,
    embedding: bool,
    progress: Callable[[int, int], None] | None = None,
) -> list[Features]:
    """What labels are held against: the photo table's looks and, if asked, what the net sees."""
    return [looks_of(photos), *([embedder(catalog, photos, progress=progress)] if embedding else [])]


def embedder(
    catalog: Catalog,
    photos: pd.DataFrame,
    *,
    weights: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """A function that gives the vectors of some rows, (rows, 1280); zeros of a photo that cannot be read.

    Torch is loaded, and weights are looked for, when it is first called. Where there is a GPU it is used.

    Args:
        catalog: The photos.
        photos: The catalog's photo table: `readable`, and `sha256`, by which the cache knows a photo.
        weights: See `vitrine.blocks.pretrained.find_weights`.
        progress: Called with (photos done, photos asked for).

    Raises:
        InputError: (when called) if the weights cannot be had here, or a photo vanished or was replaced since the scan.
    """

    def embed(rows: Rows) -> NDArray[np.float32]:
        import torch
        from torch import nn

        from vitrine.blocks.backbones import build_backbone
        from vitrine.data.feature_store import FeatureStore
        from vitrine.data.photo_store import PhotoStore
        from vitrine.files import states

        trunk, (channels, _, _) = build_backbone(NET, EDGE, weights)
        pooled = nn.Sequential(trunk, nn.AdaptiveAvgPool2d(1)).to("cuda" if torch.cuda.is_available() else "cpu")
        embeddings = np.zeros((len(rows), channels), np.float32)
        asked = np.flatnonzero(photos["readable"].to_numpy(bool)[rows])
        if not len(asked):
            return embeddings
        images = catalog.table["image"].iloc[rows[asked]]
        uris = [catalog.uri(image) for image in images]
        digests = photos["sha256"].iloc[rows[asked]].tolist()
        seen = states(uris)
        contents = [f"{digest} {seen[uri]}" for digest, uri in zip(digests, uris, strict=True)]
        store = FeatureStore(
            PhotoStore(uris, EDGE, contents=contents, digests=digests),
            pooled.to(memory_format=torch.channels_last),
            copies=0,
        )
        cpu = torch.device("cpu")
        parts = np.array_split(np.arange(len(asked)), range(BATCH, len(asked), BATCH))
        done = 0
        for part, batch in store.batches(parts):
            embeddings[asked[part]] = store.normalised(batch, cpu).flatten(1).numpy()
            done += len(part)
            if progress is not None:
                progress(done, len(asked))
        return embeddings

    return embed
