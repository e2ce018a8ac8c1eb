"""False alarms and finds of the drift check, on real photos and with a model trained on the spot.

    python benchmarks/tables/drift.py CATALOG [CATALOG ...] [--photos 1000] [--batch 300] [--seed 0] [--epochs 4]

Of each catalog one leaf of the category tree is set aside; of the others a reference of --photos is drawn, and the rest
is what new photos come from. A net for categories learns the reference. Counted are alarms of the reference against

    itself; 20 bootstrap halves of itself; 20 batches of --batch other photos

and what is found in a batch that is darkened (0.7 times), blurred (Gaussian, 1.5 pixels at a shorter side of 224),
re-coloured (red times 0.85, blue times 1.15), label-shifted (half of it from one leaf) or for a tenth of the leaf that
was set aside.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from vitrine.catalog import Catalog, read_catalog
from vitrine.catalog.photos import open_photo
from vitrine.monitoring.detection import DriftRules
from vitrine.monitoring.drift import Drift, Side, describe, judge
from vitrine.predict import apply
from vitrine.train import train

BATCHES = 20
RULES = DriftRules()


def main() -> None:
    """Prints a table per catalog."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogs", nargs="+")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    for name in options.catalogs:
        with tempfile.TemporaryDirectory() as folder:
            measure(read_catalog(name), options, Path(folder))


def measure(catalog: Catalog, options: argparse.Namespace, folder: Path) -> None:
    """Prints one catalog's table, row by row."""
    random = np.random.default_rng(options.seed)
    table = catalog.table[catalog.table["category"] != ""]
    table = table.iloc[random.permutation(len(table))].reset_index(drop=True)
    leaves = table["category"].value_counts()
    apart = leaves.index[min(3, len(leaves) - 1)]  # common enough to make up a tenth of a batch
    known = table[table["category"] != apart]
    before, others = known[: options.photos], known[options.photos :].reset_index(drop=True)
    split = np.where(np.arange(len(before)) % 5 == 0, "validation", "train")
    learnt = catalog.with_table(before.assign(split=split).reset_index(drop=True))
    settings = [f"epochs={options.epochs}", f"seed={options.seed}", "image_size=64", "batch_size=32"]
    model = train("taxonomy", "bcnn", learnt, folder / "model", settings)
    reference = describe(learnt, apply(model, learnt))
    print(f"\n{catalog.root}: reference of {len(before):,}, {len(others):,} others, {apart!r} set aside", flush=True)

    def side(photos: Catalog) -> Side:
        return describe(photos, apply(model, photos), projection=reference.projection)

    print(row("itself", [judge(reference, reference, RULES)]), flush=True)
    table = reference.table
    halves = [table.sample(frac=0.5, replace=True, random_state=options.seed + i) for i in range(BATCHES)]
    print(row("its bootstrap halves", [judge(reference, replace(reference, table=half), RULES) for half in halves]))
    draws = [others.iloc[random.choice(len(others), options.batch, replace=False)] for _ in range(BATCHES)]
    plain = [catalog.with_table(draw.reset_index(drop=True)) for draw in draws]
    print(row("other photos", [judge(reference, side(photos), RULES) for photos in plain]), flush=True)

    for what, change in CHANGES.items():
        changed = rewritten(plain[0], folder / what, change)
        print(row(what, [judge(reference, side(changed), RULES)]), flush=True)
    of_one = others[others["category"] == others["category"].value_counts().index[0]]
    half = options.batch // 2
    shifted = np.concatenate([of_one.index[:half], others.drop(of_one.index[:half]).index[: options.batch - half]])
    shifted_photos = catalog.with_table(others.loc[shifted].reset_index(drop=True))
    print(row("label-shifted", [judge(reference, side(shifted_photos), RULES)]), flush=True)
    table = catalog.table
    new = table[table["category"] == apart][: options.batch // 10]
    mixed = plain[0].table[: options.batch - len(new)]
    joined = catalog.with_table(type(table)({name: [*mixed[name], *new[name]] for name in mixed}))
    print(row("new category", [judge(reference, side(joined), RULES)]), flush=True)
    unnamed = joined.with_table(joined.table.drop(columns="category"))
    print(row("new category, no labels", [judge(reference, side(unnamed), RULES)]), flush=True)


def row(what: str, found: list[Drift]) -> str:
    """What was compared, alarms, the signal that moved furthest beside its threshold, all that moved."""
    alarms = sum(drift.drifted for drift in found)
    furthest = max((finding for drift in found for finding in drift.findings), key=lambda finding: finding.ratio)
    moved = {finding.signal for drift in found for finding in drift.findings if finding.moved}
    named = f"{furthest.signal} {furthest.ratio:.2f}"
    return f"| {what} | {alarms} of {len(found)} | {named} | {', '.join(sorted(moved)) or '-'} |"


def rewritten(catalog: Catalog, folder: Path, change: Callable[[Image.Image], Image.Image]) -> Catalog:
    """A catalog of changed copies of the photos."""
    for i, image in enumerate(catalog.table["image"]):
        photo = open_photo(catalog.uri(image))
        path = folder / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        change(photo).save(path, compress_level=1)
    table = catalog.table.assign(image=[f"{i}.png" for i in range(len(catalog))])
    return Catalog(str(folder), table, catalog.data_version)


def blurred(photo: Image.Image) -> Image.Image:
    """As much for a small photo as for a large one."""
    return photo.filter(ImageFilter.GaussianBlur(1.5 * min(photo.size) / 224))


def recoloured(photo: Image.Image) -> Image.Image:
    """Bluer."""
    red, green, blue = photo.split()
    return Image.merge("RGB", (red.point(lambda v: v * 0.85), green, blue.point(lambda v: min(255, v * 1.15))))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "darkened": lambda photo: photo.point(lambda value: value * 0.7),
    "blurred": blurred,
    "re-coloured": recoloured,
}

if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"\n{time.monotonic() - started:.0f} s")
