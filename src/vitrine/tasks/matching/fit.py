"""Training the matching of user photos to shop photos."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vitrine.catalog import Catalog
from vitrine.data.crops import crops_of
from vitrine.data.inputs import Inputs
from vitrine.data.photo_store import PhotoStore
from vitrine.model import save_model
from vitrine.tasks.matching.net import build
from vitrine.tasks.matching.objective import (
    TrainingModule,
    Validation,
    margin_of,
    pretraining_objective,
    siamese_objective,
    similarity_objective,
)
from vitrine.tasks.matching.plan import Plan, categories_of
from vitrine.tasks.matching.plan import plan as make_plan
from vitrine.tasks.matching.settings import MatchingSettings
from vitrine.training.engine import History, fit, training_device
from vitrine.training.model import start_config, training_identity, training_notes
from vitrine.training.recipe import trained_part


def train_matching(catalog: Catalog, variant: str, out: Path, settings: MatchingSettings, folder: Path) -> None:
    """Trains a variant; checkpoints go into `folder`. The softmax's weights are not kept."""
    plan = make_plan(catalog, variant, settings)
    for note in plan.notes:
        print(note, flush=True)
    config = start_config("matching", variant, settings, catalog)
    categories, places = categories_of(catalog.table)
    config |= {"identity": plan.column, "categories": categories, "temperatures": {}}
    torch.manual_seed(settings.seed)
    net = build(config, settings.weights)
    crops = crops_of(catalog.table) + [""] * sum(map(len, plan.further))
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers, crops, plan.further)
    classes = len(plan.background.classes) if len(plan.background.classes) > 1 else 0
    identity = training_identity(catalog, f"matching/{variant}", settings)
    validation = Validation.of(catalog.table, plan.column)
    with trained_part(net, store, settings) as shown:
        module = TrainingModule(net, classes, len(plan.pairable.users), settings.hard)
        before = _pretrain(module, shown, plan, variant, settings, folder, identity) if classes else 0
        module.to(training_device()).to(memory_format=torch.channels_last)
        margin = margin_of(net, shown, plan.pairable, settings)
        title, checkpoint = f"matching {variant}", folder / "checkpoint.pt"
        history = History()
        if variant == "ft-similarity":
            learnt = similarity_objective(module, shown, plan.pairable, validation, places, settings)
            history = fit(module, learnt, settings, checkpoint, identity, title)
        elif variant != "pretrained":
            print(f"margin {margin:.4g}", flush=True)
            pairs = plan.pairable, plan.background, validation
            siamese = siamese_objective(module, shown, *pairs, variant, margin, settings)
            history = fit(module, siamese, settings, checkpoint, identity, title)
    net.eval()
    validation.score(net, store, settings.stop_at)
    metrics = {f"validation/{name}": value for name, value in validation.figures().items()}
    config |= _trained(plan, variant, margin, before, history)
    notes = training_notes(history) if history.epochs else "## Training\n\nThe net as it came.\n"
    save_model(out, net, config, metrics, notes + "".join(f"\n- {note}" for note in plan.notes) + "\n")


def _pretrain(
    module: TrainingModule,
    store: Inputs,
    plan: Plan,
    variant: str,
    settings: MatchingSettings,
    folder: Path,
    identity: str,
) -> int:
    """Passes over the background set that stand in for what published weights bring along; 0 where there are some."""
    if settings.weights != "none" or not settings.pretraining:
        return 0
    pretraining = settings.model_copy(update={"epochs": settings.pretraining})
    objective = pretraining_objective(module, store, plan.background, settings)
    what = f"{identity} pretraining"
    fit(module, objective, pretraining, folder / "pretraining.pt", what, f"matching {variant}, pretraining")
    return settings.pretraining


def _trained(plan: Plan, variant: str, margin: float, before: int, history: History) -> Mapping[str, Any]:
    """What config.json says of how it went."""
    background = {"photos": len(plan.background.rows), "classes": len(plan.background.classes)}
    used = variant not in ("pretrained", "ft-similarity")
    return {
        "margin": margin if used else None,
        "pretraining": before,
        "background": background | {"own": plan.background.own},
        "history": [asdict(epoch) for epoch in history.epochs],
    }
