"""The eight systems of the paper's Section 4.2, and two of today: what each learns from a catalog."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vitrine.catalog import Catalog, attribute_types
from vitrine.catalog.tree import CategoryTree
from vitrine.data.truth import labels_seen
from vitrine.errors import InputError


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
