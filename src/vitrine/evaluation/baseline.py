"""What a model has to beat: the net it started from, frozen, with a logistic regression or a cosine behind it.

Ten lines of script come to these figures, so a model that stays below them is not worth its training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.logistic import Logistic, fit_logistic
from vitrine.blocks.pretrained import find_weights
from vitrine.catalog import Catalog
from vitrine.data.bags import bags_of
from vitrine.data.crops import crops_of
from vitrine.data.feature_store import FeatureStore
from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError
from vitrine.methods import attributes, taxonomy
from vitrine.methods.tree import CategoryTree
from vitrine.methods.truth import label_matrix
from vitrine.outcome import ListingOutcome, Outcome

FIT_PHOTOS = 20_000  # training photos (or listings) at most
BATCH = 128


@dataclass(frozen=True)
class Frozen:
    """Features of the net as it was published.

    Attributes:
        photos: Of the measured rows, (photos, dim).
        taught: Of the rows that the regression is fitted on, (n, dim), and of the table they are in.
        train: Of those in the training split, the others being validation rows, (n,) bool.
    """

    photos: np.ndarray
    taught: np.ndarray
    table: Any
    train: np.ndarray


def baseline(config: Mapping[str, Any], catalog: Catalog, rows: Catalog) -> Outcome | ListingOutcome | str:
    """What the frozen net answers about the photos that a model is measured on.

    Args:
        config: The model's.
        catalog: Whose `train` rows the regressions are fitted on, and whose `validation` rows choose their strength.
        rows: The measured ones.

    Returns:
        Answers as the model gives them, or why there is nothing to compare it with.
    """
    task, start = config["task"], config.get("weights")
    if not start:
        return "the net was trained from nothing"
    try:
        found = find_weights(config["settings"]["weights"], config["backbone"])
        if found is None or found.sha256 != start["sha256"]:
            return f"the weights it started from ({start['source']}) are not here"
        trunk, _ = build_backbone(config["backbone"], config["image_size"], config["settings"]["weights"])
    except InputError as error:
        return f"the weights it started from cannot be had here: {error}"
    pooled = nn.Sequential(trunk, nn.AdaptiveAvgPool2d(1)).to("cuda" if torch.cuda.is_available() else "cpu")
    pooled.to(memory_format=torch.channels_last)
    crops = task == "matching"
    measured = _features(pooled, config, rows, crops)
    images = rows.table["image"].tolist()
    if task in ("representation", "matching"):
        return _retrieval(config, rows, images, measured)
    fitted = _rows_to_fit(catalog, task)
    if fitted is None:
        return f"{catalog.root} has no labelled training rows to fit a regression on"
    own = Frozen(
        measured, _features(pooled, config, fitted, crops), fitted.table, (fitted.table["split"] == "train").to_numpy()
    )
    return _listings(own, config, rows) if task == "authenticity" else _labels(own, config, rows, images)


def _features(pooled: nn.Module, config: Mapping[str, Any], rows: Catalog, crops: bool) -> np.ndarray:
    photos = PhotoStore.of_catalog(rows, config["image_size"], crops=crops_of(rows.table) if crops else ())
    store = FeatureStore(photos, pooled, copies=0)
    device = torch.device("cpu")
    parts = np.array_split(np.arange(len(store)), range(BATCH, len(store), BATCH))
    return np.concatenate([store.normalised(batch, device).flatten(1).numpy() for _, batch in store.batches(parts)])


def _rows_to_fit(catalog: Catalog, task: str) -> Catalog | None:
    """The training and validation rows, a random part of them where they are many; None without training rows."""
    table = catalog.table
    if "split" not in table:
        return None
    parts = []
    for split in ("train", "validation"):
        rows = np.flatnonzero((table["split"] == split).to_numpy())
        if task == "authenticity":  # whole listings
            rows = rows[table["verdict"].to_numpy()[rows] != ""] if "verdict" in table else rows[:0]
        elif len(rows) > FIT_PHOTOS:
            rows = np.random.default_rng(0).permutation(rows)[:FIT_PHOTOS]
        parts.append(np.sort(rows))
    return catalog.with_table(table.iloc[np.concatenate(parts)]) if len(parts[0]) else None


def _labels(own: Frozen, config: Mapping[str, Any], rows: Catalog, images: list[str]) -> Outcome:
    method: ModuleType = taxonomy if config["task"] == "taxonomy" else attributes
    plain = {key: config[key] for key in ("leaves", "labels") if key in config}
    if method is taxonomy:  # every level is a question of its own
        plain["levels"] = list(range(1, CategoryTree(plain["leaves"]).depth))
    scores, temperatures = {}, {}
    for name, truth, labels in method.tasks(plain, own.table):
        allowed = label_matrix(truth, labels)
        if method is taxonomy and not name.startswith("attr:"):  # a category cut short says nothing of what is below
            allowed &= (allowed.sum(axis=1) == 1)[:, None]
        scores[name] = _regression(own, allowed).scores(own.photos).astype(np.float32)
        temperatures[name] = 1.0
    asked = method.questions(plain, scores, rows.table, temperatures)
    if len(plain.get("levels", ())):
        levels = taxonomy.separate_levels(plain, scores, rows.table, temperatures)
        asked = [*levels, *(question for question in asked if question.name.startswith("attr:"))]
    return Outcome(config["task"], images, asked, own.photos, 0.0)


def _regression(own: Frozen, allowed: np.ndarray) -> Logistic:
    known = allowed.any(axis=1)
    train, other = known & own.train, known & ~own.train
    targets = (allowed[train] / allowed[train].sum(axis=1, keepdims=True)).astype(np.float32)
    return fit_logistic(own.taught[train], targets, (own.taught[other], allowed[other]))


def _listings(own: Frozen, config: Mapping[str, Any], rows: Catalog) -> ListingOutcome:
    taught = [bag for bag in bags_of(own.table) if bag.verdict]
    means = np.stack([own.taught[bag.rows].mean(axis=0) for bag in taught])
    truth = np.array([[bag.verdict == label for label in config["labels"]] for bag in taught])
    train = np.array([bag.split == "train" for bag in taught])
    found = fit_logistic(means[train], truth[train].astype(np.float32), (means[~train], truth[~train]))
    bags = bags_of(rows.table)
    features = np.stack([own.photos[bag.rows].mean(axis=0) for bag in bags])
    scores = found.scores(features)
    images = rows.table["image"].to_numpy(object)
    return ListingOutcome(
        listings=[bag.listing for bag in bags],
        images=[list(images[bag.rows]) for bag in bags],
        views=[list(bag.views) for bag in bags],
        truth=[bag.verdict for bag in bags],
        probability=1 / (1 + np.exp(scores[:, 1] - scores[:, 0])),
        attention=None,
        photo_probability=None,
        maps=None,
        embeddings=features,
        thresholds=tuple(config["thresholds"]),
        seconds=0.0,
    )


def _retrieval(config: Mapping[str, Any], rows: Catalog, images: list[str], features: np.ndarray) -> Outcome:
    def column(name: str) -> list[str]:
        return rows.table[name].astype(str).tolist() if name in rows.table else [""] * len(images)

    return Outcome(
        config["task"],
        images,
        [],
        features,
        0.0,
        paths=column("category"),
        things=column(config.get("identity", "")),
        domains=column("domain"),
    )
