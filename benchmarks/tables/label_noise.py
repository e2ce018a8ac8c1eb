"""How many exchanged labels the label check finds, on real photos.

    python benchmarks/tables/label_noise.py CATALOG [CATALOG ...] [--share 0.05] [--seeds 0,1,2] [--sheet OUT.png]

In each label column a known share of the labels is exchanged at random for another label of that column; the check runs
on what comes out. Printed per column: what it knows (accuracy, the commonest label's share, skill), the precision among
the first 25, 50 and 100 suspects and among as many as labels were exchanged, and the recall of all suspects; means over
seeds, with the lowest and highest precision among the first 50. A label that was wrong before counts as a false alarm.

With --sheet, the first suspects of the catalogs as they are go into one picture, to be looked at.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from vitrine.catalog import Catalog, category_depth, category_level, read_catalog
from vitrine.catalog.photos import open_photo
from vitrine.catalog.table import TEXT
from vitrine.quality import label_noise
from vitrine.quality.duplicates import near_duplicate_groups
from vitrine.quality.scan import scan_photos

FIRST = (25, 50, 100)
TILE, CAPTION, ACROSS = 128, 52, 8


def main() -> None:
    """Prints a table, and draws a sheet if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogs", nargs="+")
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    label_noise.SKILL = -1.0  # every column is judged, to see what the limit is worth
    heads = " | ".join(f"p@{first}" for first in FIRST)
    print(f"| column | photos | labels | accuracy | commonest | skill | {heads} | p@exchanged | recall | s |")
    print("|" + " --- |" * (8 + len(FIRST) + 2))
    tiles: list[tuple[Catalog, pd.Series]] = []
    for source in options.catalogs:
        catalog = read_catalog(source)
        photos = scan_photos(catalog)
        copies = near_duplicate_groups(photos)
        seeds = [int(seed) for seed in options.seeds.split(",")]
        for name, labels in columns(catalog.table).items():
            runs = [exchanged(catalog, photos, copies, labels, options.share, seed) for seed in seeds]
            runs = [run for run in runs if run]
            if runs:
                print(f"| {Path(source).name} {name} | " + summary(pd.DataFrame(runs)), flush=True)
        if options.sheet:
            label_noise.SKILL = 0.2
            found = label_noise.label_noise(catalog.table, photos, copies)
            for reliability in found.columns:
                print(reliability, file=sys.stderr)
                suspects = found.suspects[found.suspects["column"] == reliability.column]
                tiles += [(catalog, row) for _, row in suspects.head(ACROSS).iterrows()]
            label_noise.SKILL = -1.0
    if options.sheet:
        sheet(tiles).save(options.sheet)


def columns(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Every label column by name, a category's levels one by one."""
    found = {
        f"level{level}": category_level(table["category"].astype(object), level).astype(TEXT)
        for level in range(1, category_depth(table) + 1)
    }
    return found | {name: table[name] for name in table if name.startswith("attr:") or name == "verdict"}


def exchanged(
    catalog: Catalog, photos: pd.DataFrame, copies: np.ndarray, labels: pd.Series, share: float, seed: int
) -> dict[str, float]:
    """One run: labels exchanged, the check asked, its suspects counted."""
    generator = np.random.default_rng(seed)
    code, names = pd.factorize(labels)
    sizes = np.bincount(code, minlength=len(names))
    usable = np.flatnonzero((np.asarray(names) != "") & (sizes >= label_noise.LEAST))
    if len(usable) < 2:
        return {}
    wrong = np.isin(code, usable) & (generator.random(len(code)) < share)
    place = np.searchsorted(usable, code[wrong])
    other = (place + generator.integers(1, len(usable), wrong.sum())) % len(usable)
    values = labels.to_numpy(dtype=object).copy()
    values[wrong] = np.asarray(names, dtype=object)[usable[other]]
    ties = [name for name in ("listing", "product") if name in catalog.table]
    table = catalog.table[["image", *ties]].assign(**{"attr:x": pd.Series(values, dtype=TEXT)})
    start = time.perf_counter()
    found = label_noise.label_noise(table, photos, copies, seed=seed)
    [known] = found.columns
    hits = wrong[found.suspects["row"].to_numpy()]
    result = {"photos": known.used, "labels": known.classes, "accuracy": known.accuracy, "majority": known.majority}
    result |= {"skill": known.skill, "seconds": time.perf_counter() - start, "recall": hits.sum() / wrong.sum()}
    for first in FIRST:
        result[f"p@{first}"] = hits[:first].mean() if len(hits) else np.nan
    result["p@all"] = hits[: wrong.sum()].mean() if len(hits) else np.nan
    return result


def summary(runs: pd.DataFrame) -> str:
    """One line of the table."""
    mean = runs.mean()
    cells = [f"{mean['photos']:,.0f}", f"{mean['labels']:.0f}"]
    cells += [f"{mean[name]:.2f}" for name in ("accuracy", "majority", "skill", "p@25")]
    cells.append(f"{mean['p@50']:.2f} ({runs['p@50'].min():.2f} to {runs['p@50'].max():.2f})")
    cells += [f"{mean[name]:.2f}" for name in ("p@100", "p@all", "recall")]
    return " | ".join([*cells, f"{mean['seconds']:.0f} |"])


def sheet(tiles: list[tuple[Catalog, pd.Series]]) -> Image.Image:
    """Photos with what they are called and what the check would call them."""
    rows = -(-len(tiles) // ACROSS)
    picture = Image.new("RGB", (ACROSS * TILE, max(rows, 1) * (TILE + CAPTION)), "white")
    pen = ImageDraw.Draw(picture)
    for place, (catalog, suspect) in enumerate(tiles):
        left, top = place % ACROSS * TILE, place // ACROSS * (TILE + CAPTION)
        photo = open_photo(catalog.uri(catalog.table["image"].iat[suspect["row"]]), near=TILE)
        photo.thumbnail((TILE - 4, TILE - 4))
        picture.paste(photo, (left + 2, top + 2))
        words = [suspect["column"], f"is: {suspect['given']}", f"? {suspect['suggested']}"]
        for line, word in enumerate(words):
            pen.text((left + 3, top + TILE + 15 * line), word[-21:], fill=("gray", "black", "red")[line])
    return picture


if __name__ == "__main__":
    main()
