"""Small tables without photos, by what their labels allow."""

import pandas as pd

from vitrine.catalog import Catalog, write_catalog

COLOURS = {"attr:colour": ["red", "blue", "", ""]}
SHELVES = {"category": ["A/B", "A/C", "", ""]}


def table(tmp_path, **columns):
    rows = pd.DataFrame({"image": [f"{i}.png" for i in range(4)], "split": ["train"] * 3 + ["test"]} | columns)
    write_catalog(Catalog(str(tmp_path), rows), tmp_path / "table")
    return tmp_path / "table"
