"""A catalog of which only the first levels of the tree are asked."""

from vitrine.catalog import Catalog
from vitrine.catalog.tree import CategoryTree
from vitrine.errors import InputError


def cut_catalog(catalog: Catalog, level: int) -> Catalog:
    """The catalog with its categories cut to their first `level` parts; 0 = as they are.

    Raises:
        InputError: if the tree of the training photos has fewer levels.
    """
    if not level or "category" not in catalog.table:
        return catalog
    depth = CategoryTree(catalog.of_split("train").table["category"]).depth
    if level > depth:
        raise InputError(
            f"--set level={level}: {catalog.address} has {depth} levels of categories among training photos"
        )
    paths = catalog.table["category"]
    cut = {path: "/".join(path.split("/")[:level]) for path in paths.unique()}
    return catalog.with_table(catalog.table.assign(category=paths.map(cut)))
