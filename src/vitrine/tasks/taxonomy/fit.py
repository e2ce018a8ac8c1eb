"""Training the nets for categories: one net, or one net per level with MCR behind them."""

import shutil
from pathlib import Path
from typing import Any

import torch

from vitrine.catalog import Catalog
from vitrine.data.inputs import Inputs
from vitrine.data.photo_store import PhotoStore
from vitrine.model import load_config, load_tensors
from vitrine.tasks.labels import LabelTask
from vitrine.tasks.taxonomy.net import LEAF, TaxonomyNet
from vitrine.tasks.taxonomy.objective import balance, objective
from vitrine.tasks.taxonomy.plan import SYSTEMS, describe
from vitrine.tasks.taxonomy.predictions import label_targets, labelled_targets, leaf_offsets
from vitrine.tasks.taxonomy.refinement import join, mcr_notes, refine
from vitrine.tasks.taxonomy.settings import TaxonomySettings
from vitrine.tasks.taxonomy.systems import build
from vitrine.tasks.taxonomy.trees import cut_catalog
from vitrine.tasks.taxonomy.warm_start import warm_start
from vitrine.training.model import finish, start_config, training_identity, training_notes
from vitrine.training.objective import Objective
from vitrine.training.recipe import train_net


def train_taxonomy(
    catalog: Catalog, variant: str, out: Path, settings: TaxonomySettings, folder: Path, task: LabelTask[Any]
) -> None:
    """Trains a variant; checkpoints go into `folder`."""
    catalog = cut_catalog(catalog, settings.level)
    if SYSTEMS[variant].refined:
        _train_refined(catalog, variant, out, settings, folder, task)
    else:
        _train_net(catalog, variant, out, settings, folder, task)


def _start(catalog: Catalog, variant: str, settings: TaxonomySettings) -> dict[str, Any]:
    """The config of a net before it has learnt anything."""
    sizes = {"hidden": settings.hidden, "salient_stage": settings.salient_stage}
    described = describe(catalog, variant, settings.attributes)
    return start_config("taxonomy", variant, settings, catalog) | sizes | described


def _train_net(
    catalog: Catalog, variant: str, out: Path, settings: TaxonomySettings, folder: Path, task: LabelTask[Any]
) -> None:
    config = _start(catalog, variant, settings)
    torch.manual_seed(settings.seed)
    net = build(config, settings.weights)
    assert isinstance(net, TaxonomyNet)
    if settings.start:
        earlier = Path(settings.start)
        earlier_config = load_config(earlier)
        new = warm_start(net, config, load_tensors(earlier), earlier_config, settings.start)
        print(f"taxonomy {variant}: goes on from {earlier}; {len(new)} leaves are new to it", flush=True)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    identity = training_identity(catalog, f"taxonomy/{variant}", settings)

    def objective_on(shown: Inputs) -> Objective[Any]:
        return objective(net, catalog, shown, config, settings)

    history = train_net(net, objective_on, store, settings, folder, identity, f"taxonomy {variant}")
    kept, noted = balance(net, catalog, store, config) if settings.balance else ({}, "")
    notes = training_notes(history) + noted
    targets = label_targets, task.deciding, labelled_targets
    finish(out, net, config | kept, catalog, store, notes, *targets, {LEAF: leaf_offsets(kept)})


def _train_refined(
    catalog: Catalog, variant: str, out: Path, settings: TaxonomySettings, folder: Path, task: LabelTask[Any]
) -> None:
    """One net per level, each trained as the flat variant; then MCR on their validation scores."""
    config = _start(catalog, variant, settings)
    given = [Path(text) for text in settings.nets]
    paths = given or _train_levels(catalog, variant, config["levels"], settings, folder, task)
    net = join(config, [(str(path), *task.load(path)) for path in paths])
    net.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    learnt = refine(net, catalog, store, config, settings)
    names = [*config["levels"], "leaf"]
    for name, refinement in zip(names, learnt, strict=True):
        print(f"taxonomy {variant}: MCR of level {name}: lambda {refinement.strength:g}", flush=True)
    kept, noted = balance(net, catalog, store, config) if settings.balance else ({}, "")
    notes = mcr_notes(names, learnt) + noted
    targets = label_targets, task.deciding, labelled_targets
    finish(out, net, config | kept, catalog, store, notes, *targets, {LEAF: leaf_offsets(kept)})


def _train_levels(
    catalog: Catalog, variant: str, levels: list[int], settings: TaxonomySettings, folder: Path, task: LabelTask[Any]
) -> list[Path]:
    """The nets of the coarser levels and of the leaves; those that are finished already are kept."""
    flat = variant.removesuffix("-mcr")
    paths = []
    for level in [*levels, 0]:
        path = folder / "levels" / str(level)
        if not path.exists():
            level_settings = settings.model_copy(update={"level": level})
            checkpoints = folder / f"level-{level}"
            _train_net(cut_catalog(catalog, level), flat, path, level_settings, checkpoints, task)
            shutil.rmtree(checkpoints, ignore_errors=True)
        paths.append(path)
    return paths
