"""Training the systems that decide listings."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vitrine.catalog import Catalog
from vitrine.data.inputs import Inputs
from vitrine.data.photo_store import PhotoStore
from vitrine.methods import authenticity
from vitrine.methods.lesson import Lesson
from vitrine.methods.model_folder import save_model
from vitrine.settings import AuthenticitySettings
from vitrine.training.model import start_config, training_identity, training_notes
from vitrine.training.recipe import train_net


def train_authenticity(catalog: Catalog, variant: str, out: Path, settings: AuthenticitySettings, folder: Path) -> None:
    """Trains a system; checkpoints go into `folder`."""
    config = start_config("authenticity", variant, settings, catalog)
    config |= authenticity.describe(catalog, settings)
    torch.manual_seed(settings.seed)
    net = authenticity.build(config, settings.weights)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    identity = training_identity(catalog, f"authenticity/{variant}", settings)
    taught = authenticity.taught(net, settings)

    def lesson_on(shown: Inputs) -> Lesson[Any]:
        return authenticity.lesson(taught, catalog, shown, config, settings)

    title = f"authenticity {variant}"
    history = train_net(net, lesson_on, store, settings, folder, identity, title, trained=taught)
    metrics, calibration = authenticity.finish(net, catalog, store, config, settings)
    config |= calibration | {"history": [asdict(epoch) for epoch in history.epochs]}
    save_model(out, net, config, metrics, training_notes(history))
