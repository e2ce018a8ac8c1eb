"""The catalog: one row per photo, the format every other room speaks."""

from vitrine.catalog.schema import (
    ATTRIBUTE_PREFIX,
    CONTRACT_COLUMNS,
    UNSAFE_PATH_REASON,
    attribute_types,
    category_depth,
    category_level,
    is_safe_path,
    labels_of,
)
from vitrine.catalog.table import Catalog, read_catalog, read_version, write_catalog

__all__ = [
    "ATTRIBUTE_PREFIX",
    "CONTRACT_COLUMNS",
    "UNSAFE_PATH_REASON",
    "Catalog",
    "attribute_types",
    "category_depth",
    "category_level",
    "is_safe_path",
    "labels_of",
    "read_catalog",
    "read_version",
    "write_catalog",
]
