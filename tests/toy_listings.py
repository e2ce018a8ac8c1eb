"""Hand-made answers about listings with photos to go with them, and listings that a small net learns in seconds."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from vitrine.catalog import Catalog
from vitrine.predictions import ListingPredictions

VIEWS = ("appearance", "tag", "stamp")


def an_outcome(probability, truth, attention=None, views=None, thresholds=(0.2, 0.9), maps=None, images=None):
    """Listings L0, L1, ... of three photos each unless `views` says otherwise."""
    count = len(probability)
    views = views or [list(VIEWS)] * count
    images = images or [[f"images/{i}-{k}.png" for k in range(len(own))] for i, own in enumerate(views)]
    return ListingPredictions(
        task="authenticity",
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


def catalog_of(outcome: ListingPredictions, folder: Path, experts=("Ana", "Bo"), split="test") -> Catalog:
    """A catalog of plain photos that holds an outcome's listings."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for i, listing in enumerate(outcome.listings):
        for image, view in zip(outcome.images[i], outcome.views[i], strict=True):
            Image.new("RGB", (30, 20), (20 * i % 255, 90, 30 * len(rows) % 255)).save(folder / image)
            row = {"image": image, "listing": listing, "view": view, "verdict": outcome.truth[i], "split": split}
            rows.append(row | {"expert": experts[i % len(experts)] if experts else ""})
    return Catalog(str(folder), pd.DataFrame(rows), "v-5")


def learnable_catalog(folder: Path, listings: int = 60, size: int = 32) -> Catalog:
    """Listings of two to four noisy photos. The `tag` has a red disc if authentic, a blue one if not; a sixth undecided.

    Two thirds are train, a sixth each validation and test.
    """
    random = np.random.default_rng(3)
    (folder / "images").mkdir(parents=True)
    rows = []
    for i in range(listings):
        verdict = ("authentic", "counterfeit")[i % 2]
        split = ("train", "train", "train", "train", "validation", "test")[(i // 2) % 6]
        views = ["tag", "stamp", "", "stamp"][: 2 + i % 3]
        for k, view in enumerate(views):
            image = Image.new("RGB", (size, size), (220, 220, 220))
            fill = (
                {"authentic": (210, 30, 30), "counterfeit": (30, 40, 210)}[verdict] if view == "tag" else (90, 160, 90)
            )
            left = int(random.integers(2, size // 3))
            ImageDraw.Draw(image).ellipse((left, left, left + size // 2, left + size // 2), fill=fill)
            noisy = np.asarray(image, np.int16) + random.integers(-20, 20, (size, size, 1))
            name = f"images/{i:03}-{k}.png"
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / name)
            decided = verdict if i % 12 >= 2 else ""  # all of them in train
            rows.append({"image": name, "listing": f"L{i:03}", "view": view, "verdict": decided, "split": split})
    return Catalog(str(folder), pd.DataFrame(rows), "toy-listings-1")
