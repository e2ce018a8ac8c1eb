"""Training features finer than the labels."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitrine.blocks.calibration import fit_temperature
from vitrine.catalog import Catalog
from vitrine.data.photo_store import PhotoStore
from vitrine.inference import run_net
from vitrine.model import save_model
from vitrine.tasks.labels import LabelTask
from vitrine.tasks.representation.net import build, super_classes
from vitrine.tasks.representation.objective import objective, training_module
from vitrine.tasks.representation.plan import describe
from vitrine.tasks.representation.settings import RepresentationSettings
from vitrine.training.engine import fit
from vitrine.training.model import calibration_rows, start_config, training_identity, training_notes
from vitrine.training.recipe import trained_part


def train_representation(
    catalog: Catalog, variant: str, out: Path, settings: RepresentationSettings, folder: Path, task: LabelTask[Any]
) -> None:
    """Trains a variant; checkpoints go into `folder`. The instance weights are not kept."""
    config = start_config("representation", variant, settings, catalog)
    config |= describe(catalog, variant, settings.level)
    torch.manual_seed(settings.seed)
    net = build(config, settings.weights)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    identity = training_identity(catalog, f"representation/{variant}", settings)
    with trained_part(net, store, settings) as shown:
        module = training_module(net, catalog, config, settings)
        learnt = objective(module, catalog, shown, config, settings)
        history = fit(module, learnt, settings, folder / "checkpoint.pt", identity, f"representation {variant}")
    rows = calibration_rows(catalog)
    features, scores = run_net(net, store, rows)
    supers = super_classes(config, catalog.table)[rows]
    temperatures = {}
    for name, logits in scores.items():
        temperatures[name] = fit_temperature(logits, supers[:, None] == np.arange(logits.shape[1]))
    metrics = {f"validation/{name}": value for name, value in (history.kept.figures if history.kept else {}).items()}
    config |= {"temperatures": temperatures, "history": [asdict(epoch) for epoch in history.epochs]}
    if len(catalog.of_split("validation")):  # all training photos against all others would take hours
        deciding = task.deciding(config, catalog.table.iloc[rows], features, scores)
        metrics |= {f"validation/{name}": value for name, value in deciding.items()}
    save_model(out, net, config, metrics, training_notes(history))
