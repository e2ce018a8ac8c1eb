"""Features finer than the labels (Xu et al., Representation Learning with Fine-grained Patterns).

`base` learns the super-classes (Eq. 1), `fine` the deepest labels (Eq. 2), `indi` to tell every photo from every other
(Eq. 3), `base-indi` super-classes and photos (Eq. 4), `base-indi-eff` super-classes, and photos within their
super-class (Eq. 5). Photos without a label join the instance term, as one more group (the paper's future work).
`maskcon` is a successor, which shares a photo's label with those of its super-class that look like it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitrine.blocks.instance_softmax import InstanceSoftmax, megabytes
from vitrine.catalog import Catalog
from vitrine.data.inputs import Inputs
from vitrine.data.sampling import shuffled
from vitrine.errors import InputError
from vitrine.inference import run_net
from vitrine.retrieval.ranks import rank
from vitrine.tasks.representation.maskcon import MaskCon
from vitrine.tasks.representation.net import SUPER, RepresentationNet, super_classes
from vitrine.tasks.representation.settings import MaskConSettings, RepresentationSettings
from vitrine.training.objective import Objective

WITHOUT_LABEL = ("indi", "base-indi", "base-indi-eff", "maskcon")  # what learns from photos without one, too
WARM_UP = 0.2  # share of the epochs over which lambda rises


class TrainingModule(nn.Module):
    """The net and what only its training needs."""

    def __init__(
        self, net: RepresentationNet, instances: InstanceSoftmax | None = None, maskcon: MaskCon | None = None
    ) -> None:
        super().__init__()
        self.net = net
        self.instances = instances
        self.maskcon = maskcon


def training_rows(table: pd.DataFrame, variant: str, supers: np.ndarray) -> np.ndarray:
    """The rows a variant learns from."""
    chosen = (table["split"] == "train").to_numpy()
    return np.flatnonzero(chosen if variant in WITHOUT_LABEL else chosen & (supers >= 0))


def training_module(
    net: RepresentationNet, catalog: Catalog, config: Mapping[str, Any], settings: RepresentationSettings
) -> TrainingModule:
    """The net with what its variant needs beside it; says what instance weights take."""
    variant = config["variant"]
    if isinstance(settings, MaskConSettings):
        return TrainingModule(net, maskcon=MaskCon(net.trunk, net.dim, settings))
    if "indi" not in variant:
        return TrainingModule(net)
    _, _, sizes = _groups(catalog, config)
    photos = sum(sizes)
    print(f"instance term: {photos:,} photos, {megabytes(photos, net.dim):,.0f} MB in training", flush=True)
    return TrainingModule(net, InstanceSoftmax(net.dim, sizes, settings.temperature, settings.negatives))


def objective(
    module: TrainingModule,
    catalog: Catalog,
    store: Inputs,
    config: Mapping[str, Any],
    settings: RepresentationSettings,
) -> Objective[np.ndarray]:
    """Eq. 1-5, or MaskCon, by variant.

    lambda rises over the first fifth: features that tell nothing yet cannot tell photos apart. The last epoch is kept:
    what a validation photo's super-class says would choose features that know no more than it.
    """
    net, instances, maskcon, variant = module.net, module.instances, module.maskcon, config["variant"]
    supers = super_classes(config, catalog.table)
    train = training_rows(catalog.table, variant, supers)
    if not len(train):
        raise InputError(f"{catalog.address}: no training photo has a category at level {config['level']}")
    validation = np.flatnonzero((catalog.table["split"] == "validation").to_numpy() & (supers >= 0))
    group_of, place_of, _ = _groups(catalog, config)
    labels = torch.from_numpy(supers)
    steps = len(shuffled(train, settings.batch_size, settings.seed, 0))

    def batches(epoch: int, first_step: int) -> Iterable[tuple[np.ndarray, Tensor]]:
        return store.batches(shuffled(train, settings.batch_size, settings.seed, epoch)[first_step:])

    def loss(epoch: int, step: int, rows: np.ndarray, views: Sequence[Tensor], device: torch.device) -> Tensor:
        features, scores = net(views[0])
        total = features.new_zeros((), dtype=torch.float32)
        targets = labels[rows].to(device)
        if maskcon is not None:
            total = total + maskcon(net.trunk, features, views[1], targets, torch.from_numpy(rows).to(device))
        if SUPER in scores and (targets >= 0).any():
            total = total + F.cross_entropy(scores[SUPER].float(), targets, ignore_index=-1)
        if instances is not None:
            generator = torch.Generator().manual_seed(
                int(np.random.default_rng((settings.seed, epoch, step)).integers(2**62))
            )
            group_and_place = torch.from_numpy(group_of[rows]).to(device), torch.from_numpy(place_of[rows]).to(device)
            term = instances(features, *group_and_place, generator)
            total = total + (1.0 if variant == "indi" else lambda_at(epoch, settings)) * term
        return total

    def figures() -> Mapping[str, float]:
        if len(validation) < 2:
            return {}
        features, _ = run_net(net, store, validation)
        ranks = rank(features, supers[validation], features, supers[validation], itself=np.arange(len(validation)))
        return {f"level{config['level']}/recall@1": ranks.recall(1)} if len(ranks.query) else {}

    views = 1 if maskcon is None else 2
    return Objective(steps, batches, loss, lambda: None, store, settings.seed, views, figures)


def lambda_at(epoch: int, settings: RepresentationSettings) -> float:
    """lambda_I of Eq. 4 and 5 in an epoch, counted from 0."""
    return settings.lambda_ * min(1.0, (epoch + 1) / max(1.0, WARM_UP * settings.epochs))


def _groups(catalog: Catalog, config: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Of every row the group it is told apart in and its place there, -1 for rows not trained on; the groups' sizes."""
    supers = super_classes(config, catalog.table)
    train = training_rows(catalog.table, config["variant"], supers)
    names = supers[train] if config["variant"] == "base-indi-eff" else np.zeros(len(train), np.int64)
    group, place = np.full(len(supers), -1), np.full(len(supers), -1)
    sizes = []
    for number, name in enumerate(np.unique(names)):
        rows = train[names == name]
        group[rows], place[rows] = number, np.arange(len(rows))
        sizes.append(len(rows))
    return group, place, sizes
