"""What every training begins and ends with: a config, a name of its own, a calibrated model folder."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from vitrine import __version__
from vitrine.blocks.calibration import fit_prior, fit_temperature
from vitrine.blocks.pretrained import find_weights, sum_of
from vitrine.catalog import Catalog
from vitrine.data.augment import MEAN, STD
from vitrine.data.photo_store import PhotoStore, digests_of
from vitrine.data.truth import LabelTarget, attribute_truth, label_matrix, labelled_accuracy
from vitrine.files import absolute, states
from vitrine.inference import run_net
from vitrine.model import save_model
from vitrine.settings import Settings
from vitrine.training.engine import History


def start_config(task: str, variant: str, settings: Settings, catalog: Catalog) -> dict[str, Any]:
    """What config.json says of every model."""
    return {
        "task": task,
        "variant": variant,
        "backbone": settings.backbone,
        "image_size": settings.image_size,
        "normalisation": {"mean": MEAN, "std": STD},
        "weights": weights.provenance() if (weights := find_weights(settings.weights, settings.backbone)) else None,
        "data_version": catalog.data_version,
        "settings": settings.model_dump(by_alias=True),
    }


def training_identity(catalog: Catalog, what: str, settings: Settings) -> str:
    """Names a training exactly: what, code, settings, the weights' sum, the table's rows, its photos and their place.

    Not by the paths of its teachers, which a second run may find elsewhere.
    """
    dumped = json.dumps(settings.model_dump(exclude={"teachers", "teacher_store"}), sort_keys=True)
    start = sum_of(settings.weights, settings.backbone)
    digest = hashlib.sha256(f"{what}\n{__version__}\n{dumped}\n{start}\n".encode())
    digest.update(absolute(catalog.root).encode())
    digest.update(catalog.table.to_csv(index=False).encode())
    digest.update(seen_of_photos(catalog).encode())
    return digest.hexdigest()


def seen_of_photos(catalog: Catalog) -> str:
    """What can be seen of those photos whose SHA-256 the table does not tell; see `files.states`."""
    rows = zip(catalog.table["image"], digests_of(catalog), strict=True)
    uris = [catalog.uri(image) for image, digest in rows if not digest]
    seen = states(uris, unlisted="not listed")  # else no stopped training would ever go on
    return "\n".join(seen[uri] for uri in uris)


def calibration_rows(catalog: Catalog) -> np.ndarray:
    """The validation rows, or where there are none the training rows, (n,)."""
    split = catalog.table["split"].to_numpy()
    return np.flatnonzero(split == ("validation" if (split == "validation").any() else "train"))


def finish(
    out: Path,
    net: nn.Module,
    config: dict[str, Any],
    catalog: Catalog,
    store: PhotoStore,
    notes: str,
    targets: Callable[[Mapping[str, Any], pd.DataFrame], Sequence[LabelTarget]],
    deciding: Callable[[Mapping[str, Any], pd.DataFrame, np.ndarray, Mapping[str, np.ndarray]], Mapping[str, float]],
    measured: Callable[[Mapping[str, Any], pd.DataFrame], Sequence[LabelTarget]] | None = None,
    offsets: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> None:
    """Calibrates on the validation photos (the training photos where there are none) and writes the model folder.

    Args:
        out: The model folder.
        net: The trained net.
        config: Without temperatures and priors.
        catalog: Of the training.
        store: Its photos.
        notes: Markdown that ends the card.
        targets: config and rows to each target's name, the rows' true labels, and the labels that can be predicted.
        deciding: config, rows, their features and raw scores to the figure that the gate decides by, by name.
        measured: As `targets`, with the labels that rows are measured by; None: the same ones.
        offsets: What is added to a target's scores over their temperature before the net answers; default: nothing.
    """
    rows = calibration_rows(catalog)
    features, scores = run_net(net, store, rows)
    table = catalog.table.iloc[rows]
    metrics: dict[str, float] = {}
    temperatures: dict[str, float] = {}
    priors: dict[str, list[float]] = {}
    train = catalog.of_split("train").table
    exact = {name: truth for name, truth, _ in (measured or targets)(config, table)}
    for name, truth, labels in targets(config, table):
        matrix = label_matrix(truth, labels)
        logits = scores[name]
        if config["settings"].get("prior"):
            counts = label_matrix(attribute_truth(train, name), labels).sum(axis=0)
            temperatures[name], prior = fit_prior(logits, matrix, counts)
            logits, priors[name] = logits / temperatures[name] + prior, prior.tolist()
        else:
            temperatures[name] = fit_temperature(logits, matrix)
            logits = logits / temperatures[name] + offsets.get(name, 0.0)
        accuracy, count = labelled_accuracy(logits, exact[name], labels)
        if accuracy is not None:
            metrics[f"validation/{name}/top1"] = accuracy
            metrics[f"validation/{name}/count"] = float(count)
    config = config | {"temperatures": temperatures} | ({"priors": priors} if priors else {})
    metrics |= {f"validation/{name}": value for name, value in deciding(config, table, features, scores).items()}
    save_model(out, net, config, metrics, notes)


def training_notes(history: History) -> str:
    """What the model card says of a training."""
    if history.best >= 0:
        best = f"the best one {history.best + 1} (loss {history.epochs[history.best].loss:.4f})"
    else:
        best = "none better than the net as it came"
    return (
        f"## Training\n\n{len(history.epochs)} epochs, {best}, "
        f"{sum(epoch.seconds for epoch in history.epochs):.0f} s.\n" + (f"\n{history.note}\n" if history.note else "")
    )
