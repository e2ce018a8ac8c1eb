"""The matching paper's Tables 1 and 2 and its Fig. 4-6 on real photos and on rendered ones, clean and with wrong pairs.

    VITRINE_DATASETS=... python benchmarks/tables/matching.py [--work runs/matching] [--minutes 10] [--share 0/2]
        [--parts clean wrong margin background] [--data grocery rendered] [--seeds 0 1 2]

`grocery`: photos taken in shops ask for the iconic photo of their class (81 of them). `rendered`: customers' photos of
a rendered catalog ask for the shop's photos of products that no training photo shows. `wrong`: 20 % of the training
user photos, drawn anew for each seed, carry the name of another product; validation and test stay as they are.
`background`: the softmax loss, and what is learnt before the pairs, on the other of the two sets.

Every run is one line of WORK/results.jsonl; what is there is not run again, so the script may be stopped at any time
(`--minutes` stops it before the next training) and started again; `--share 0/2` and `1/2` are halves for two processes.
Each time docs/results/matching.md and docs/images/matching-*.png are written from the lines there are.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitrine.catalog import Catalog

# Without another labelled set, robust-softmax is robust-softmax-own.
VARIANTS = ("pretrained", "ft-similarity", "contrastive", "contrastive-softmax", "robust", "robust-softmax")
COMPARED = ("contrastive", "contrastive-softmax", "robust", "robust-softmax")  # what wrong pairs are asked of
DATA = ("grocery", "rendered")
PARTS = ("clean", "wrong", "margin", "background")
OTHER = {"grocery": "rendered", "rendered": "grocery"}
SEEDS = (0, 1, 2)
WRONG = 0.2
MARGINS = (0.5, 1.5, 2.0, 3.0)  # beside the default 1, times the median distance of different things
COMMON = {"image_size": 32, "workers": 1, "patience": 0}
PASSES = {"grocery": {"epochs": 4, "pretraining": 8}, "rendered": {"epochs": 10, "pretraining": 20}}
RENDERED = 500
TOP = (1, 5, 20, 200)


@dataclass(frozen=True)
class Run:
    """One training and what is measured on it."""

    data: str
    wrong: float
    variant: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return json.dumps([self.data, self.wrong, self.variant, self.seed, sorted(self.settings.items())])


def main() -> None:
    """Runs what is missing, then writes the page and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/matching"))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--share", default="0/1")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    options = parser.parse_args()
    work, until = options.work.absolute(), time.monotonic() + 60 * options.minutes
    work.mkdir(parents=True, exist_ok=True)
    os.environ["VITRINE_CACHE"] = str(work / "cache")
    part, parts = (int(number) for number in options.share.split("/"))
    results = work / "results.jsonl"
    runs = [run for run in tables(options.parts, options.seeds) if run.data in options.data]
    done = {line["key"] for line in read(results)}
    missing = [run for run in runs if run.key not in done][part::parts]
    for left, run in zip(range(len(missing), 0, -1), missing, strict=True):
        if time.monotonic() > until:
            print(f"{left} runs are left; start this again", flush=True)
            break
        for data in (run.data, *([run.settings["background"]] if "background" in run.settings else [])):
            prepare(data, work)
        with contextlib.redirect_stdout(io.StringIO()):
            line = measured(run, work)
        with results.open("a") as handle:
            handle.write(json.dumps(line) + "\n")
        print(f"{run.key}: validation {line['validation']['top20']:.3f}, {line['seconds']:.0f} s", flush=True)
    lines = read(results)
    (options.docs / "results/matching.md").write_text(page(lines))
    for data in DATA:
        curves(lines, data, options.docs / f"images/matching-{data}.png")
    print(f"written from {len(lines)} runs")


def tables(parts: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    """All runs, a seed after the other."""
    runs = []
    for seed in seeds:
        for data in DATA:
            if "clean" in parts:
                runs += [Run(data, 0.0, variant, seed) for variant in VARIANTS]
            if "wrong" in parts:
                runs += [Run(data, WRONG, variant, seed) for variant in COMPARED]
    if "background" in parts:
        runs += [Run(data, 0.0, "robust-softmax", seed, {"background": OTHER[data]}) for seed in seeds for data in DATA]
    if "margin" in parts:
        runs += [Run(data, 0.0, "robust-softmax", 0, {"margin_scale": scale}) for data in DATA for scale in MARGINS]
    return runs


def prepare(data: str, work: Path) -> None:
    """Makes a data set where it is missing."""
    from vitrine.catalog import read_catalog
    from vitrine.catalog.ingest import ingest
    from vitrine.quality.split import parse_ratios, split_catalog
    from vitrine.synth import render_catalog

    if (work / data).exists():
        return
    if data == "grocery":
        named = os.environ.get("VITRINE_DATASETS")
        if not named:
            raise SystemExit("VITRINE_DATASETS: name the folder that holds the grocery data set")
        ingest(f"{named}/grocery", work / data, "grocery", None)
    else:
        render_catalog(work / "rendered-whole", listings=RENDERED, seed=5)
        split_catalog(read_catalog(work / "rendered-whole"), work / data, parse_ratios("0.6,0.2,0.2"))


def wrong_pairs(catalog: Catalog, share: float, seed: int) -> Catalog:
    """The catalog with a share of its training user photos named after another product that has such photos."""
    from vitrine.tasks.matching.pairs import domain_rows, identity_column

    table = catalog.table.copy()
    column = identity_column(table, "", catalog.root)
    random = np.random.default_rng((seed, 41))
    names = table[column].to_numpy(object).copy()
    rows = domain_rows(table, "user", ["train"])
    rows = rows[names[rows] != ""]
    others = np.unique(names[rows])
    for row in random.permutation(rows)[: round(share * len(rows))]:
        names[row] = random.choice(others[others != names[row]])
    return catalog.with_table(table.assign(**{column: names}))


def measured(run: Run, work: Path) -> dict[str, Any]:
    """Trains a variant and measures it on the validation and test queries."""
    from vitrine.catalog import read_catalog
    from vitrine.model import load_config
    from vitrine.predict import Model
    from vitrine.tasks.matching.report import CURVE, matching_metrics, overall_ranks
    from vitrine.train import train

    catalog = read_catalog(work / run.data)
    settings = COMMON | PASSES[run.data] | {"seed": run.seed} | dict(run.settings)
    if "background" in settings:
        settings["background"] = work / settings["background"]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        started = time.process_time()
        taught = wrong_pairs(catalog, run.wrong, run.seed) if run.wrong else catalog
        train("matching", run.variant, taught, model, [f"{key}={value}" for key, value in settings.items()])
        line: dict[str, Any] = {"key": run.key, **asdict(run), "seconds": time.process_time() - started}
        config = load_config(model)
        line |= {"margin": config["margin"], "history": [epoch["figures"] for epoch in config["history"]]}
        line["code"] = code_version()
        if run.wrong and config["margin"]:
            line["beyond"] = beyond(model, catalog, taught, config["margin"])
        loaded = Model.load(model)
        for split in ("validation", "test"):
            outcome = loaded.predict(loaded.task.rows(catalog, split))
            line[split] = {k: v for k, v in matching_metrics(outcome).items() if not k.startswith("category:")}
            ranks = overall_ranks(outcome)
            line[split]["curve"] = {str(k): ranks.recall(k) for k in CURVE}
    return line


def beyond(model: Path, clean: Catalog, taught: Catalog, margin: float) -> dict[str, float]:
    """The shares of right and of wrong training pairs that end up farther apart than the margin."""
    from vitrine.predict import apply
    from vitrine.tasks.matching.pairs import Pairable, identity_column

    column = identity_column(taught.table, "", taught.root)
    pairable = Pairable.of(taught.table, column, taught.root)
    changed = (clean.table[column] != taught.table[column]).to_numpy()
    features = apply(model, taught).embeddings.astype(np.float64)
    counts = {False: [0, 0], True: [0, 0]}
    for user in pairable.users:
        shops = pairable.shops[pairable.identity[pairable.shops] == pairable.identity[user]]
        far = np.linalg.norm(features[shops] - features[user], axis=1) > margin
        counts[bool(changed[user])][0] += int(far.sum())
        counts[bool(changed[user])][1] += len(far)
    return {name: counts[key][0] / max(1, counts[key][1]) for name, key in (("right", False), ("wrong", True))}


def code_version() -> str:
    """A hash of the code that trains."""
    digest = hashlib.sha256()
    source = Path(__file__).parents[2] / "src" / "vitrine"
    for room in ("blocks", "data", "methods", "training"):
        for path in sorted((source / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """docs/results/matching.md."""
    passes = "; ".join(f"{data}: {', '.join(f'{k} {v}' for k, v in own.items())}" for data, own in PASSES.items())
    text = f"""# Matching: the tables

Written by

    VITRINE_DATASETS=... python benchmarks/tables/matching.py

`grocery`: photos taken in shops ask for the iconic photo of their class, by the set's own splits. `rendered`:
customers' photos of {RENDERED} rendered listings ask for the shop's photos of products held out of the training. Top-k
in percent, every shop photo searched; `level 1` within the query's first-level category. Mean over runs (one per seed)
and, after ±, their standard deviation. `resnet18_narrow`, {COMMON["image_size"]} px,
{passes}, the best pass by validation top-20, the rest
by default; before the pairs each net learns the background set, here the product set's own categories.
`seconds` are processor time of the training. What to make of it stands in [docs/matching.md](../matching.md).
"""
    for data in DATA:
        for wrong in (0.0, WRONG):
            own = [line for line in lines if line["data"] == data and line["wrong"] == wrong]
            own = [line for line in own if "margin_scale" not in line["settings"]]
            if own:
                asked = f"{own[0]['test']['count']:.0f} queries, {own[0]['test']['shop_photos']:.0f} shop photos"
                what = f"{100 * wrong:.0f} % of the training pairs wrong" if wrong else "clean"
                text += f"\n## {data}, {what} ({asked})\n\n{table(own)}"
                text += margins(own)
        own = [line for line in lines if line["data"] == data and line["variant"] == "robust-softmax"]
        own = [line for line in own if not line["wrong"] and "background" not in line["settings"]]
        scales = sorted({line["settings"].get("margin_scale", 1.0) for line in own})
        if len(scales) > 1:
            text += f"\n## {data}: margin (Fig. 5), robust-softmax\n\n"
            text += "| m / median | m | validation top-20 | test top-20 |\n"
            text += "| --- | --- | --- | --- |\n"
            for scale in scales:
                found = [line for line in own if line["settings"].get("margin_scale", 1.0) == scale]
                margin = np.mean([line["margin"] for line in found])
                cells = [spread([line[split]["top20"] for line in found]) for split in ("validation", "test")]
                text += f"| {scale:g} | {margin:.2f} | {' | '.join(cells)} |\n"
        if any(line["data"] == data for line in lines):
            text += f"\n![Curves](../images/matching-{data}.png)\n"
    return text


def margins(lines: Sequence[Mapping[str, Any]]) -> str:
    """What became of right and of wrong pairs, a sentence."""
    parts = []
    for variant in COMPARED:
        own = [line["beyond"] for line in lines if line["variant"] == variant and "beyond" in line]
        if own:
            right, wrong = (spread([line[name] for line in own]) for name in ("right", "wrong"))
            parts.append(f"{variant} {right} and {wrong}")
    if not parts:
        return ""
    return f"\nTraining pairs that end up beyond the margin, right and wrong ones, in percent: {'; '.join(parts)}.\n"


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """A line per variant."""
    names = [f"top{k}" for k in TOP]
    header = ["variant", *names, "level 1: top5", "level 1: top20", "seconds", "runs"]
    body = [header, ["---"] * len(header)]
    asked = [(variant, "") for variant in VARIANTS] + [("robust-softmax", other) for other in OTHER.values()]
    for variant, other in asked:
        own = [line for line in lines if (line["variant"], line["settings"].get("background", "")) == (variant, other)]
        if own:
            cells = [spread([line["test"][name] for line in own]) for name in names]
            inside = [spread([line["test"][f"level1/top{k}"] for line in own]) for k in (5, 20)]
            seconds = f"{np.mean([line['seconds'] for line in own]):.0f}"
            name = f"{variant}, background: {other}" if other else variant
            body.append([name, *cells, *inside, seconds, str(len(own))])
    return "".join(f"| {' | '.join(row)} |\n" for row in body)


def spread(values: Sequence[float]) -> str:
    return f"{100 * np.mean(values):.1f}" + (f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else "")


def curves(lines: Sequence[Mapping[str, Any]], data: str, out: Path) -> None:
    """Top-20 of the validation against passes, clean and with wrong pairs (Fig. 4), and top-k against k (Fig. 6)."""
    from matplotlib.figure import Figure

    plain = [line for line in lines if line["data"] == data and not line["settings"]]
    if not plain:
        return
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.subplots(1, 3)
    for place, wrong in enumerate((0.0, WRONG)):
        for variant in COMPARED:
            own = [line["history"] for line in plain if line["variant"] == variant and line["wrong"] == wrong]
            if own:
                passes = min(map(len, own))
                mean = [100 * np.mean([run[i]["top20"] for run in own]) for i in range(passes)]
                axes[place].plot(range(1, passes + 1), mean, marker="o", markersize=3, label=variant)
        axes[place].set(xlabel="passes", ylabel="validation top-20", title=f"{100 * wrong:.0f} % wrong pairs")
    for variant in VARIANTS:
        own = [line["test"]["curve"] for line in plain if line["variant"] == variant and not line["wrong"]]
        if own:
            ks = list(own[0])
            axes[2].plot([int(k) for k in ks], [100 * np.mean([run[k] for run in own]) for k in ks], label=variant)
    axes[2].set(xlabel="k", ylabel="test top-k", xscale="log", title="clean")
    for own in axes:
        own.grid(alpha=0.3)
        own.legend(frameon=False, fontsize=6)
        own.spines[["top", "right"]].set_visible(False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    main()
