"""Running a trained net over photos."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from torch import Tensor, nn

from vitrine.catalog import Catalog
from vitrine.catalog.photos import PhotoError
from vitrine.data.corruptions import corrupt, photo_seed
from vitrine.data.crops import crops_of
from vitrine.data.inputs import Inputs
from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError
from vitrine.memory import keep_freed_memory
from vitrine.outcome import ListingOutcome, Outcome, Question

BATCH = 128


def run_net(
    net: nn.Module,
    store: Inputs,
    rows: np.ndarray,
    embeddings: bool = False,
    change: Callable[[np.ndarray, Tensor], Tensor] | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Features and scores of some photos, in the order of `rows`, the net in evaluation mode.

    Args:
        net: `net(photos)` gives (features, scores by name); with `embeddings`, `net.embed(photos)` is asked instead.
        store: The photos.
        rows: Which, (n,).
        embeddings: Ask for the embeddings before they are compared with the dictionary.
        change: (rows, pixels) to the pixels the net is shown instead, both (n, 3, h, w) uint8.

    Returns:
        Features (n, dim) float32 and, by name, (n, m) float32.
    """
    keep_freed_memory()
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    ask: Any = net.embed if embeddings else net
    features, answers = [], []
    with torch.inference_mode():
        for own, pixels in store.batches(np.array_split(rows, range(BATCH, len(rows), BATCH))):
            if change is not None:
                pixels = change(own, pixels)
            pooled, named = ask(store.normalised(pixels, device))
            features.append(pooled.float().cpu().numpy())
            answers.append({name: value.float().cpu().numpy() for name, value in named.items()})
    net.train(was_training)
    return np.concatenate(features), {name: np.concatenate([batch[name] for batch in answers]) for name in answers[0]}


def photos_for(config: Mapping[str, Any], table: pd.DataFrame, catalog: Catalog | None = None) -> PhotoStore:
    """Photos as a model's net sees them: whole, or for matching under its crops.

    Args:
        config: The model's.
        table: Rows with `uri`, and for matching `domain` and `bbox`; not read where there is a catalog.
        catalog: Whose photos, decoded once and cached; None: those of `table`, decoded each time.
    """
    matching = config["task"] == "matching"
    if catalog is not None:
        crops = crops_of(catalog.table) if matching else ()
        return PhotoStore.of_catalog(catalog, config["image_size"], crops=crops)
    return PhotoStore(table["uri"].tolist(), config["image_size"], crops=crops_of(table) if matching else ())


def probabilities(scores: np.ndarray, temperature: float, offsets: np.ndarray | float = 0.0) -> np.ndarray:
    """Calibrated probabilities of the labels: softmax(scores / temperature + offsets), (n, m), in double precision."""
    return softmax(scores.astype(np.float64) / temperature + offsets, axis=1)


def load_model(model: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The net of a model folder, on the GPU if there is one, and its config.

    Raises:
        InputError: if it is no model folder, or a damaged one.
    """
    from vitrine.methods.model_folder import load_config, load_into

    config = load_config(model)
    try:
        net = _method(config["task"]).build(config)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{model}: config.json does not describe a model ({type(error).__name__}: {error})") from error
    needed = "calibration" if config["task"] == "authenticity" else "temperatures"
    if not isinstance(config.get(needed), dict):
        raise InputError(f"{model}: config.json lacks {needed!r}")
    load_into(net, model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return net.to(device).to(memory_format=torch.channels_last), config


def apply(model: Path, catalog: Catalog) -> Outcome | ListingOutcome:
    """A model's answers about every photo of a catalog; a model for authenticity answers about its listings.

    Raises:
        InputError: if the model cannot be read, there are no photos or one cannot be decoded.
    """
    if not len(catalog):
        raise InputError(f"{catalog.root}: no rows to ask the model about")
    return answer(*load_model(model), catalog)


def answer(net: nn.Module, config: Mapping[str, Any], catalog: Catalog) -> Outcome | ListingOutcome:
    """A loaded model's answers about every photo of a catalog, or its listings."""
    if config["task"] == "authenticity":
        from vitrine.methods.authenticity import judge

        return judge(net, config, catalog)
    started = time.perf_counter()
    store = photos_for(config, catalog.table, catalog)
    features, scores = run_net(net, store, np.arange(len(store)))
    seconds = time.perf_counter() - started
    if config["task"] == "matching":
        return _matched(net, config, catalog.table, features, seconds)
    asked = _questions(config, scores, catalog.table)
    images = catalog.table["image"].tolist()
    if config["task"] == "representation":
        paths = catalog.table["category"].tolist() if "category" in catalog.table else [""] * len(catalog)
        return Outcome(config["task"], images, asked, features, seconds, paths=paths)
    if config["task"] != "taxonomy":
        return Outcome(config["task"], images, asked, features, seconds)
    from vitrine.methods.taxonomy import heat_maps, separate_levels

    separate = separate_levels(config, scores, catalog.table, config["temperatures"])
    return Outcome(config["task"], images, asked, features, seconds, separate, heat_maps(scores))


def _matched(net: Any, config: Mapping[str, Any], table: pd.DataFrame, features: np.ndarray, seconds: float) -> Outcome:
    empty = [""] * len(table)
    columns = (table[name].astype(str).tolist() if name in table else empty for name in ("category", "domain"))
    paths, domains = columns
    things = table[config["identity"]].astype(str).tolist() if config["identity"] in table else empty
    compare = net.scores if net.similarities is not None else None
    images = table["image"].tolist()
    return Outcome(
        "matching", images, [], features, seconds, paths=paths, things=things, domains=domains, compare=compare
    )


def label_spaces(model: Path, catalog: Catalog) -> dict[str, np.ndarray]:
    """Where a model places a catalog's photos among its label embeddings: by attribute type e, (photos, D) float32.

    Empty for a model without label embeddings.

    Raises:
        InputError: if the model or a photo cannot be read.
    """
    from vitrine.methods.attributes import AttributeNet

    net, config = load_model(model)
    if not isinstance(net, AttributeNet):
        return {}
    store = PhotoStore.of_catalog(catalog, config["image_size"])
    return run_net(net, store, np.arange(len(store)), embeddings=True)[1]


def apply_corrupted(model: Path, catalog: Catalog, seed: int = 0) -> Callable[[str, int], Outcome]:
    """Answers about a catalog's photos, corrupted on the fly: ask the result for (kind, severity).

    Photos are corrupted as the net would see them, at its size; the draw depends on the photo and the seed.

    Raises:
        InputError: if the model cannot be read or judges listings, there are no photos or one cannot be decoded.
    """
    net, config = load_model(model)
    if config["task"] == "matching":
        raise InputError(f"{model}: matches photos; corrupted photos are for attributes and taxonomy")
    if config["task"] == "authenticity":
        raise InputError(f"{model}: judges listings; corrupted photos are for attributes and taxonomy")
    if not len(catalog):
        raise InputError(f"{catalog.root}: no rows to ask the model about")
    store = PhotoStore.of_catalog(catalog, config["image_size"])
    seeds = [photo_seed(image, seed) for image in catalog.table["image"]]

    def ask(name: str, severity: int) -> Outcome:
        def change(rows: np.ndarray, pixels: Tensor) -> Tensor:
            photos = pixels.permute(0, 2, 3, 1).contiguous().numpy()
            changed = [corrupt(photo, name, severity, seeds[row]) for row, photo in zip(rows, photos, strict=True)]
            return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2)

        started = time.perf_counter()
        features, scores = run_net(net, store, np.arange(len(store)), change=change)
        seconds = time.perf_counter() - started
        asked = _questions(config, scores, catalog.table)
        return Outcome(config["task"], catalog.table["image"].tolist(), asked, features, seconds)

    return ask


def predict(
    model: Path,
    images: Sequence[str],
    top: int = 5,
    explain: Path | None = None,
    unreadable: dict[int, PhotoError] | None = None,
) -> list[dict[str, Any]]:
    """What a model says about single photos: per question the likeliest labels and their calibrated probabilities.

    Args:
        model: A model folder.
        images: Paths or s3:// URIs of photos.
        top: Labels named per question.
        explain: A new folder for pictures of where the net looked; each line then names its own as `heat_map`.
        unreadable: Where given, photos that cannot be read are left out, and why is noted here by their place.

    Raises:
        InputError: if the model or (without `unreadable`) a photo cannot be read, or is to explain and has no
            salient-sensitive module.
    """
    net, config = load_model(model)
    if config["task"] == "authenticity":
        raise InputError(f"{model}: judges listings, not single photos; name folders of one listing each")
    if config["task"] == "matching":
        raise InputError(f"{model}: finds products and names no labels; use `vitrine index` and `vitrine search`")
    if not images:
        return []
    store = PhotoStore(images, config["image_size"], unreadable=unreadable)
    _, scores = run_net(net, store, np.arange(len(store)))
    asked = _questions(config, scores, pd.DataFrame({"image": images}))
    read = [row for row in range(len(images)) if row not in (unreadable or ())]
    lines = []
    for row in read:
        line: dict[str, Any] = {"image": str(images[row])}
        for question in asked:
            best = np.argsort(-question.scores[row], kind="stable")[:top]
            line[question.name] = [
                {"label": question.labels[i], "confidence": round(float(question.scores[row, i]), 4)} for i in best
            ]
        lines.append(line)
    if explain is not None:
        heat = scores.get("heat")
        shown = [images[row] for row in read]
        _explain(explain, lines, shown, None if heat is None else heat[read], f"{model}: {config['variant']}")
    return lines


def _explain(
    out: Path, lines: Sequence[dict[str, Any]], images: Sequence[str], heat: np.ndarray | None, model: str
) -> None:
    from vitrine.data.heat import shaded, spread
    from vitrine.files import new_folder

    if heat is None:
        raise InputError(f"{model} cannot say where it looked; the salient-sensitive variants (ss...) can")
    with new_folder(out) as folder:
        for place, (line, image, own) in enumerate(zip(lines, images, heat, strict=True)):
            name = f"{place:04}-{Path(str(image)).stem}.png"
            shaded(str(image), spread(own), 256).save(folder / name)
            line["heat_map"] = str(Path(out) / name)


def _questions(config: Mapping[str, Any], scores: Mapping[str, np.ndarray], table: pd.DataFrame) -> list[Question]:
    try:
        asked: list[Question] = _method(config["task"]).questions(config, scores, table, config["temperatures"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"config.json does not describe the net's answers ({type(error).__name__}: {error})"
        ) from error
    return asked


def _method(task: str) -> Any:
    from vitrine.methods import attributes, authenticity, matching, representation, taxonomy

    methods = {
        "attributes": attributes,
        "taxonomy": taxonomy,
        "authenticity": authenticity,
        "representation": representation,
        "matching": matching,
    }
    if task not in methods:
        raise InputError(f"no task {task!r}; known: {', '.join(methods)}")
    return methods[task]
