"""Training the systems that decide listings."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vitrine.catalog import Catalog
from vitrine.data.inputs import Inputs
from vitrine.data.photo_store import PhotoStore
from vitrine.model import save_model
from vitrine.tasks.authenticity.objective import finish, objective, training_module
from vitrine.tasks.authenticity.settings import AuthenticitySettings
from vitrine.tasks.authenticity.systems import build, describe
from vitrine.training.model import start_config, training_identity, training_notes
from vitrine.training.objective import Objective
from vitrine.training.recipe import train_net


def train_authenticity(catalog: Catalog, variant: str, out: Path, settings: AuthenticitySettings, folder: Path) -> None:
    """Trains a system; checkpoints go into `folder`."""
    config = start_config("authenticity", variant, settings, catalog)
    config |= describe(catalog, settings)
    torch.manual_seed(settings.seed)
    net = build(config, settings.weights)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    identity = training_identity(catalog, f"authenticity/{variant}", settings)
    module = training_module(net, settings)

    def objective_on(shown: Inputs) -> Objective[Any]:
        return objective(module, catalog, shown, config, settings)

    title = f"authenticity {variant}"
    history = train_net(net, objective_on, store, settings, folder, identity, title, trained=module)
    metrics, calibration = finish(net, catalog, store, config, settings)
    config |= calibration | {"history": [asdict(epoch) for epoch in history.epochs]}
    save_model(out, net, config, metrics, training_notes(history))
