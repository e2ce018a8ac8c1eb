"""What a training of fine-grained representation learns from a catalog."""

from typing import Any

from vitrine.catalog import Catalog
from vitrine.catalog.tree import CategoryTree
from vitrine.errors import InputError


def describe(catalog: Catalog, variant: str, level: int) -> dict[str, Any]:
    """What the data decides of config.json: the trained level and its classes.

    Args:
        catalog: With splits.
        variant: One of `VARIANTS`.
        level: Levels of the category that may be learnt; 0: all but the deepest. `fine` learns the deepest always.

    Raises:
        InputError: if that level is not there, or has fewer than two classes to learn.
    """
    table = catalog.of_split("train").table
    tree = CategoryTree(table.get("category", ()))
    if variant == "indi":
        return {"level": 0, "classes": [], "leaves": []}
    if level > tree.depth:
        raise InputError(f"level={level}: the categories of {catalog.address} have {tree.depth} levels")
    depth = tree.depth if variant == "fine" else level or max(1, tree.depth - 1)
    classes = list(tree.level(depth))
    if len(classes) < 2:
        what = f"one value ({classes[0]!r})" if classes else "no label"
        raise InputError(f"{catalog.address}: category has {what} at level {depth}; there is nothing to learn")
    return {"level": depth, "classes": classes, "leaves": list(tree.leaves)}
