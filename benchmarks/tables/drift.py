"""False alarms and finds of the drift check on real photos: random halves, samples, and shifts of known kind.

    python benchmarks/tables/drift.py CATALOG [CATALOG ...] [--photos 1500] [--changed 200] [--halves 200] [--draws 20]
        [--kept draws.jsonl] [--only KIND ...]

Photos are measured and embedded once (pretrained MobileNetV2 at 128 pixels, mean over places) and kept in the cache
folder; every draw below takes rows of that table. Its embeddings are cut to the 256 strongest directions of all photos
first, so that the 16 of a draw are found quickly. Counted are alarms where nothing changed

    halves      a random half against the other half
    sample n    n photos against the rest, for n of 100, 300 and 1,000

and finds in batches of 200 (of changed photos three quarters of --changed) against a reference without them: darkened
(0.7 times), blurred (Gaussian, 1.5 pixels at a shorter side of 224), re-coloured (red times 0.85, blue times 1.15),
re-coded (JPEG of quality 20), half of one leaf, a tenth of a leaf that the reference never had, with its labels and
without any; `--only` names some of these, in the words of the table. What every draw came to is a line of --kept, with
the least p of its signals: a run that was stopped goes on from there, and the first draw of everything comes before the
second of anything.
"""

import argparse
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageFilter

from vitrine.blocks.backbones import build_backbone
from vitrine.catalog import Catalog, category_depth, category_level, labels_of, read_catalog
from vitrine.catalog.photos import open_photo
from vitrine.data.augment import normalise
from vitrine.data.photo_store import fit_square
from vitrine.evaluation.shift import DriftRules, strongest
from vitrine.files import atomic_write, cache_folder
from vitrine.monitoring.drift import Drift, Side, judge
from vitrine.monitoring.statistics import measure

EDGE = 128  # of the photos that are embedded, pixels
KEPT = 256  # directions of the embeddings
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
    parser.add_argument("--seed", type=int, default=0, help="of the draws; the photos stay the same")
    parser.add_argument("--kept", type=Path, default=Path("draws.jsonl"))
    parser.add_argument("--only", nargs="+", default=[], help="draws of these kinds only, as the table names them")
    options = parser.parse_args()
    asked = []
    for name in options.catalogs:
        catalog = read_catalog(name)
        rows = np.random.default_rng(0).permutation(len(catalog))[: options.photos]
        catalog = catalog.with_table(catalog.table.iloc[rows].reset_index(drop=True))
        plain = features(catalog, "plain")
        few = catalog.with_table(catalog.table[: options.changed])
        changed = {what: features(few, what) for what in CHANGES}
        every = [plain, *changed.values()]
        points = strongest(np.stack([one for table in every for one in table["features"]]).astype(np.float64), KEPT)
        for table, end in zip(every, np.cumsum([len(table) for table in every]), strict=True):
            table["features"] = list(points[end - len(table) : end])
        for draw in range(max(options.halves, options.draws)):
            if draw < options.halves:
                asked += [(draw, name, what, look) for what, look in same(plain, draw, options.seed)]
            if draw < options.draws:
                asked += [(draw, name, what, look) for what, look in shifted(plain, changed, draw, options.seed)]
    asked = [one for one in asked if not options.only or one[2] in options.only]
    lines = options.kept.read_text(encoding="utf-8").splitlines() if options.kept.exists() else []
    found = {(one["draw"], one["catalog"], one["what"]): one for one in map(json.loads, lines)}
    asked.sort(key=lambda one: one[0])
    with options.kept.open("a", encoding="utf-8") as kept:
        for draw, name, what, look in asked:
            if (draw, name, what) not in found:
                drift = look()
                moved = [finding.signal for finding in drift.findings if finding.moved]
                least = min(finding.p_value for finding in drift.findings)
                found[draw, name, what] = {"draw": draw, "catalog": name, "what": what, "moved": moved, "p": least}
                kept.write(json.dumps(found[draw, name, what]) + "\n")
                kept.flush()
    for name in options.catalogs:
        print(f"\n{name}\n")
        for what in dict.fromkeys(what for _, own, what, _ in asked if own == name):
            print(row(what, [one["moved"] for key, one in found.items() if key[1:] == (name, what)]))


def same(table: pd.DataFrame, draw: int, seed: int) -> Iterator[tuple[str, Callable[[], Drift]]]:
    """Photos of one source against others of it."""
    sizes = {"halves": len(table) // 2, **{f"sample {n}": n for n in (100, 300, 1000) if n < len(table)}}
    for what, size in sizes.items():
        order = np.random.default_rng([seed, size, draw]).permutation(len(table))
        yield what, partial(_parted, table, order, size)


def _parted(table: pd.DataFrame, order: np.ndarray, size: int) -> Drift:
    return verdict(table.iloc[order[size:]], table.iloc[order[:size]])


def shifted(
    table: pd.DataFrame, changed: dict[str, pd.DataFrame], draw: int, seed: int
) -> Iterator[tuple[str, Callable[[], Drift]]]:
    """Photos that changed against others that did not."""
    for what, other in changed.items():
        yield what, partial(_changed, table, other, seed + draw)
    leaves = table.loc[table["category"] != "", "category"].value_counts()
    commonest, apart = leaves.index[0], leaves.index[min(3, len(leaves) - 1)]
    plans = {"half of one leaf": (commonest, BATCH // 2, True), "a tenth of a new leaf": (apart, BATCH // 10, True)}
    plans["a tenth of a new leaf, no labels"] = (apart, BATCH // 10, False)
    for what, (leaf, count, labelled) in plans.items():
        yield what, partial(_with_leaf, table, leaf, count, labelled, leaf != commonest, seed + draw)


def _changed(table: pd.DataFrame, other: pd.DataFrame, seed: int) -> Drift:
    return verdict(table[len(other) :], other.sample(frac=0.75, random_state=seed))


def _with_leaf(table: pd.DataFrame, leaf: str, count: int, labelled: bool, new: bool, seed: int) -> Drift:
    """A batch with so many photos of a leaf against the rest, without that leaf if it is to be new."""
    order = table.sample(frac=1, random_state=seed)
    own, rest = order[order["category"] == leaf], order[order["category"] != leaf]
    count = min(count, len(own))
    now = pd.concat([own[:count], rest[: BATCH - count]])
    before = rest[BATCH - count :] if new else pd.concat([rest[BATCH - count :], own[count:]])
    return verdict(before, now, labelled=labelled)


def verdict(before: pd.DataFrame, now: pd.DataFrame, labelled: bool = True) -> Drift:
    """The check of one table of features against another, whose rare labels were cut as cleaning does."""
    cut = before["category"].map(before["category"].value_counts()) < LEAST
    rare = {"category": sorted(set(before["category"][cut]))}
    sides = []
    for table in (before, now):
        points = np.stack(table["features"].to_list())
        table = table.drop(columns="features").reset_index(drop=True)
        paths = pd.Series([path.rpartition("/")[0] if path in rare["category"] else path for path in table["category"]])
        labels = {f"level{i + 1}": category_level(paths, i + 1) for i in range(category_depth(table))}
        if sides and not labelled:
            labels = {}
        components = pd.DataFrame(points).add_prefix("embedding")
        counts = {name: label_counts(column) for name, column in labels.items()}
        columns = pd.concat([table.drop(columns="category").assign(**labels), components], axis=1)
        sides.append(Side(columns, counts, len(table), "", rare=rare))
    return judge(sides[0], sides[1], RULES)


def label_counts(column: pd.Series) -> dict[str, int]:
    """Photos of each label."""
    labels = pd.Series([label for cell in column for label in labels_of(cell)], dtype=object)
    return {str(label): int(count) for label, count in labels.value_counts().items()}


def row(what: str, found: Sequence[Sequence[str]]) -> str:
    """What was compared, alarms, and how often each signal moved."""
    alarms = sum(bool(moved) for moved in found)
    counts = pd.Series([signal for moved in found for signal in moved], dtype=object).value_counts()
    named = ", ".join(f"{signal} {count}" for signal, count in counts.items()) or "-"
    return f"| {what} | {alarms} of {len(found)} ({100 * alarms / max(len(found), 1):.1f} %) | {named} |"


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
        table = table.assign(readable="yes", category=_leaves(catalog).to_numpy(), features=points)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            table.to_parquet(temporary)
    return pd.read_parquet(path)


def _leaves(catalog: Catalog) -> pd.Series:
    """Category paths, or what there is in place of a tree: the first attribute."""
    column = next(name for name in catalog.table if name == "category" or name.startswith("attr:"))
    return catalog.table[column]


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
