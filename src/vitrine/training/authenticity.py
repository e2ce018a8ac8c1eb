"""Training the systems that decide listings."""

from dataclasses import asdict
from pathlib import Path

import torch

from vitrine.catalog import Catalog
from vitrine.data.photo_store import PhotoStore
from vitrine.methods import authenticity
from vitrine.methods.model_folder import save_model
from vitrine.settings import AuthenticitySettings
from vitrine.training.engine import fit
from vitrine.training.model import start_config, training_identity, training_notes
from vitrine.training.recipe import trained_part


def train_authenticity(catalog: Catalog, variant: str, out: Path, settings: AuthenticitySettings, folder: Path) -> None:
    """Trains a system; checkpoints go into `folder`."""
    config = start_config("authenticity", variant, settings, catalog)
    config |= authenticity.describe(catalog, settings)
    torch.manual_seed(settings.seed)
    net = authenticity.build(config, settings.weights)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    identity = training_identity(catalog, f"authenticity/{variant}", settings)
    with trained_part(net, store, settings) as shown:
        taught = authenticity.taught(net, settings)
        lesson = authenticity.lesson(taught, catalog, shown, config, settings)
        history = fit(taught, lesson, settings, folder / "checkpoint.pt", identity, f"authenticity {variant}")
    metrics, calibration = authenticity.finish(net, catalog, store, config, settings)
    config |= calibration | {"history": [asdict(epoch) for epoch in history.epochs]}
    save_model(out, net, config, metrics, training_notes(history))
