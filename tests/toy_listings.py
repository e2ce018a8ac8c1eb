"""Hand-made answers about listings, and photos to go with them."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from vitrine.catalog import Catalog
from vitrine.outcome import ListingOutcome

VIEWS = ("appearance", "tag", "stamp")


def an_outcome(probability, truth, attention=None, views=None, thresholds=(0.2, 0.9), maps=None, images=None):
    """Listings L0, L1, ... of three photos each unless `views` says otherwise."""
    count = len(probability)
    views = views or [list(VIEWS)] * count
    images = images or [[f"images/{i}-{k}.png" for k in range(len(own))] for i, own in enumerate(views)]
    return ListingOutcome(
        listings=[f"L{i}" for i in range(count)],
        images=images,
        views=views,
        truth=list(truth),
        probability=np.array(probability, np.float64),
        attention=attention,
        photo_probability=None,
        maps=maps,
        embeddings=np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32),
        thresholds=thresholds,
        seconds=0.5,
    )


def catalog_of(outcome: ListingOutcome, folder: Path, experts=("Ana", "Bo"), split="test") -> Catalog:
    """A catalog of plain photos that holds an outcome's listings."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for i, listing in enumerate(outcome.listings):
        for image, view in zip(outcome.images[i], outcome.views[i], strict=True):
            Image.new("RGB", (30, 20), (20 * i % 255, 90, 30 * len(rows) % 255)).save(folder / image)
            row = {"image": image, "listing": listing, "view": view, "verdict": outcome.truth[i], "split": split}
            rows.append(row | {"expert": experts[i % len(experts)] if experts else ""})
    return Catalog(str(folder), pd.DataFrame(rows), "v-5")
