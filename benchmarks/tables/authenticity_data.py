"""The data sets of listings of benchmarks/tables/methods.py: listings of real photos, and rendered ones.

Both are catalogs of listings with a split (60/10/30 of the listings) and an extra column `decisive`: `yes` for the
photos that give the verdict away, which no system sees.

Real photos: the 81 classes of `grocery` (natural photos only). Two sibling classes stand for authentic and counterfeit,
in several pairs at once, as a shop sells several brands. A listing has 3 to 7 photos: one or two of a class of the pair
(these decide), the rest of the pair's third class, which authentic and counterfeit listings share. Photos are dealt to
the splits first, near copies left out, so no photo is in two splits. A deciding photo is in one listing; one of a third
class may be in several listings of its split. Views are unknown.

Rendered: the shoes of `vitrine synth`, six views and mostly a customer's photo. The mark sits in two of the views, tag
and box_logo: a counterfeit shows a copied emblem in one or in both. (In the demo catalog itself one to three of five
views are copied, in stitches as well as emblems, which is harder.)

Undecided are 30 % of the rendered listings, all of them in train (so half of train), and of the real ones, which are
few, 30 % of train.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from vitrine.catalog import Catalog, read_catalog, write_catalog
from vitrine.files import new_folder
from vitrine.quality.clean import clean_catalog
from vitrine.synth.listings import is_multi_view, jpeg, listing_key, marked_view, product_of, render_listing
from vitrine.synth.marks import MARKED_VIEWS

PAIRS = (  # authentic, counterfeit, the third class they share
    ("Granny-Smith", "Golden-Delicious", "Red-Delicious"),
    ("Anjou", "Conference", "Kaiser"),
    ("Arla-Medium-Fat-Milk", "Arla-Standard-Milk", "Arla-Lactose-Medium-Fat-Milk"),
    ("Garant-Ecological-Medium-Fat-Milk", "Arla-Ecological-Medium-Fat-Milk", "Garant-Ecological-Standard-Milk"),
    ("Valio-Vanilla-Yoghurt", "Yoggi-Strawberry-Yoghurt", "Yoggi-Vanilla-Yoghurt"),
    ("Red-Bell-Pepper", "Orange-Bell-Pepper", "Yellow-Bell-Pepper"),
    ("Regular-Tomato", "Vine-Tomato", "Beef-Tomato"),
)
EMBLEM_VIEWS = ("tag", "box_logo", "stamp")
MARK_VIEWS = ("tag", "box_logo")
COPIED = (("tag",), ("box_logo",), MARK_VIEWS)  # what a counterfeit shows, each as often
SPLITS, SHARES = ("train", "validation", "test"), (0.6, 0.1, 0.3)
UNDECIDED = 0.3
MOST_DECISIVE, LEAST_PHOTOS, MOST_PHOTOS = 2, 3, 7


def real_listings(grocery: Path, out: Path, seed: int = 0) -> None:
    """Writes the catalog of real photos; these stay where they are.

    Args:
        grocery: The folder of the data set.
        out: A new folder.
        seed: Deals photos to splits and listings.
    """
    random = np.random.default_rng(seed)
    parts = _photos_by_class_and_split(grocery, sorted({name for pair in PAIRS for name in pair}), random)
    rows: list[dict[str, str]] = []
    for split in SPLITS:
        for pair in PAIRS:
            for verdict, kind in zip(("authentic", "counterfeit"), pair[:2], strict=True):
                waiting = random.permutation(parts[kind, split]).tolist()
                while waiting:
                    decisive = [
                        waiting.pop() for _ in range(min(int(random.integers(1, MOST_DECISIVE + 1)), len(waiting)))
                    ]
                    size = int(random.integers(LEAST_PHOTOS, MOST_PHOTOS + 1))
                    shared = parts[pair[2], split]
                    others = random.choice(shared, min(size - len(decisive), len(shared)), replace=False).tolist()
                    name = f"{split}-{pair[0]}-{verdict}-{len(waiting)}"
                    rows += [
                        {"image": image, "listing": name, "verdict": verdict, "split": split, "decisive": own}
                        for image, own in random.permutation(
                            [(image, "yes") for image in decisive] + [(image, "") for image in others]
                        ).tolist()
                    ]
    table = pd.DataFrame(rows)
    table = _undecided(table, UNDECIDED * table.loc[table["split"] == "train", "listing"].nunique(), random)
    with new_folder(out) as folder:
        write_catalog(Catalog(str(grocery.absolute()), table, f"real-{seed}"), folder)


def rendered_listings(out: Path, listings: int, seed: int = 0) -> None:
    """Renders shoes in several views and writes their catalog.

    Args:
        out: A new folder.
        listings: How many.
        seed: Of the pictures, and of what goes where.
    """
    random = np.random.default_rng(seed)
    numbers = [number for number in range(4 * listings + 4) if is_multi_view(number)][:listings]
    with new_folder(out) as folder:
        (folder / "images").mkdir()
        rows = []
        for number in numbers:
            verdict = ("authentic", "counterfeit")[int(random.integers(2))]
            copied = COPIED[int(random.integers(len(COPIED)))]
            product, key = product_of(seed, number), listing_key(seed, number)
            for photo in render_listing(seed, number):
                view, data = photo.row["view"], photo.data
                if view in MARKED_VIEWS:
                    data = jpeg(marked_view(product, view, verdict == "authentic" or view not in copied, key)[1], 90)
                (folder / photo.row["image"]).write_bytes(data)
                rows.append(photo.row | {"verdict": verdict, "decisive": "yes" if view in MARK_VIEWS else ""})
        table = pd.DataFrame(rows)
        names = random.permutation(table["listing"].unique())
        split = dict(zip(names, _splits(len(names)), strict=True))
        table["split"] = table["listing"].map(split)
        write_catalog(
            Catalog(str(out.absolute()), _undecided(table, UNDECIDED * listings, random), f"rendered-{seed}"), folder
        )


def _photos_by_class_and_split(
    grocery: Path, kinds: list[str], random: np.random.Generator
) -> dict[tuple[str, str], list[str]]:
    """Natural photos of each class without near copies, dealt to splits; turned copies are dealt together."""
    table = pd.DataFrame({"image": _natural_photos(grocery)})
    table["kind"] = table["image"].str.split("/").str[-2]
    table = table[table["kind"].isin(kinds)].reset_index(drop=True)
    with tempfile.TemporaryDirectory() as folder:
        clean_catalog(Catalog(str(grocery.absolute()), table), Path(folder) / "cleaned", min_class_count=0)
        table = read_catalog(Path(folder) / "cleaned").table
    split_of: dict[str, str] = {}
    parts: dict[tuple[str, str], list[str]] = {}
    for kind in kinds:
        own = table[table["kind"] == kind]
        ends = np.cumsum(SHARES) * len(own)
        dealt = 0
        for copies in random.permutation(own["duplicate_group"].unique()):
            members = own.loc[own["duplicate_group"] == copies, "image"].tolist()
            place = min(int(np.searchsorted(ends, dealt, side="right")), len(SPLITS) - 1)
            split = split_of.setdefault(copies, SPLITS[place])
            parts.setdefault((kind, split), []).extend(members)
            dealt += len(members)
    return parts


def _natural_photos(grocery: Path) -> list[str]:
    lists = [(grocery / name).read_text().splitlines() for name in ("train.txt", "val.txt", "test.txt")]
    return [line.partition(",")[0].strip() for lines in lists for line in lines]


def _splits(count: int) -> np.ndarray:
    """The split of each of `count` listings."""
    return np.repeat(SPLITS, np.diff([0, *(round(share * count) for share in np.cumsum(SHARES))]))


def _undecided(table: pd.DataFrame, count: float, random: np.random.Generator) -> pd.DataFrame:
    """Takes the verdict from training listings, as many of each, until `count` listings have none."""
    listings = table.drop_duplicates("listing")
    missing = round(count) - int((listings["verdict"] == "").sum())
    decided = listings[(listings["split"] == "train") & (listings["verdict"] != "")]
    taken: set[str] = set()
    for _, own in decided.groupby("verdict"):
        taken |= set(random.permutation(own["listing"].to_numpy(object))[: max(0, missing) // 2])
    table = table.copy()
    table.loc[table["listing"].isin(taken), "verdict"] = ""
    return table
