"""False alarms and finds of the drift check on real photos: random halves, samples, and shifts of known kind.

    python benchmarks/tables/drift.py CATALOG [CATALOG ...] [--photos 1500] [--changed 200] [--halves 200] [--draws 20]

Photos are measured and embedded once (pretrained MobileNetV2 at 128 pixels, mean over places) and kept in the cache
folder; every draw below takes rows of that table. Counted are alarms where nothing changed

    halves      a random half against the other half
    sample n    n photos against the rest, for n of 100, 300 and 1,000

and finds in batches of 200 (of changed photos three quarters of --changed) against a reference without them: darkened
(0.7 times), blurred (Gaussian, 1.5 pixels at a shorter side of 224), re-coloured (red times 0.85, blue times 1.15),
re-coded (JPEG of quality 20), half of one leaf, a tenth of a leaf that the reference never had, with its labels and
without any.
"""

import argparse
import hashlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageFilter

from vitrine.blocks.backbones import build_backbone
from vitrine.catalog import Catalog, category_depth, category_level, labels_of, read_catalog
from vitrine.catalog.photos import open_photo
from vitrine.data.augment import normalise
from vitrine.data.photo_store import fit_square
from vitrine.evaluation.shift import DriftRules
from vitrine.files import atomic_write, cache_folder
from vitrine.monitoring.drift import Drift, Side, judge
from vitrine.monitoring.drift import _principal_components as principal_components
from vitrine.monitoring.statistics import measure

EDGE = 128  # of the photos that are embedded, pixels
BATCH = 200
LEAST = 10  # photos of a label, as `vitrine clean` asks by default
RULES = DriftRules()
Change = Callable[[Image.Image], Image.Image]


def main() -> None:
    """Prints a table per catalog."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogs", nargs="+")
    parser.add_argument("--photos", type=int, default=1500)
    parser.add_argument("--changed", type=int, default=200)
    parser.add_argument("--halves", type=int, default=200)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.catalogs:
        started = time.monotonic()
        catalog = read_catalog(name)
        rows = np.random.default_rng(options.seed).permutation(len(catalog))[: options.photos]
        catalog = catalog.with_table(catalog.table.iloc[rows].reset_index(drop=True))
        plain = features(catalog, "plain")
        print(f"\n{name}: {len(plain):,} photos\n", flush=True)
        for what, found in same(plain, options.halves, options.seed):
            print(row(what, found), flush=True)
        few = catalog.with_table(catalog.table[: options.changed])
        changed = {what: features(few, what) for what in CHANGES}
        for what, found in shifted(plain, changed, options.draws, options.seed):
            print(row(what, found), flush=True)
        print(f"\n{time.monotonic() - started:.0f} s", flush=True)


def same(table: pd.DataFrame, draws: int, seed: int) -> Iterator[tuple[str, list[Drift]]]:
    """What is said of photos of one source."""
    sizes = {"halves": len(table) // 2, **{f"sample {n}": n for n in (100, 300, 1000) if n < len(table)}}
    for what, size in sizes.items():
        found = []
        for draw in range(draws):
            order = np.random.default_rng([seed, size, draw]).permutation(len(table))
            found.append(verdict(table.iloc[order[size:]], table.iloc[order[:size]]))
        yield what, found


def shifted(
    table: pd.DataFrame, changed: dict[str, pd.DataFrame], draws: int, seed: int
) -> Iterator[tuple[str, list[Drift]]]:
    """What is said of photos that changed."""
    for what, other in changed.items():
        yield (
            what,
            [verdict(table[len(other) :], other.sample(frac=0.75, random_state=seed + draw)) for draw in range(draws)],
        )
    leaves = table["category"].value_counts()
    commonest, apart = leaves.index[0], leaves.index[min(3, len(leaves) - 1)]
    plans = {"half of one leaf": (commonest, BATCH // 2, True), "a tenth of a new leaf": (apart, BATCH // 10, True)}
    plans["a tenth of a new leaf, no labels"] = (apart, BATCH // 10, False)
    for what, (leaf, count, labelled) in plans.items():
        found = []
        for draw in range(draws):
            order = table.sample(frac=1, random_state=seed + draw)
            own = order[order["category"] == leaf]
            rest = order[order["category"] != leaf]
            count = min(count, len(own))
            now = pd.concat([own[:count], rest[: BATCH - count]])
            before = rest[BATCH - count :]
            if leaf == commonest:
                before = pd.concat([before, own[count:]])
            found.append(verdict(before, now, labelled=labelled))
        yield what, found


def verdict(before: pd.DataFrame, now: pd.DataFrame, labelled: bool = True) -> Drift:
    """The check of one table of features against another, whose rare labels were cut as cleaning does."""
    points = [np.stack(side["features"].to_list()) for side in (before, now)]
    projection = principal_components(points[0])
    cut = before["category"].map(before["category"].value_counts()) < LEAST
    rare = {"category": sorted(set(before["category"][cut]))}
    sides = []
    for table, embeddings in zip((before, now), points, strict=True):
        table = table.drop(columns="features").reset_index(drop=True)
        paths = pd.Series([path.rpartition("/")[0] if path in rare["category"] else path for path in table["category"]])
        labels = {f"level{i + 1}": category_level(paths, i + 1) for i in range(category_depth(table))}
        if sides and not labelled:
            labels = {}
        reduced = (embeddings - projection.mean) @ projection.components.T
        components = {f"embedding{i:02d}": reduced[:, i] for i in range(reduced.shape[1])}
        counts = {name: label_counts(column) for name, column in labels.items()}
        columns = table.drop(columns="category").assign(**labels, **components)
        sides.append(Side(columns, counts, len(table), "", projection=projection, rare=rare))
    return judge(sides[0], sides[1], RULES)


def label_counts(column: pd.Series) -> dict[str, int]:
    """Photos of each label."""
    labels = pd.Series([label for cell in column for label in labels_of(cell)], dtype=object)
    return {str(label): int(count) for label, count in labels.value_counts().items()}


def row(what: str, found: Sequence[Drift]) -> str:
    """What was compared, alarms, and how often each signal moved."""
    alarms = sum(drift.drifted for drift in found)
    moved = pd.Series([f.signal for drift in found for f in drift.findings if f.moved], dtype=object).value_counts()
    named = ", ".join(f"{signal} {count}" for signal, count in moved.items()) or "-"
    return f"| {what} | {alarms} of {len(found)} ({100 * alarms / len(found):.1f} %) | {named} |"


def features(catalog: Catalog, what: str) -> pd.DataFrame:
    """Statistics, `category` and `features` (1,280 values) of each photo; kept in the cache folder."""
    names = "\n".join([catalog.root, what, *catalog.table["image"]])
    path = cache_folder() / "drift" / f"{hashlib.sha256(names.encode()).hexdigest()[:24]}.parquet"
    if not path.exists():
        net = build_backbone("mobilenet_v2", EDGE, "auto")[0].eval()
        uris = [catalog.uri(image) for image in catalog.table["image"]]
        with ThreadPoolExecutor(2) as readers:
            looks = list(readers.map(lambda uri: look(uri, CHANGES.get(what)), uris))
        points = []
        for start in range(0, len(looks), 64):
            squares = np.stack([square for _, square in looks[start : start + 64]])
            with torch.inference_mode():
                maps = net(normalise(torch.from_numpy(squares).permute(0, 3, 1, 2)))
            points += list(maps.mean(dim=(2, 3)).numpy())
        table = pd.DataFrame([statistics for statistics, _ in looks])
        table = table.assign(readable="yes", category=catalog.table["category"].to_numpy(), features=points)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            table.to_parquet(temporary)
    return pd.read_parquet(path)


def look(uri: str, change: Change | None) -> tuple[dict[str, float], np.ndarray]:
    """Statistics and the (128, 128, 3) uint8 square of a photo, changed first."""
    photo = open_photo(uri)
    if change:
        photo = change(photo)
    return measure(photo, photo.width * photo.height / 1e6), fit_square(photo, EDGE)


def blurred(photo: Image.Image) -> Image.Image:
    """As much for a small photo as for a large one."""
    return photo.filter(ImageFilter.GaussianBlur(1.5 * min(photo.size) / 224))


def recoloured(photo: Image.Image) -> Image.Image:
    """Bluer."""
    red, green, blue = photo.split()
    return Image.merge("RGB", (red.point(lambda v: v * 0.85), green, blue.point(lambda v: min(255, v * 1.15))))


def recoded(photo: Image.Image) -> Image.Image:
    """As a messenger passes it on."""
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=20)
    return Image.open(data).convert("RGB")


CHANGES: dict[str, Change] = {
    "darkened": lambda photo: photo.point(lambda value: value * 0.7),
    "blurred": blurred,
    "re-coloured": recoloured,
    "re-coded": recoded,
}

if __name__ == "__main__":
    main()
