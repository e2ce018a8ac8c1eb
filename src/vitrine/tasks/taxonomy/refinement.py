"""MCR behind the nets of the levels: putting them together and learning the weights (Section 3.3, Fig. 3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from vitrine.catalog import Catalog
from vitrine.catalog.tree import CategoryTree
from vitrine.data.photo_store import PhotoStore
from vitrine.data.truth import label_matrix
from vitrine.errors import InputError
from vitrine.inference import run_net
from vitrine.tasks.taxonomy.mcr import Refinement, refine_level
from vitrine.tasks.taxonomy.net import RefinedNets, TaxonomyNet, structure_of
from vitrine.tasks.taxonomy.predictions import label_targets
from vitrine.tasks.taxonomy.settings import TaxonomySettings
from vitrine.tasks.taxonomy.systems import build
from vitrine.training.model import calibration_rows

GUARD_PHOTOS = 2000  # training photos on which MCR must not lose accuracy
SHARED = ("backbone", "image_size", "hidden", "salient", "salient_stage")


def join(config: Mapping[str, Any], nets: Sequence[tuple[str, nn.Module, Mapping[str, Any]]]) -> RefinedNets:
    """Finished nets, one per level, coarse to fine, as one; their weights of MCR are still to be learnt.

    Args:
        config: Of the whole: `leaves`, `levels` and what `SHARED` names.
        nets: For each level what to call it in a message, the net and its config.

    Raises:
        InputError: if they are not the nets of these levels, or differ in what one photo must look like to them.
    """
    tree = CategoryTree(config["leaves"])
    levels = [*config["levels"], tree.depth]
    if len(nets) != len(levels):
        raise InputError(f"--set nets: names {len(nets)} nets; the levels to learn are {', '.join(map(str, levels))}")
    whole = build(config)
    assert isinstance(whole, RefinedNets)
    for level, part, (name, net, config_of) in zip(levels, whole.nets, nets, strict=True):
        if not isinstance(net, TaxonomyNet) or config_of["levels"] or config_of["labels"]:
            raise InputError(f"{name}: is not the flat net of one level (a bcnn or sscnn)")
        for key in SHARED:
            if config_of.get(key, 0) != config.get(key, 0):
                raise InputError(f"{name}: has {key} {config_of.get(key, 0)}, not {config.get(key, 0)}")
        if tuple(config_of["leaves"]) != tree.level(level):
            raise InputError(f"{name}: does not answer the {len(tree.level(level))} categories of level {level}")
        part.load_state_dict(net.state_dict())
    return whole


def refine(
    net: RefinedNets, catalog: Catalog, store: PhotoStore, config: Mapping[str, Any], settings: TaxonomySettings
) -> list[Refinement]:
    """Learns W of Eq. 3 from the nets' scores of the validation photos (the training photos where there are none).

    Returns:
        What was learnt for each level.
    """
    split = catalog.table["split"].to_numpy()
    rows = calibration_rows(catalog)
    scores = plain_scores(net, store, rows)
    structure = structure_of(config["leaves"], config["levels"])
    others = np.random.default_rng(settings.seed).permutation(np.flatnonzero(split == "train"))[:GUARD_PHOTOS]
    seen = plain_scores(net, store, np.sort(others))
    of_others = label_targets(config, catalog.table.iloc[np.sort(others)])
    learnt = []
    for level, (_, truth, labels) in enumerate(label_targets(config, catalog.table.iloc[rows])):
        refined = refine_level(
            level,
            scores,
            label_matrix(truth, labels),
            structure,
            settings.related,
            settings.mcr_lambda or None,
            settings.seed,
            (seen, label_matrix(of_others[level][1], labels)),
        )
        net.get_buffer(f"weights{level}").copy_(torch.from_numpy(refined.weights))
        learnt.append(refined)
    return learnt


def plain_scores(net: RefinedNets, store: PhotoStore, rows: np.ndarray) -> np.ndarray:
    """What the nets say before MCR: the centred scores of some photos, (rows, |Omega|) float32."""
    _, plain = run_net(_Plain(net), store, rows)
    return np.concatenate([plain[name] for name in net.names], axis=1)


def mcr_notes(names: Sequence[object], learnt: Sequence[Refinement]) -> str:
    """Markdown for the model's card: lambda of each level, and what cross-validation saw of the others."""
    lines = [
        "## MCR",
        "",
        "| level | lambda | tried: loss, top-1 of held-out validation photos |",
        "| --- | --- | --- |",
    ]
    for name, refinement in zip(names, learnt, strict=True):
        tried = [
            f"{key:g}: {refinement.losses[key]:.4f}, {100 * refinement.hits[key]:.1f} %" for key in refinement.losses
        ]
        lines.append(f"| {name} | {refinement.strength:g} | {'; '.join(tried) or 'none'} |")
    return "\n".join([*lines, "", "An infinite lambda leaves the nets' own logits as they are.", ""])


class _Plain(nn.Module):
    """The nets before MCR: their centred scores."""

    def __init__(self, net: RefinedNets) -> None:
        super().__init__()
        self.net = net

    def forward(self, photos: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Normalised photos (n, 3, h, w) to features and the centred scores (n, m) per level."""
        features, level_scores, _ = self.net.plain(photos)
        named = {
            name: scores - scores.mean(dim=1, keepdim=True)
            for name, scores in zip(self.net.names, level_scores, strict=True)
        }
        return features, named
