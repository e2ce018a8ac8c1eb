"""The taxonomy paper's Table 1 on two sets of real photos: the eight systems, two of today, and what made which change.

    VITRINE_DATASETS=... python -m benchmarks.tables.taxonomy [--work runs/taxonomy] [--minutes 9]

Ingests, cleans and splits the sets below WORK, then trains one net after the other and appends what it measured to
WORK/results.jsonl. What is there is not run again; `--minutes` ends a call early, so that it can be run in pieces, and
`--sets` leaves sets out. All nets of a set have the same budget. The two systems with MCR take the nets that are there:
one per level and the flat one. At the end docs/results/taxonomy.md is written from the lines.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SETS = ("fashion", "grocery")
SEEDS = (0, 1, 2)
COMMON: dict[str, Any] = {"image_size": 48, "workers": 1}
EPOCHS = {"fashion": 10, "grocery": 40}  # grocery has fewer photos and more leaves that look alike
PAPER = ("bcnn", "sscnn", "bcnn-mcr", "sscnn-mcr", "bmtl-rl", "bmtl-ca", "ssmtl-rl", "ssmtl-ca")
ORDER = ("bcnn", "ssmtl-ca", "bcnn-mcr", "bmtl-rl", "bmtl-ca", "ssmtl-rl", "sscnn", "modern", "modern-mtl", "sscnn-mcr")
NO_ATTRIBUTES = {"bmtl-ca": "bmtl-rl", "ssmtl-ca": "ssmtl-rl"}
LEVELS = (1, 2)  # both sets have three; the third is the leaves'
FIGURES = ("top1", "macro_top1", "top5", "macro_top5", "level1/top1", "mistake_height", "consistency")
ROWS = (
    *PAPER[:3], "bcnn-mcr, drawn to 0", *PAPER[3:], "ssmtl-ca, not balanced", "bcnn, balanced", "modern", "modern-mtl",
)  # fmt: skip


def main() -> None:
    """Runs what is missing, then writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/taxonomy"))
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--out", type=Path, default=Path("docs/results/taxonomy.md"))
    options = parser.parse_args()
    work = options.work.absolute()
    os.environ.setdefault("VITRINE_CACHE", str(work / "cache"))
    end = time.monotonic() + 60 * options.minutes
    longest = 0.0
    for data, seed, variant in runs(options.sets):
        if time.monotonic() + longest > end:
            break
        started = time.monotonic()
        complete(work, data, seed, variant)
        longest = max(longest, time.monotonic() - started)
    options.out.write_text(page(read(work)))
    print(f"{options.out}: written from {len(read(work))} lines")


def runs(sets: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    """What there is to train, one seed after the other."""
    for seed in SEEDS:
        for data in sets:
            for variant in ORDER:
                yield data, seed, variant


def complete(work: Path, data: str, seed: int, variant: str) -> None:
    """Trains one system on one set, unless it is there, and appends its lines."""
    from vitrine.catalog import attribute_types, read_catalog

    if any((line["data"], line["seed"], line["row"]) == (data, seed, variant) for line in read(work)):
        return
    prepare(work, data)
    catalog = read_catalog(work / data)
    nets = work / f"{data}-{seed}"
    seconds = 0.0
    settings = COMMON | {"epochs": EPOCHS[data], "seed": seed}
    if variant.endswith("-mcr"):
        flat = variant.removesuffix("-mcr")
        for level in LEVELS:
            seconds += taught(catalog, flat, nets / f"{flat}-{level}", settings | {"level": level})
        seconds += taught(catalog, flat, nets / flat, settings)
        names = [*(f"{flat}-{level}" for level in LEVELS), flat]
        settings = settings | {"nets": ",".join(str(nets / name) for name in names)}
    model, balanced = nets / variant, None
    if variant in NO_ATTRIBUTES and not attribute_types(catalog.table):  # then the net is the same
        model, balanced = nets / NO_ATTRIBUTES[variant], variant == "ssmtl-ca"
    seconds += taught(catalog, model.name, model, settings)
    lines = [{"row": variant, **measured(model, catalog, balanced), "cpu_seconds": seconds}]
    if variant == "ssmtl-ca":
        lines.append({"row": "ssmtl-ca, not balanced", **measured(model, catalog, balanced=False)})
    if variant == "bcnn":
        lines.append({"row": "bcnn, balanced", **measured(nets / variant, catalog, balanced=True)})
    if variant == "bcnn-mcr":
        lines.append({"row": "bcnn-mcr, drawn to 0", **drawn_to_zero(nets / variant, catalog)})
    with (work / "results.jsonl").open("a") as handle:
        for line in lines:
            handle.write(json.dumps({"data": data, "seed": seed, **line}) + "\n")
    shown = ", ".join(f"{key} {100 * lines[0]['validation'][key]:.1f}" for key in ("top1", "macro_top1"))
    print(f"{data} {seed} {variant}: validation {shown}; {seconds:.0f} CPU s", flush=True)


def prepare(work: Path, data: str) -> None:
    """Ingests, cleans and splits a set as a user would, with the defaults."""
    if (work / data).exists():
        return
    from vitrine.catalog import read_catalog
    from vitrine.catalog.ingest import ingest
    from vitrine.quality.clean import clean_catalog
    from vitrine.quality.split import split_catalog

    named = os.environ.get("VITRINE_DATASETS")
    if not named:
        raise SystemExit("VITRINE_DATASETS: name the folder that holds the fashion and grocery data sets")
    work.mkdir(parents=True, exist_ok=True)
    ingest(f"{named}/{data}", work / f"{data}-raw", data)
    clean_catalog(read_catalog(str(work / f"{data}-raw"), check_rows=False), work / f"{data}-clean")
    split_catalog(read_catalog(str(work / f"{data}-clean")), work / data)


def taught(catalog: Any, variant: str, out: Path, settings: Mapping[str, Any]) -> float:
    """Trains a variant unless it is there; CPU seconds."""
    from vitrine.train import train

    if out.exists():
        return 0.0
    started = time.process_time()
    train("taxonomy", variant, catalog, out, [f"{key}={value}" for key, value in settings.items()], resume=True)
    return time.process_time() - started


def measured(model: Path, catalog: Any, balanced: bool | None = None) -> dict[str, Any]:
    """Figures on the validation and the test photos; with `balanced` the same net with or without its balance."""
    from vitrine.data.photo_store import PhotoStore
    from vitrine.evaluate import compute_metrics
    from vitrine.predict import Model
    from vitrine.tasks.taxonomy.objective import balance

    loaded = Model.load(model)
    net, config = loaded.net, dict(loaded.config)
    if balanced is not None:
        config.pop("balance", None)
    if balanced:
        store = PhotoStore.of_catalog(catalog, config["image_size"], 1)
        config |= balance(net, catalog, store, config)[0]
    return {
        split: compute_metrics(loaded.task.predict(net, config, catalog.of_split(split)))
        for split in ("validation", "test")
    }


def drawn_to_zero(model: Path, catalog: Any, strength: float = 1.0) -> dict[str, Any]:
    """MCR as printed: lambda ||W||^2, one lambda for all, nothing chosen by cross-validation."""
    import torch

    from vitrine.blocks.calibration import fit_temperature
    from vitrine.data.photo_store import PhotoStore
    from vitrine.data.truth import label_matrix
    from vitrine.evaluate import compute_metrics
    from vitrine.predict import Model
    from vitrine.tasks.taxonomy import mcr
    from vitrine.tasks.taxonomy.net import RefinedNets, structure_of
    from vitrine.tasks.taxonomy.predictions import label_targets
    from vitrine.tasks.taxonomy.refinement import plain_scores

    loaded = Model.load(model)
    net, config = loaded.net, loaded.config
    assert isinstance(net, RefinedNets)
    store = PhotoStore.of_catalog(catalog, config["image_size"], 1)
    rows = np.flatnonzero((catalog.table["split"] == "validation").to_numpy())
    scores = plain_scores(net, store, rows)
    structure = structure_of(config["leaves"], config["levels"])
    for level, (name, truth, labels) in enumerate(label_targets(config, catalog.table.iloc[rows])):
        allowed = label_matrix(truth, labels)
        known = np.flatnonzero(allowed.sum(axis=1) == 1)
        zero = np.zeros((len(labels), structure.total), np.float32)
        own = (scores[known], allowed[known].argmax(axis=1), zero)
        first = mcr.fit_weights(*own, np.ones(zero.shape, bool), strength)
        weights = mcr.fit_weights(*own, mcr.relevant(level, first, structure, 3), strength)
        net.get_buffer(f"weights{level}").copy_(torch.from_numpy(weights))
        config["temperatures"][name] = fit_temperature(scores @ weights.T, allowed)
    return {
        split: compute_metrics(loaded.task.predict(net, config, catalog.of_split(split)))
        for split in ("validation", "test")
    }


def read(work: Path) -> list[dict[str, Any]]:
    """The lines so far."""
    results = work / "results.jsonl"
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """docs/results/taxonomy.md: the tables."""
    settings = ", ".join(f"{key} {value}" for key, value in COMMON.items() if key != "workers")
    epochs = " and ".join(f"{count} ({data})" for data, count in EPOCHS.items())
    parts = [
        f"""# Taxonomy: the tables

Written by

    VITRINE_DATASETS=... python -m benchmarks.tables.taxonomy

from real photos, ingested, cleaned and split by the commands' defaults. `resnet18_narrow` from random weights,
{settings}, epochs {epochs}, the other settings at their defaults; every net of a set has the same budget.
Percent on the test photos, the mean over seeds and, after ±, their standard deviation (the photos are dealt the same
way each time). `height` is how far up the true path a mistake and the truth meet (siblings: a third, of three levels),
`agree` the share of photos whose separately answered levels form one path. `balanced`: rare leaves made up for where
that gains more than a standard error on validation photos, at a cost of at most a point of top1 there. `drawn to 0`:
Eq. 3 as printed, lambda 1. CPU s: one core, the nets not there yet.
"""
    ]
    for data in SETS:
        own = [line for line in lines if line["data"] == data]
        if not own:
            continue
        rows = []
        for name in ROWS:
            found = [line for line in own if line["row"] == name]
            if found:
                test = [line["test"] for line in found]
                figures = [spread([line.get(key) for line in test]) for key in FIGURES]
                kinds = [[line[key] for key in line if key.startswith("attr:")] for line in test]
                attributes = spread([float(np.mean(kind)) if kind else None for kind in kinds])
                costs = [line["cpu_seconds"] for line in found if line.get("cpu_seconds")]
                cost = f"{np.mean(costs):.0f}" if costs else ""
                rows.append([name, *figures, attributes, cost, str(len(found))])
        names = [{"mistake_height": "height", "consistency": "agree"}.get(name, name) for name in FIGURES]
        header = ["system", *names, "attributes, mean top1", "CPU s", "seeds"]
        parts.append(f"## {data} ({own[0]['test']['count']:.0f} test photos)\n\n{table(header, rows)}")
        parts.append(f"{_differences(own)}")
    return "\n".join(parts)


def _differences(lines: Sequence[Mapping[str, Any]]) -> str:
    """The claims, as differences of the same seed."""
    of = {(line["row"], line["seed"]): line["test"] for line in lines}
    pairs = [
        ("ssmtl-ca", "bcnn", "macro_top1"),
        ("ssmtl-ca, not balanced", "bcnn", "macro_top1"),
        ("ssmtl-ca", "bcnn, balanced", "macro_top1"),
        ("ssmtl-ca", "bcnn", "top1"),
        ("bcnn-mcr", "bcnn", "top1"),
        ("bcnn-mcr, drawn to 0", "bcnn", "top1"),
        ("sscnn-mcr", "sscnn", "top1"),
        ("sscnn", "bcnn", "macro_top1"),
        ("bmtl-rl", "bcnn", "macro_top1"),
        ("bmtl-ca", "bmtl-rl", "macro_top1"),
        ("ssmtl-rl", "bmtl-rl", "macro_top1"),
        ("modern", "bcnn", "macro_top1"),
        ("modern-mtl", "modern", "macro_top1"),
    ]
    rows = []
    for first, second, key in pairs:
        seeds = [seed for seed in SEEDS if (first, seed) in of and (second, seed) in of]
        points = [100 * (of[first, seed][key] - of[second, seed][key]) for seed in seeds]
        if points:
            each = ", ".join(f"{value:+.1f}" for value in points)
            rows.append([f"{first} against {second}", key, f"{np.mean(points):+.1f}", each])
    return "Points of difference, seed by seed:\n\n" + table(["", "figure", "mean", "seeds"], rows)


def spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    mean, deviation = 100 * np.mean(known), 100 * np.std(known, ddof=1) if len(known) > 1 else 0.0
    return f"{mean:.1f} ± {deviation:.1f}" if len(known) > 1 else f"{mean:.1f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(header), " | ".join("---" for _ in header), *(" | ".join(row) for row in rows)]
    return "".join(f"| {line} |\n" for line in lines)


if __name__ == "__main__":
    main()
