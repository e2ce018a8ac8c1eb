"""The nets of the systems."""

from collections.abc import Mapping
from typing import Any

from vitrine.catalog.tree import CategoryTree
from vitrine.tasks.taxonomy.net import LEAF, RefinedNets, TaxonomyNet, structure_of


def build(config: Mapping[str, Any], weights: str = "none") -> TaxonomyNet | RefinedNets:
    """The net a config describes, with fresh (or published) weights."""
    tree, levels = CategoryTree(config["leaves"]), config.get("levels", [])

    def one(leaves: int, branches: Mapping[str, int], states: Mapping[str, int]) -> TaxonomyNet:
        where, stage = (config["backbone"], config["image_size"]), config.get("salient_stage", 0)
        return TaxonomyNet(*where, leaves, branches, states, config["salient"], config["hidden"], weights, stage)

    if config.get("refined"):
        structure = structure_of(config["leaves"], levels)
        nets = [one(size, {}, {}) for size in structure.sizes]
        return RefinedNets(nets, [*map(level_task, levels), LEAF], structure)
    branches = {level_task(level): len(tree.level(level)) for level in levels}
    states = {kind: len(labels) for kind, labels in config["labels"].items()}
    return one(len(config["leaves"]), branches, states)


def level_task(level: int) -> str:
    """The name of the task of a coarser level (1 = coarsest)."""
    return f"level{level}"
