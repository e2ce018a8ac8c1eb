"""The eight systems of the paper's Section 4.2, and two of today, by what they are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitrine.catalog import Catalog, attribute_types
from vitrine.catalog.tree import CategoryTree
from vitrine.data.truth import labels_seen
from vitrine.errors import InputError
from vitrine.tasks.taxonomy.net import LEAF, RefinedNets, TaxonomyNet, structure_of


@dataclass(frozen=True)
class System:
    """What a variant adds to the flat net.

    Attributes:
        salient: The salient-sensitive module (Section 3.2).
        levels: The coarser levels as further tasks (Section 3.4).
        attributes: The attributes as further tasks (Section 3.4); the coarser levels where a catalog has none.
        refined: One net per level, refined by MCR (Section 3.3).
    """

    salient: bool = False
    levels: bool = False
    attributes: bool = False
    refined: bool = False


SYSTEMS = {
    "bcnn": System(),
    "sscnn": System(salient=True),
    "bcnn-mcr": System(refined=True),
    "sscnn-mcr": System(salient=True, refined=True),
    "bmtl-rl": System(levels=True),
    "bmtl-ca": System(attributes=True),
    "ssmtl-rl": System(salient=True, levels=True),
    "ssmtl-ca": System(salient=True, attributes=True),
    "modern": System(),
    "modern-mtl": System(salient=True, levels=True, attributes=True),
}
VARIANTS = tuple(SYSTEMS)


def describe(catalog: Catalog, variant: str, attributes: Sequence[str] = ()) -> dict[str, Any]:
    """What a variant learns from a catalog's training photos: the part of config.json that the data decides.

    Args:
        catalog: With splits.
        variant: One of `VARIANTS`.
        attributes: The attribute types to learn, for a variant that learns any; none = all there are.

    Returns:
        `leaves`; `levels`, the coarser levels predicted by a branch or a net of their own; `labels` of each attribute
        type; `salient`; `refined`.

    Raises:
        InputError: for an unknown variant, fewer than two leaf categories, or an attribute type there is none of.
    """
    if variant not in SYSTEMS:
        raise InputError(f"taxonomy has no variant {variant!r}; known: {', '.join(VARIANTS)}")
    system = SYSTEMS[variant]
    table = catalog.of_split("train").table
    tree = CategoryTree(table.get("category", ()))
    if len(tree.leaves) < 2:
        what = f"one value ({tree.leaves[0]!r})" if tree.leaves else "no label"
        raise InputError(f"{catalog.address}: category has {what} among training photos; there is nothing to learn")
    labels = {}
    if system.attributes:
        seen = {kind: labels_seen(table, kind) for kind in attribute_types(table)}
        labels = {kind: names for kind, names in seen.items() if len(names) > 1}
        unknown = [name for name in attributes if name not in labels]
        if unknown:
            raise InputError(
                f"--set attributes={unknown[0]}: {catalog.address} has no attribute type of that name with two labels "
                f"(it has: {', '.join(labels) or 'none'})"
            )
        labels = {kind: labels[kind] for kind in attributes} if attributes else labels
    levels = system.levels or system.refined or (system.attributes and not labels)
    return {
        "leaves": list(tree.leaves),
        "levels": tree.coarser_levels() if levels else [],
        "labels": labels,
        "salient": system.salient,
        "refined": system.refined,
    }


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
