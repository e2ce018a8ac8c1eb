"""Asking a trained system about listings: those of a catalog, or folders of photos."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import nn

from vitrine.blocks.logistic import fit_logistic
from vitrine.catalog import Catalog
from vitrine.catalog.listing_folder import photos_in
from vitrine.catalog.photos import PhotoError
from vitrine.data.bags import MAX_PHOTOS, Bag, bags_of, packed, rows_of
from vitrine.data.inputs import Inputs
from vitrine.data.photo_store import PhotoStore
from vitrine.data.pixels import Pixels, Query
from vitrine.errors import InputError
from vitrine.evaluation.frozen import FrozenNet, fitted, rows_to_fit
from vitrine.inference import photos_at_once
from vitrine.predictions import LabelPredictions, ListingPredictions, PhotoPredictions, Reply
from vitrine.tasks.authenticity.decision import ASK, AUTHENTIC, COUNTERFEIT, verdicts
from vitrine.tasks.authenticity.metrics import VIEW_LISTINGS
from vitrine.tasks.authenticity.net import LABELS, ListingOutput


@dataclass(frozen=True)
class RawOutputs:
    """Uncalibrated outputs for listings, in order; per listing one row or one array over its photos.

    Attributes:
        score: Of authentic against counterfeit, (listings,).
        features: (listings, d).
        attention: Attention weights of the photos.
        photo_score: Logits of each photo alone.
        maps: (photos, h, w), each photo's largest value 1 (or all 0).
    """

    score: np.ndarray
    features: np.ndarray
    attention: list[np.ndarray] | None
    photo_score: list[np.ndarray] | None
    maps: list[np.ndarray] | None


def ask(net: nn.Module, store: Inputs, bags: Sequence[Bag], views: Sequence[str]) -> RawOutputs:
    """A net's outputs for some listings, in evaluation mode.

    Args:
        net: A `ListingNet`.
        store: The photos that the bags' rows number.
        bags: At least one.
        views: The views that have a number (config.json).
    """
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    outputs: list[ListingOutput] = []
    batches = packed([len(bag) for bag in bags], photos_at_once(store.size, device))
    with torch.inference_mode():
        for batch, (_, pixels) in zip(batches, store.batches(rows_of(bags, batch) for batch in batches), strict=True):
            photos = store.normalised(pixels, device)
            batch_bags = [bags[i] for i in batch]
            lengths = torch.tensor([len(bag) for bag in batch_bags])
            outputs.append(net(photos, lengths, view_numbers(batch_bags, views).to(device)))
    net.train(was_training)
    ends = np.cumsum([len(bag) for bag in bags])[:-1]

    def joined(name: str) -> np.ndarray | None:
        parts = [getattr(output, name) for output in outputs]
        return None if parts[0] is None else torch.cat(parts).float().cpu().numpy()

    def per_listing(values: np.ndarray | None) -> list[np.ndarray] | None:
        return None if values is None else np.split(values, ends)

    logits, features, photo_logits, maps = (joined(name) for name in ("logits", "features", "photo_logits", "maps"))
    assert logits is not None
    assert features is not None
    if maps is not None:
        maps = maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    return RawOutputs(
        logits[:, 0] - logits[:, 1],
        features,
        per_listing(joined("attention")),
        None if photo_logits is None else per_listing(photo_logits[:, 0] - photo_logits[:, 1]),
        per_listing(maps),
    )


def could_be_judged(bags: list[Bag], table: pd.DataFrame) -> list[Bag]:
    """The decided listings and the undecided ones that are of their kind.

    An undecided listing is left out where it names views and none is a decided one's, or a top category and no decided
    listing has it: a shop's photos of shirts say nothing about an undecided pair of shoes.
    """
    tops = table["category"].str.partition("/")[0].to_numpy(object) if "category" in table else None

    def kinds(bag: Bag) -> tuple[set[str], set[str]]:
        return set(bag.views) - {""}, set(tops[bag.rows]) - {""} if tops is not None else set()

    decided = [kinds(bag) for bag in bags if bag.verdict]
    seen = [set().union(*(views_and_tops[i] for views_and_tops in decided)) for i in range(2)]

    def fits(bag: Bag) -> bool:
        return all(
            not values or not of_decided or values & of_decided
            for values, of_decided in zip(kinds(bag), seen, strict=True)
        )

    return [bag for bag in bags if bag.verdict or fits(bag)]


def view_numbers(bags: Sequence[Bag], views: Sequence[str]) -> torch.Tensor:
    """The place in `views` of what each photo shows, -1 for any other view or none: (m,) int64."""
    place = {view: number for number, view in enumerate(views)}
    return torch.tensor([place.get(view, -1) for bag in bags for view in bag.views])


def judge(net: nn.Module, config: Mapping[str, Any], catalog: Catalog) -> ListingPredictions:
    """A model's predictions for every listing of a catalog, decided or not."""
    bags = bags_of(catalog.table)
    started = time.perf_counter()
    store = PhotoStore.of_catalog(catalog, config["image_size"])
    asked = ask(net, store, bags, config["views"])
    seconds = time.perf_counter() - started
    photos = asked.photo_score and [calibrated(score, config, "photo") for score in asked.photo_score]
    return _predictions(bags, catalog, asked, calibrated(asked.score, config, "listing"), photos, config, seconds)


def _predictions(
    bags: Sequence[Bag],
    catalog: Catalog,
    asked: RawOutputs,
    probability: np.ndarray,
    photo_probability: list[np.ndarray] | None,
    config: Mapping[str, Any],
    seconds: float,
) -> ListingPredictions:
    images = catalog.table["image"].to_numpy(object)
    return ListingPredictions(
        task="authenticity",
        listings=[bag.listing for bag in bags],
        images=[list(images[bag.rows]) for bag in bags],
        views=[list(bag.views) for bag in bags],
        truth=[bag.verdict for bag in bags],
        probability=probability,
        attention=asked.attention,
        photo_probability=photo_probability,
        maps=asked.maps,
        embeddings=asked.features,
        thresholds=tuple(config["thresholds"]),
        seconds=seconds,
    )


def judge_by_view(net: nn.Module, config: Mapping[str, Any], rows: Catalog) -> dict[str, ListingPredictions]:
    """The verdicts on the same listings when only their photos of one view are shown.

    A verdict on any photo of a listing is the verdict on all of it. Views that few listings with a verdict have are
    left out.
    """
    table = rows.table
    if "view" not in table or "verdict" not in table:
        return {}
    names = table["listing"].where(table["listing"] != "", table["image"]) if "listing" in table else table["image"]
    table = table.assign(verdict=table["verdict"].groupby(names).transform("max"))
    by_view = {}
    for view in sorted(set(table["view"]) - {""}):
        shown = (table["view"] == view) & (table["verdict"] != "")
        if names[shown].nunique() >= VIEW_LISTINGS:
            by_view[view] = judge(net, config, rows.with_table(table[shown]))
    return by_view


def frozen_verdicts(
    frozen: FrozenNet,
    photos: Callable[[Catalog], PhotoStore],
    config: Mapping[str, Any],
    catalog: Catalog,
    rows: Catalog,
) -> ListingPredictions | str:
    """A logistic regression on the mean of a listing's frozen features."""
    decided = (
        (catalog.table["verdict"] != "").to_numpy() if "verdict" in catalog.table else np.zeros(len(catalog), bool)
    )
    frozen_fit = fitted(frozen, photos, rows_to_fit(catalog, decided))
    if frozen_fit is None:
        return f"{catalog.address} has no decided training listings to fit a regression on"
    fitted_bags = [bag for bag in bags_of(frozen_fit.rows.table) if bag.verdict]
    means = np.stack([frozen_fit.features[bag.rows].mean(axis=0) for bag in fitted_bags])
    truth = np.array([[bag.verdict == label for label in LABELS] for bag in fitted_bags])
    train = np.array([bag.split == "train" for bag in fitted_bags])
    regression = fit_logistic(means[train], truth[train].astype(np.float32), (means[~train], truth[~train]))
    bags, features = bags_of(rows.table), frozen.features(photos(rows))
    means = np.stack([features[bag.rows].mean(axis=0) for bag in bags])
    scores = regression.scores(means)
    asked = RawOutputs(scores[:, 0] - scores[:, 1], means, None, None, None)
    return _predictions(bags, rows, asked, expit(asked.score.astype(np.float64)), None, config, 0.0)


def by_photo(predictions: ListingPredictions) -> PhotoPredictions:
    """Predictions for listings as those for their photos: the verdict, its confidence, the listing's embedding.

    Chance is drawn by whole listings (see `vitrine.evaluation.shift`), so that repeating does not sharpen it.
    """
    labels = (AUTHENTIC, COUNTERFEIT, ASK)
    photos = np.repeat(np.arange(len(predictions.listings)), [len(images) for images in predictions.images])
    predicted = np.array(
        [labels.index(verdict) for verdict in verdicts(predictions.probability, predictions.thresholds)]
    )
    sure = np.maximum(predictions.probability, 1 - predictions.probability)
    truth = [[predictions.truth[i]] if predictions.truth[i] else [] for i in photos.tolist()]
    target = LabelPredictions("verdict", labels, np.eye(len(labels))[predicted[photos]], sure[photos], truth)
    images = [image for photos_of in predictions.images for image in photos_of]
    return PhotoPredictions(predictions.task, images, [target], predictions.embeddings[photos], predictions.seconds)


def predict_listings(
    net: nn.Module,
    config: Mapping[str, Any],
    folders: Sequence[str],
    unreadable: dict[int, PhotoError] | None = None,
) -> list[dict[str, Any]]:
    """The verdict on single listings, each a folder of its photos.

    A photo named like one of the model's views (`tag.jpg`, `tag-2.jpg`) is taken to show it.

    Args:
        net: For listings.
        config: Of the model.
        folders: Folders or s3:// prefixes; what lies in them that is no photo is passed over.
        unreadable: Where given, listings with a photo that cannot be read are left out, and why is noted here by the
            photo's place.

    Returns:
        Per listing `listing` (the folder), `verdict` (authentic, counterfeit or ask an expert), `probability` (of
        authentic) and `deciding_photos`: the fewest photos (`image`) that hold half of the `weight`, heaviest first.
        See `photo_weights`.

    Raises:
        InputError: if a folder holds no photo or too many, or (without `unreadable`) one cannot be read.
    """
    rows = pd.DataFrame(
        [
            {"image": image, "listing": str(folder), "view": _view_of(image, config["views"])}
            for folder in dict.fromkeys(folders)
            for image in photos_in(str(folder))
        ]
    )
    if rows.empty:
        return []
    bags = bags_of(rows)
    store = PhotoStore(rows["image"].tolist(), config["image_size"], unreadable=unreadable)
    asked = ask(net, store, bags, config["views"])
    judged = _verdicts(net, store, bags, config, asked)
    lines = {
        bag.listing: {"listing": bag.listing} | _told(verdict, rows["image"].iloc[bag.rows].tolist())
        for bag, verdict in zip(bags, judged, strict=True)
    }
    spoilt = set(rows["listing"].iloc[list(unreadable or ())])
    return [lines[str(folder)] for folder in folders if str(folder) not in spoilt]


def reply_about_listings(net: nn.Module, config: Mapping[str, Any], queries: Sequence[Query]) -> list[Reply]:
    """The verdicts on listings whose photos are in memory, each a query.

    A record holds what `predict_listings` says, without `listing`, and `weights`: of every photo, in the order given.

    Raises:
        InputError: for a listing of too many photos.
    """
    bags, first = [], 0
    for number, query in enumerate(queries):
        if len(query) > MAX_PHOTOS:
            raise InputError(f"a listing of {len(query)} photos; {MAX_PHOTOS} at most")
        rows = np.arange(first, first + len(query))
        views = tuple(_view_of(name, config["views"]) for name in query.names)
        bags.append(Bag(str(number), rows, views, "", ""))
        first += len(query)
    store = Pixels(np.concatenate([query.pixels for query in queries]))
    asked = ask(net, store, bags, config["views"])
    replies = []
    for i, (query, verdict) in enumerate(zip(queries, _verdicts(net, store, bags, config, asked), strict=True)):
        weights = [round(float(weight), 4) for weight in verdict.weights]
        replies.append(Reply([_told(verdict, query.names) | {"weights": weights}], asked.features[i : i + 1]))
    return replies


@dataclass(frozen=True)
class _Verdict:
    """On one listing: the verdict, P(authentic), and how much each photo had to do with it, (photos,)."""

    verdict: str
    probability: float
    weights: np.ndarray


def _verdicts(
    net: nn.Module, store: Inputs, bags: Sequence[Bag], config: Mapping[str, Any], asked: RawOutputs
) -> list[_Verdict]:
    probability = calibrated(asked.score, config, "listing")
    decided = verdicts(probability, config["thresholds"])
    weights = photo_weights(net, store, bags, config, asked)
    return [_Verdict(*fields) for fields in zip(decided, map(float, probability), weights, strict=True)]


def _told(verdict: _Verdict, images: Sequence[str]) -> dict[str, Any]:
    """The verdict, and the fewest photos that hold half of the weight, heaviest first."""
    order = np.argsort(-verdict.weights, kind="stable")
    order = order[: int(np.searchsorted(np.cumsum(verdict.weights[order]), 0.5 - 1e-9)) + 1]
    return {
        "verdict": verdict.verdict,
        "probability": round(verdict.probability, 4),
        "deciding_photos": [{"image": images[k], "weight": round(float(verdict.weights[k]), 4)} for k in order],
    }


def photo_weights(
    net: nn.Module, store: Inputs, bags: Sequence[Bag], config: Mapping[str, Any], asked: RawOutputs
) -> list[np.ndarray]:
    """The weight of each photo in its listing's verdict: per listing (photos,), summing to 1.

    The attention weights where a system has any; else the margin of the photo's own probability, where it judges single
    photos; else how far the probability falls when the photo is left out (occlusion). Uniform where no photo counts.
    """
    if asked.attention is not None:
        return asked.attention
    sure = calibrated(asked.score, config, "listing")
    towards = np.where(sure >= 0.5, 1, -1)
    if asked.photo_score is not None:
        leaning = [calibrated(photo_scores, config, "photo") - 0.5 for photo_scores in asked.photo_score]
    else:
        without = [
            replace(bag, rows=np.delete(bag.rows, k), views=bag.views[:k] + bag.views[k + 1 :])
            for bag in bags
            for k in range(len(bag))
            if len(bag) > 1
        ]
        left = iter(calibrated(ask(net, store, without, config["views"]).score, config, "listing") if without else ())
        leaning = [
            np.array([sure[i] - next(left) for _ in range(len(bag))] if len(bag) > 1 else [0.0])
            for i, bag in enumerate(bags)
        ]
    weights = [np.maximum(sign * lean, 0) for sign, lean in zip(towards, leaning, strict=True)]
    return [lean / lean.sum() if lean.sum() > 0 else np.full(len(lean), 1 / len(lean)) for lean in weights]


def _view_of(image: str, views: Sequence[str]) -> str:
    name = image.rpartition("/")[2].partition(".")[0]
    plain = name.rstrip("0123456789").rstrip("-_ ")
    return name if name in views else plain if plain in views else ""


def calibrated(score: np.ndarray, config: Mapping[str, Any], of: str) -> np.ndarray:
    """P(authentic) from raw scores, by what the validation listings showed."""
    slope, bias = config["calibration"][of]
    return expit(slope * score.astype(np.float64) + bias)
