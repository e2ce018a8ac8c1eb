"""Asking a trained system about listings: those of a catalog, or folders of photos."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from vitrine.catalog import Catalog
from vitrine.data.augment import normalise
from vitrine.data.bags import Bag, bags_of, packed, rows_of
from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError
from vitrine.methods.authenticity.net import Answer
from vitrine.outcome import ListingOutcome

BATCH = 128  # photos


@dataclass(frozen=True)
class Asked:
    """Raw answers about listings, in order; per listing one row or one array over its photos.

    Attributes:
        score: Of authentic against counterfeit, (listings,).
        features: (listings, d).
        attention: Weights of the photos.
        photo_score: Of each photo alone.
        maps: (photos, h, w), each photo's largest value 1 (or all 0).
    """

    score: np.ndarray
    features: np.ndarray
    attention: list[np.ndarray] | None
    photo_score: list[np.ndarray] | None
    maps: list[np.ndarray] | None


def ask(net: nn.Module, store: PhotoStore, bags: Sequence[Bag], views: Sequence[str]) -> Asked:
    """What a net says about some listings, in evaluation mode.

    Args:
        net: A `ListingNet`.
        store: The photos that the bags' rows number.
        bags: At least one.
        views: The views that have a number (config.json).
    """
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    answers: list[Answer] = []
    batches = packed([len(bag) for bag in bags], BATCH)
    with torch.inference_mode():
        for batch, (_, pixels) in zip(batches, store.batches(rows_of(bags, batch) for batch in batches), strict=True):
            photos = normalise(pixels.to(device)).contiguous(memory_format=torch.channels_last)
            own = [bags[i] for i in batch]
            lengths = torch.tensor([len(bag) for bag in own])
            answers.append(net(photos, lengths, view_numbers(own, views).to(device)))
    net.train(was_training)
    ends = np.cumsum([len(bag) for bag in bags])[:-1]

    def joined(name: str) -> np.ndarray | None:
        parts = [getattr(answer, name) for answer in answers]
        return None if parts[0] is None else torch.cat(parts).float().cpu().numpy()

    def per_listing(values: np.ndarray | None) -> list[np.ndarray] | None:
        return None if values is None else np.split(values, ends)

    logits, features, photo_logits, maps = (joined(name) for name in ("logits", "features", "photo_logits", "maps"))
    assert logits is not None
    assert features is not None
    if maps is not None:
        maps = maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    return Asked(
        logits[:, 0] - logits[:, 1],
        features,
        per_listing(joined("attention")),
        None if photo_logits is None else per_listing(photo_logits[:, 0] - photo_logits[:, 1]),
        per_listing(maps),
    )


def view_numbers(bags: Sequence[Bag], views: Sequence[str]) -> torch.Tensor:
    """The place in `views` of what each photo shows, -1 for any other view or none: (m,) int64."""
    place = {view: number for number, view in enumerate(views)}
    return torch.tensor([place.get(view, -1) for bag in bags for view in bag.views])


def answer(model: Path, catalog: Catalog) -> ListingOutcome:
    """A model's answers about every listing of a catalog, decided or not.

    Raises:
        InputError: if it is no model for listings, there are none, or a photo cannot be read.
    """
    if not len(catalog):
        raise InputError(f"{catalog.root}: no rows to ask the model about")
    return judge(*load_listing_model(model), catalog)


def load_listing_model(model: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A model for listings, and its config.

    Raises:
        InputError: if it is no model folder, or one for another task.
    """
    from vitrine.methods.inference import load_model

    net, config = load_model(model)
    if config["task"] != "authenticity":
        raise InputError(f"{model}: is a model for {config['task']}, not for authenticity")
    return net, config


def judge(net: nn.Module, config: Mapping[str, Any], catalog: Catalog) -> ListingOutcome:
    """What a loaded model says about every listing of a catalog."""
    bags = bags_of(catalog.table)
    started = time.perf_counter()
    store = PhotoStore.of_catalog(catalog, config["image_size"])
    asked = ask(net, store, bags, config["views"])
    seconds = time.perf_counter() - started
    images = catalog.table["image"].to_numpy(object)
    return ListingOutcome(
        listings=[bag.listing for bag in bags],
        images=[list(images[bag.rows]) for bag in bags],
        views=[list(bag.views) for bag in bags],
        truth=[bag.verdict for bag in bags],
        probability=calibrated(asked.score, config, "listing"),
        attention=asked.attention,
        photo_probability=asked.photo_score and [calibrated(own, config, "photo") for own in asked.photo_score],
        maps=asked.maps,
        embeddings=asked.features,
        thresholds=tuple(config["thresholds"]),
        seconds=seconds,
    )


def calibrated(score: np.ndarray, config: Mapping[str, Any], of: str) -> np.ndarray:
    """P(authentic) from raw scores, by what the validation listings showed."""
    slope, bias = config["calibration"][of]
    return expit(slope * score.astype(np.float64) + bias)
