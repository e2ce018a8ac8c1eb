"""What a person is asked for where a retraining would have nothing new to learn from: labels of photos that drifted."""

import csv
from pathlib import Path

from vitrine.catalog import Catalog
from vitrine.catalog.left_out import FORMULA
from vitrine.report import Page

LABEL = "label.csv"
ASKED = 200  # photos


def write_sheet(photos: Catalog, path: Path) -> int:
    """Writes a table to fill in, and returns how many photos it has.

    Of many photos a random choice, the same each time; those without a category come first. It is a `catalog.csv` of
    the photos' folder once it is filled in. Spreadsheets take some words for formulas: photos of such a name are left
    out, and such labels left empty.
    """
    table = photos.table.drop_duplicates("image")
    labels = ["category", *(name for name in table if str(name).startswith("attr:"))]
    table = table.reindex(columns=["image", *labels], fill_value="")
    table = table[~table["image"].str.startswith(FORMULA)]
    for name in labels:
        table[name] = table[name].mask(table[name].astype(str).str.startswith(FORMULA), "")
    chosen = table.sample(frac=1, random_state=0)
    chosen = chosen.sort_values("category", key=lambda column: column != "", kind="stable").head(ASKED)
    chosen.sort_index().to_csv(path, index=False)
    return len(chosen)


def page(sheet: Path, photos_at: str, reason: str) -> Page:
    """Why nothing was started, and the photos whose labels would be news."""
    with sheet.open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    result = Page("Label these photos", f"{len(rows):,} photos of {photos_at}", "Nothing new to learn from", "warn")
    result.text(f"No retraining was started: {reason}")
    result.text(
        f"Label {len(rows):,} of these photos: fill {LABEL} in, add the photos with it to the catalog that is trained "
        "on, and retrain."
    )
    result.links([(LABEL, LABEL, "the list below, as a table to fill in")])
    result.table(header, rows)
    return result
