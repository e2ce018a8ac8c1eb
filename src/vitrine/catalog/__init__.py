"""The catalog: one row per photo, the format every other room speaks."""

from vitrine.catalog.gallery import gallery_rows, holds_gallery, learnable, with_gallery
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
from vitrine.catalog.version import versioned

__all__ = [
    "ATTRIBUTE_PREFIX",
    "CONTRACT_COLUMNS",
    "UNSAFE_PATH_REASON",
    "Catalog",
    "attribute_types",
    "category_depth",
    "category_level",
    "gallery_rows",
    "holds_gallery",
    "is_safe_path",
    "labels_of",
    "learnable",
    "read_catalog",
    "read_version",
    "versioned",
    "with_gallery",
    "write_catalog",
]
