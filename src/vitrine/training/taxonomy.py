"""Training the nets for categories."""

from pathlib import Path

import torch

from vitrine.catalog import Catalog
from vitrine.data.photo_store import PhotoStore
from vitrine.methods import taxonomy
from vitrine.settings import TaxonomySettings
from vitrine.training.engine import fit
from vitrine.training.model import finish, start_config, training_identity


def train_taxonomy(catalog: Catalog, variant: str, out: Path, settings: TaxonomySettings, folder: Path) -> None:
    """Trains a variant; checkpoints go into `folder`."""
    config = start_config("taxonomy", variant, settings, catalog) | {"hidden": settings.hidden}
    config |= taxonomy.describe(catalog, variant)
    torch.manual_seed(settings.seed)
    net = taxonomy.build(config, settings.weights)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    lesson = taxonomy.lesson(net, catalog, store, config, settings)
    identity = training_identity(catalog, f"taxonomy/{variant}", settings)
    history = fit(net, lesson, settings, folder / "checkpoint.pt", identity, f"taxonomy {variant}")
    finish(out, net, config, catalog, store, history)
