"""The representation paper's synthetic patches (Section 4.1, Fig. 2): what each objective finds, and where it looks.

    python benchmarks/tables/patches.py [--work runs/patches] [--minutes 10]

Draws 32 big and 128 small patches, each a grid of random colours, and puts one of each on 512 blank photos to learn
from and on 512 others to measure on, always about the same places: 16 photos share a big patch, and where it stood
would tell them apart as well as the small one does. Super-classes are the big patches, fine classes the small ones.
Trains what is missing in WORK/results.jsonl (`--minutes` stops before the next training; start it again to go on), then
writes docs/results/patches.md and docs/images/patches.png.
"""

import argparse
import contextlib
import io
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks import _markdown as markdown
from vitrine.catalog import Catalog

BIG, SMALL, PHOTOS = 32, 128, 512
EDGE, BIG_EDGE, SMALL_EDGE = 64, 24, 12
CELLS = {"big": 3, "small": 2}  # colours along the edge of a patch
HOME, STRAY = {"big": 8, "small": 42}, 4  # pixels from the left and the top, and how far a patch may be from there
SEEDS = (0, 1, 2)
SYSTEMS = {  # name in the paper: variant, and which patches are its labels
    "Base": ("base", "big"),
    "Fine": ("base", "small"),
    "Indi": ("indi", "big"),
    "Base-Indi": ("base-indi", "big"),
    "Base-Indi_eff": ("base-indi-eff", "big"),
}
SETTINGS = {"epochs": 60, "lambda": 1.0, "image_size": EDGE, "batch_size": 32, "workers": 1, "level": 1}
SHOWN = 6
MAP_LAYERS = 9  # of resnet18_narrow: its third stage, maps of 8 x 8


def main() -> None:
    """Trains what is missing, then writes the page and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/patches"))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    options = parser.parse_args()
    work, until = options.work.absolute(), time.monotonic() + 60 * options.minutes
    work.mkdir(parents=True, exist_ok=True)
    os.environ["VITRINE_CACHE"] = str(work / "cache")
    rows = draw(work / "photos")
    results = work / "results.jsonl"
    done = {(line["system"], line["seed"]) for line in read(results)}
    for seed in options.seeds:
        for system in SYSTEMS:
            if (system, seed) not in done and time.monotonic() < until:
                with contextlib.redirect_stdout(io.StringIO()):
                    line = measured(system, seed, rows, work)
                with results.open("a") as handle:
                    handle.write(json.dumps(line) + "\n")
                print({key: value for key, value in line.items() if key != "maps"}, flush=True)
    lines = read(results)
    (options.docs / "results/patches.md").write_text(page(lines))
    figure(lines, rows, work, options.docs / "images/patches.png")


def draw(folder: Path) -> pd.DataFrame:
    """The photos, and of each which patches it shows and where: `big_at`, `small_at` are (left, top)."""
    random = np.random.default_rng(0)
    pools = {
        kind: [random.integers(0, 256, (CELLS[kind], CELLS[kind], 3)).astype(np.uint8) for _ in range(count)]
        for kind, count in (("big", BIG), ("small", SMALL))
    }
    edges = {"big": BIG_EDGE, "small": SMALL_EDGE}
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(2 * PHOTOS):
        canvas = np.full((EDGE, EDGE, 3), 235, np.uint8)
        places: dict[str, tuple[int, int]] = {}
        shown = {"big": int(random.integers(BIG)), "small": int(random.integers(SMALL))}
        for kind in ("big", "small"):
            left, top = (HOME[kind] + int(stray) for stray in random.integers(-STRAY, STRAY + 1, 2))
            places[kind] = left, top
            patch = np.kron(pools[kind][shown[kind]], np.ones((edges[kind] // CELLS[kind],) * 2 + (1,), np.uint8))
            canvas[top : top + edges[kind], left : left + edges[kind]] = patch
        name = f"images/{number:04}.png"
        Image.fromarray(canvas).save(folder / name)
        rows.append(
            {
                "image": name,
                "split": "train" if number < PHOTOS else "test",
                "big": f"big{shown['big']:03}",
                "small": f"small{shown['small']:03}",
                "big_at": places["big"],
                "small_at": places["small"],
            }
        )
    return pd.DataFrame(rows)


def measured(system: str, seed: int, rows: pd.DataFrame, work: Path) -> dict[str, Any]:
    """Trains one system; recall@1 of both kinds of patches among new photos, and the attention each kind gets."""
    import torch

    from vitrine.blocks.activation_attention import activation_attention
    from vitrine.data.augment import normalise
    from vitrine.data.photo_store import PhotoStore
    from vitrine.inference import run_net
    from vitrine.predict import load_model
    from vitrine.retrieval.ranks import rank
    from vitrine.train import train

    variant, labels = SYSTEMS[system]
    table = rows[["image", "split"]].assign(category=rows[labels])
    catalog = Catalog(str(work / "photos"), table, "patches")
    model = work / f"{system}-{seed}"
    settings = [
        f"{key}={value}" for key, value in (SETTINGS | {"seed": seed}).items() if key != "level" or variant != "indi"
    ]
    started = time.process_time()
    if not model.exists():
        train("representation", variant, catalog, model, settings)
    seconds = time.process_time() - started
    net, _ = load_model(model)
    test = np.flatnonzero(rows["split"] == "test")
    store = PhotoStore.of_catalog(catalog, EDGE, 1)
    features, _ = run_net(net, store, test)
    found: dict[str, Any] = {"system": system, "seed": seed, "cpu_seconds": seconds}
    for kind in ("big", "small"):
        own = pd.factorize(rows[kind].iloc[test])[0]
        found[f"{kind}/recall@1"] = rank(features, own, features, own, itself=np.arange(len(test))).recall(1)
    big, small = (pd.factorize(rows[kind].iloc[test])[0] for kind in ("big", "small"))
    found["told_apart"] = told_apart(features, big, small)
    trunk: Any = net.trunk
    with torch.inference_mode():
        maps = activation_attention(trunk[:MAP_LAYERS](normalise(store.read(test)))).numpy()
    found |= attention_shares(maps, rows.iloc[test])
    found["maps"] = maps[:SHOWN].round(4).tolist()
    return found


def told_apart(features: np.ndarray, big: np.ndarray, small: np.ndarray) -> float:
    """How often, of two photos with one big patch, the one that has the small patch of a third photo is nearer to it.

    The third photo's big patch is another one. 0.5 is chance, also for features that know big patches alone.

    Args:
        features: (n, d), compared by cosine.
        big: (n,) which big patch.
        small: (n,) which small patch.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    near = unit @ unit.T
    wins = []
    for asking in range(len(near)):
        for right in np.flatnonzero((small == small[asking]) & (big != big[asking])):
            wrong = np.flatnonzero((big == big[right]) & (small != small[asking]))
            wins += (near[asking, right] > near[asking, wrong]).tolist()
    return float(np.mean(wins))


def attention_shares(maps: np.ndarray, rows: pd.DataFrame) -> dict[str, float]:
    """Mean attention on each kind of patch over that on the blank: 1 is no more than nothing gets."""
    cell = EDGE // maps.shape[1]
    ratios: dict[str, list[float]] = {"big": [], "small": []}
    for own, big_at, small_at in zip(maps, rows["big_at"], rows["small_at"], strict=True):
        full = np.kron(own, np.ones((cell, cell)))
        inside = {"big": np.zeros((EDGE, EDGE), bool), "small": np.zeros((EDGE, EDGE), bool)}
        for kind, (left, top), edge in (("big", big_at, BIG_EDGE), ("small", small_at, SMALL_EDGE)):
            inside[kind][top : top + edge, left : left + edge] = True
        blank = full[~(inside["big"] | inside["small"])].mean()
        for kind, chosen in inside.items():
            ratios[kind].append(float(full[chosen].mean() / max(blank, 1e-9)))
    return {f"{kind}/attention": float(np.median(values)) for kind, values in ratios.items()}


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """docs/results/patches.md."""
    settings = ", ".join(f"{key} {value}" for key, value in SETTINGS.items())
    names = ("big/recall@1", "small/recall@1", "told_apart", "big/attention", "small/attention")
    rows = []
    for system in SYSTEMS:
        own = [line for line in lines if line["system"] == system]
        if own:
            cells = [_spread([100 * line[name] for line in own]) for name in names[:3]]
            cells += [_spread([line[name] for line in own]) for name in names[3:]]
            rows.append([system, *cells, str(len(own))])
    header = [
        "objective",
        "big, recall@1",
        "small, recall@1",
        "small, told apart",
        "attention, big",
        "attention, small",
    ]
    return f"""# Patches: what each objective looks at

    python benchmarks/tables/patches.py

The representation paper's synthetic data (Section 4.1): {BIG} big and {SMALL} small colour patches, one of each on
{PHOTOS} photos of {EDGE} px to learn from and on {PHOTOS} new ones to measure on, always about the same two places.
Labels are the big patches, for Fine the small ones. `resnet18_narrow`, {settings},
the rest by default. Recall@1 in percent, by cosine among the new photos; chance is about {100 / BIG:.1f} for big
patches and {100 / SMALL:.1f} for small ones. "Told apart": of two photos with one big patch, the one that has a third
photo's small patch is nearer to it; the third one's big patch is another, and 50 is chance. Attention is that of the
third stage (mean over channels of the squared activations) on a patch over that on the blank, median over photos. After
± the standard deviation over seeds.

{markdown.table([*header, "runs"], rows)}
![Attention maps](../images/patches.png)
"""


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "")


def figure(lines: Sequence[Mapping[str, Any]], rows: pd.DataFrame, work: Path, out: Path) -> None:
    """Fig. 2 (b): photos, and where the nets of the first seed look in them."""
    from matplotlib.figure import Figure

    from vitrine.data.heat import shaded, spread

    test = rows[rows["split"] == "test"].iloc[:SHOWN]
    first = {system: next((line for line in lines if line["system"] == system), None) for system in SYSTEMS}
    shown = [(system, line) for system, line in first.items() if line is not None]
    drawn = Figure(figsize=(1.3 * SHOWN, 1.35 * (1 + len(shown))), layout="constrained")
    grid = drawn.subplots(1 + len(shown), SHOWN)
    for column, image in enumerate(test["image"]):
        path = str(work / "photos" / image)
        grid[0, column].imshow(Image.open(path))
        for line, (_, found) in enumerate(shown, start=1):
            grid[line, column].imshow(shaded(path, spread(np.array(found["maps"][column])), 128))
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for axes, name in zip(grid[:, 0], ["photo", *(system for system, _ in shown)], strict=True):
        axes.set_ylabel(name, fontsize=8)
    out.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(out, dpi=90)


if __name__ == "__main__":
    main()
