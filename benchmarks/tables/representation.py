"""The representation paper's Tables 1, 2 and 4 on real photos, at three budgets, and what the terms cost.

    VITRINE_DATASETS=... python benchmarks/tables/representation.py [--work runs/representation] [--minutes 10]
        [--share 0/2] [--data grocery fashion] [--budgets short long longest] [--seeds 0 1 2]

`grocery` learns 43 classes and is asked for 81, `fashion` learns sub-categories and is asked for articles (its splits
are dealt by `vitrine split`). Every variant has the same budget and, but for its own terms, the same settings.

Every run is one line of WORK/results.jsonl; what is there is not run again, so the script may be stopped at any time
(`--minutes` stops it before the next training) and started again; `--share 0/2` and `1/2` are halves for two processes.
Each time docs/results/representation.md is written from the lines there are.
"""

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

VARIANTS = ("base", "indi", "base-indi", "base-indi-eff", "maskcon", "fine")
AT_LENGTH = ("base", "base-indi", "base-indi-eff")  # at the longest budget, which takes 4 minutes and more a run
DATA = ("grocery", "fashion")
BUDGETS = {"short": {"epochs": 6}, "long": {"epochs": 30}, "longest": {"epochs": 100}}
SEEDS = (0, 1, 2)
COMMON = {"level": 2, "image_size": 32, "workers": 1}
FINE = 3  # the level asked for
RECALLS = (1, 2, 4, 8)
SIBLINGS = "siblings/recall@1"
COSTS = ((50_000, 20, 128, 256), (50_000, 20, 128, 1024), (50_000, 20, 128, 4096), (50_000, 4, 128, 256))


def main() -> None:
    """Runs what is missing, then writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/representation"))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--share", default="0/1")
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--budgets", nargs="+", choices=list(BUDGETS), default=list(BUDGETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--cost", action="store_true", help="measure what the instance terms cost, anew")
    parser.add_argument("--out", type=Path, default=Path("docs/results/representation.md"))
    options = parser.parse_args()
    work, until = options.work.absolute(), time.monotonic() + 60 * options.minutes
    work.mkdir(parents=True, exist_ok=True)
    os.environ["VITRINE_CACHE"] = str(work / "cache")
    results, costs = work / "results.jsonl", work / "costs.json"
    done = {line["key"] for line in read(results)}
    runs = [
        (data, budget, variant, seed)
        for budget in options.budgets
        for seed in options.seeds
        for data in options.data
        for variant in (AT_LENGTH if budget == "longest" else VARIANTS)
    ]
    part, parts = (int(number) for number in options.share.split("/"))
    missing = [run for run in runs if json.dumps(run) not in done][part::parts]
    for left, run in zip(range(len(missing), 0, -1), missing, strict=True):
        if time.monotonic() > until:
            print(f"{left} runs are left; start this again", flush=True)
            break
        prepare(run[0], work)
        with contextlib.redirect_stdout(io.StringIO()):
            line = measured(*run, work)
        with results.open("a") as handle:
            handle.write(json.dumps(line) + "\n")
        found = line["validation"][f"level{FINE}/recall@1"]
        print(f"{line['key']}: validation {found:.3f}, {line['seconds']:.0f} s", flush=True)
    if options.cost:
        costs.write_text(json.dumps([cost(*sizes) for sizes in COSTS]))
    options.out.write_text(page(read(results), json.loads(costs.read_text()) if costs.exists() else []))
    print(f"{options.out}: written from {len(read(results))} runs")


def prepare(data: str, work: Path) -> None:
    """Makes a data set where it is missing."""
    from vitrine.catalog import read_catalog
    from vitrine.catalog.ingest import ingest
    from vitrine.quality.split import parse_ratios, split_catalog

    named = os.environ.get("VITRINE_DATASETS")
    if (work / data).exists():
        return
    if not named:
        raise SystemExit("VITRINE_DATASETS: name the folder that holds the grocery and fashion data sets")
    if data == "grocery":
        ingest(f"{named}/grocery", work / data, "grocery", None)
    else:
        ingest(f"{named}/fashion", work / "fashion-whole", "fashion", None)
        split_catalog(read_catalog(work / "fashion-whole"), work / data, parse_ratios("0.6,0.2,0.2"))


def measured(data: str, budget: str, variant: str, seed: int, work: Path) -> dict[str, Any]:
    """Trains a variant and measures it on the validation and test photos."""
    from vitrine.catalog import read_catalog
    from vitrine.evaluate import compute_metrics
    from vitrine.predict import apply
    from vitrine.train import train

    catalog = read_catalog(work / data)
    settings = COMMON | BUDGETS[budget] | {"seed": seed}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        started = time.process_time()
        train("representation", variant, catalog, model, [f"{key}={value}" for key, value in settings.items()])
        line: dict[str, Any] = {
            "key": json.dumps([data, budget, variant, seed]),
            "seconds": time.process_time() - started,
        }
        line |= {"data": data, "budget": budget, "variant": variant, "seed": seed}
        for split in ("validation", "test"):
            outcome = apply(model, catalog.of_split(split))
            line[split] = compute_metrics(outcome) | {SIBLINGS: among_siblings(outcome.paths, outcome.embeddings)}
    return line


def among_siblings(paths: Sequence[str], features: np.ndarray) -> float:
    """recall@1 of the fine labels, asked by the photos whose super-class has several of them, among all photos."""
    from vitrine.retrieval.ranks import rank

    fine, supers = (pd.Series(["/".join(path.split("/")[:level]) for path in paths]) for level in (FINE, FINE - 1))
    asking = np.flatnonzero(fine.groupby(supers).transform("nunique") > 1)
    labels = pd.factorize(fine)[0]
    return rank(features[asking], labels[asking], features, labels, itself=asking).recall(1)


def cost(photos: int, groups: int, dim: int, batch: int, repeats: int = 9) -> dict[str, float]:
    """Median milliseconds of a forward and backward pass of the instance term, one group (Eq. 4) and many (Eq. 5)."""
    import torch

    from vitrine.blocks.instance_softmax import InstanceSoftmax

    found: dict[str, float] = {"photos": photos, "groups": groups, "dim": dim, "batch": batch}
    for name, parts in (("whole", 1), ("within", groups)):
        torch.manual_seed(0)
        term = InstanceSoftmax(dim, [photos // parts] * parts, 0.1)
        features = torch.randn(batch, dim, requires_grad=True)
        own, places = torch.arange(batch) % parts, torch.randint(photos // parts, (batch,))
        taken = []
        for _ in range(repeats):
            started = time.perf_counter()
            term(features, own, places, torch.Generator().manual_seed(0)).backward()
            taken.append(1000 * (time.perf_counter() - started))
            term.zero_grad(set_to_none=True)
        found[name] = float(np.median(taken))
    return found


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def page(lines: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, float]]) -> str:
    """docs/results/representation.md."""
    budgets = ", ".join(f"{name}: {own['epochs']} epochs" for name, own in BUDGETS.items())
    text = f"""# Representation: the tables

Written by

    VITRINE_DATASETS=... python benchmarks/tables/representation.py [--cost]

Labels down to level {COMMON["level"]} are learnt, those of level {FINE} are asked for: `grocery` 43 and 81 classes by
its own splits, `fashion` sub-categories and articles. `siblings`: asked only by photos whose super-class has several
fine labels; the others can be told by their super-class alone. Recall in percent among the test photos, by cosine;
`top1` is the accuracy on the super-class. Mean over runs (one per seed) and, after ±, their standard deviation.
`resnet18_narrow`, {COMMON["image_size"]} px, {budgets}, the rest by default. `seconds` are the training's processor
time.
What to make of it stands in [docs/representation.md](../representation.md).
"""
    names = [f"level{FINE}/recall@{k}" for k in RECALLS]
    header = [
        "variant",
        *(f"R@{k}" for k in RECALLS),
        "R@1, siblings",
        "super-class R@1",
        "super-class top1",
        "seconds",
        "runs",
    ]
    for data in DATA:
        for budget, settings in BUDGETS.items():
            chosen = [line for line in lines if line["data"] == data and line["budget"] == budget]
            if not chosen:
                continue
            text += f"\n## {data}, {settings['epochs']} epochs\n\n"
            rows = [header, ["---"] * len(header)]
            for variant in VARIANTS:
                own = [line for line in chosen if line["variant"] == variant]
                if own:
                    cells = [
                        spread(own, name)
                        for name in [*names, SIBLINGS, f"level{FINE - 1}/recall@1", f"level{FINE - 1}/top1"]
                    ]
                    seconds = f"{np.mean([line['seconds'] for line in own]):.0f}"
                    rows.append([variant, *cells, seconds, str(len(own))])
            text += "".join(f"| {' | '.join(row)} |\n" for row in rows)
    if costs:
        text += "\n## What the instance term costs\n\nForward and backward on one core, median of 9, milliseconds.\n\n"
        text += "| photos | super-classes | d | batch | all (Eq. 4) | within (Eq. 5) | ratio | n_b / n |\n"
        text += "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        for own in costs:
            sizes = " | ".join(f"{own[name]:,.0f}" for name in ("photos", "groups", "dim", "batch"))
            times = f"{own['whole']:.1f} | {own['within']:.1f} | {own['within'] / own['whole']:.3f}"
            text += f"| {sizes} | {times} | {1 / own['groups']:.3f} |\n"
    return text


def spread(lines: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [100 * line["test"][name] for line in lines if name in line["test"]]
    if not values:
        return "–"
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
