"""Training the nets for categories: one net, or one net per level with MCR behind them."""

import shutil
from pathlib import Path
from typing import Any

import torch

from vitrine.catalog import Catalog
from vitrine.data.inputs import Inputs
from vitrine.data.photo_store import PhotoStore
from vitrine.methods import taxonomy
from vitrine.methods.inference import load_model
from vitrine.methods.lesson import Lesson
from vitrine.methods.model_folder import load_config, load_tensors
from vitrine.settings import TaxonomySettings
from vitrine.training.model import finish, start_config, training_identity, training_notes
from vitrine.training.recipe import train_net


def train_taxonomy(catalog: Catalog, variant: str, out: Path, settings: TaxonomySettings, folder: Path) -> None:
    """Trains a variant; checkpoints go into `folder`."""
    catalog = taxonomy.cut_catalog(catalog, settings.level)
    if taxonomy.SYSTEMS[variant].refined:
        _train_refined(catalog, variant, out, settings, folder)
    else:
        _train_net(catalog, variant, out, settings, folder)


def _start(catalog: Catalog, variant: str, settings: TaxonomySettings) -> dict[str, Any]:
    """The config of a net before it has learnt anything."""
    own = {"hidden": settings.hidden, "salient_stage": settings.salient_stage}
    known = taxonomy.describe(catalog, variant, _names(settings.attributes))
    return start_config("taxonomy", variant, settings, catalog) | own | known


def _train_net(catalog: Catalog, variant: str, out: Path, settings: TaxonomySettings, folder: Path) -> None:
    config = _start(catalog, variant, settings)
    torch.manual_seed(settings.seed)
    net = taxonomy.build(config, settings.weights)
    assert isinstance(net, taxonomy.TaxonomyNet)
    if settings.start:
        earlier = Path(settings.start)
        known = load_config(earlier)
        new = taxonomy.warm_start(net, config, load_tensors(earlier), known, settings.start)
        print(f"taxonomy {variant}: goes on from {earlier}; {len(new)} leaves are new to it", flush=True)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    identity = training_identity(catalog, f"taxonomy/{variant}", settings)

    def lesson_on(shown: Inputs) -> Lesson[Any]:
        return taxonomy.lesson(net, catalog, shown, config, settings)

    history = train_net(net, lesson_on, store, settings, folder, identity, f"taxonomy {variant}")
    kept, noted = taxonomy.balance(net, catalog, store, config) if settings.balance else ({}, "")
    finish(out, net, config | kept, catalog, store, training_notes(history) + noted)


def _train_refined(catalog: Catalog, variant: str, out: Path, settings: TaxonomySettings, folder: Path) -> None:
    """One net per level, each trained as the flat variant; then MCR on their validation scores."""
    config = _start(catalog, variant, settings)
    given = [Path(text) for text in _names(settings.nets)]
    paths = given or _train_levels(catalog, variant, config["levels"], settings, folder)
    net = taxonomy.join(config, [(str(path), *load_model(path)) for path in paths])
    net.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    learnt = taxonomy.refine(net, catalog, store, config, settings)
    names = [*config["levels"], "leaf"]
    for name, own in zip(names, learnt, strict=True):
        print(f"taxonomy {variant}: MCR of level {name}: lambda {own.strength:g}", flush=True)
    kept, noted = taxonomy.balance(net, catalog, store, config) if settings.balance else ({}, "")
    finish(out, net, config | kept, catalog, store, taxonomy.mcr_notes(names, learnt) + noted)


def _train_levels(
    catalog: Catalog, variant: str, levels: list[int], settings: TaxonomySettings, folder: Path
) -> list[Path]:
    """The nets of the coarser levels and of the leaves; those that are finished already are kept."""
    flat = variant.removesuffix("-mcr")
    paths = []
    for level in [*levels, 0]:
        path = folder / "levels" / str(level)
        if not path.exists():
            own = settings.model_copy(update={"level": level})
            checkpoints = folder / f"level-{level}"
            _train_net(taxonomy.cut_catalog(catalog, level), flat, path, own, checkpoints)
            shutil.rmtree(checkpoints, ignore_errors=True)
        paths.append(path)
    return paths


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
