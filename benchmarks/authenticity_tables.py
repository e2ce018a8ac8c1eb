"""The authenticity paper's Tables 2 and 3 and its Fig. 8 on listings of real photos and on rendered ones.

    VITRINE_DATASETS=... python benchmarks/authenticity_tables.py [--work runs/authenticity] [--again ssa ...]

Builds the data sets of benchmarks/authenticity_data.py below WORK, trains the trunks all systems start from, then runs
every (data set, system, seed, settings) in a process of its own and appends what it measured to WORK/results.jsonl.
What is there is not run again; `--again` names systems whose code has changed. `--parts` leaves parts out. At the end
docs/results/authenticity.md is written from the lines.

Settings are the same for all systems but lambda, which only ssa's three have: it is chosen by the mean validation AUC
of the sweep. No test listing is looked at before the tables are written.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.authenticity_data import labels_cut, makers, other_classes, real_listings, rendered_listings

SYSTEMS = (
    "cnn", "ms-cnn", "ms-bilinear", "deepmiml", "mi-cnn", "mi-net-instance", "mi-net", "mi-net-ds", "mi-net-rc",
    "mil-att", "bilinear", "ma-cnn", "ssa-mean", "ssa-max", "ssa",
)  # fmt: skip
OURS = ("ssa", "ssa-max", "ssa-mean")
ON_RENDERED = ("cnn", "ms-cnn", "ms-bilinear", "mil-att", *OURS)
SEEDS = (0, 1, 2)  # of weights, order and augmentation
DATA_SEED = 1  # how photos are dealt; learning rate and the like were tuned on another deal (seed 0)
COMMON = {"image_size": 48, "epochs": 15, "batch_size": 64, "learning_rate": 0.001, "workers": 1}
TRUNK = {"image_size": 48, "epochs": 20, "workers": 1}
TRUNK_OF = {"real": "trunk-real", "rendered": "trunk-rendered", "cut": "trunk-rendered"}
LAMBDAS = (0.0, 0.01, 0.1, 1.0, 10.0)
DECIDED_ONLY = {"undecided_weight": 0.0}  # the compared systems take undecided listings as 0.5, which may hurt them
CUT = 0.1
RENDERED, MAKERS = 800, 400
VIEWED = ("cnn", "ms-cnn", "ms-bilinear", "mil-att", "ssa")  # Table 2, and two that answer about whole listings
PARTS = ("lambda", "real", "rendered", "cut")
FIGURES = ("accuracy", "precision", "recall", "f1", "auc", "asked", "decided_accuracy", "ece")


@dataclass(frozen=True)
class Run:
    """One training and what is measured on it."""

    data: str
    variant: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return json.dumps([self.data, self.variant, self.seed, sorted(self.settings.items())])


def main() -> None:
    """Runs what is missing, then writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/authenticity"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--again", nargs="+", choices=SYSTEMS, default=())
    parser.add_argument("--out", type=Path, default=Path("docs/results/authenticity.md"))
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(measured(Run(**json.loads(options.run)), options.work)))
        return
    options.work = options.work.absolute()
    prepare(options.work)
    results = options.work / "results.jsonl"
    if options.again:
        lines = [line for line in read(results) if line["variant"] not in options.again]
        results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if "lambda" in options.parts:
        complete(sweep(), options.work, options.jobs)
    chosen = best_lambda(read(results))
    complete(tables(options.parts, chosen), options.work, options.jobs)
    options.out.write_text(page(read(results), chosen))
    print(f"{options.out}: written from {len(read(results))} runs")


def prepare(work: Path) -> None:
    """Builds the data sets and the trunks where they are missing."""
    from vitrine.catalog import read_catalog
    from vitrine.training.train import train

    work.mkdir(parents=True, exist_ok=True)
    if not (work / "real").exists():
        real_listings(datasets() / "grocery", work / "real", DATA_SEED)
    if not (work / "rendered").exists():
        rendered_listings(work / "rendered", RENDERED, DATA_SEED)
    if not (work / "cut").exists():
        labels_cut(read_catalog(work / "rendered"), CUT, work / "cut")
    if not (work / "others").exists():
        other_classes(datasets() / "grocery", work / "others")
    if not (work / "makers").exists():
        makers(work / "makers", MAKERS, DATA_SEED + 1)
    for data, trunk in (("others", "trunk-real"), ("makers", "trunk-rendered")):
        if not (work / trunk).exists():
            settings = [f"{key}={value}" for key, value in TRUNK.items()]
            train("taxonomy", "bcnn", read_catalog(work / data), work / trunk, settings)


def datasets() -> Path:
    """The folder of public data sets."""
    named = os.environ.get("VITRINE_DATASETS")
    if not named:
        raise SystemExit("VITRINE_DATASETS: name the folder that holds the grocery data set")
    return Path(named)


def sweep() -> list[Run]:
    """Fig. 8: ssa under every lambda, on the real photos."""
    return [Run("real", "ssa", seed, {"lambda": value}) for seed in SEEDS for value in LAMBDAS]


def tables(parts: Sequence[str], chosen: float) -> list[Run]:
    """Table 3 on both data sets, one seed after the other; and the rendered ones with most labels taken away."""
    runs = []
    for seed in SEEDS:
        for data, systems in (("real", SYSTEMS), ("rendered", ON_RENDERED)):
            for variant in systems:
                runs.append(Run(data, variant, seed, {"lambda": chosen} if variant in OURS else {}))
            runs.append(Run(data, "mil-att", seed, DECIDED_ONLY))
        runs += [Run("cut", "ssa", seed, {"lambda": value}) for value in sorted({0.0, *LAMBDAS[2:]})]
    return [run for run in runs if run.data in parts]


def complete(runs: Iterable[Run], work: Path, jobs: int) -> None:
    """Runs what has no line yet, and appends one for each."""
    results = work / "results.jsonl"
    done = {line["key"] for line in read(results)}
    missing = [run for run in runs if run.key not in done]

    def one(run: Run) -> dict[str, Any] | None:
        command = [
            sys.executable,
            "-m",
            "benchmarks.authenticity_tables",
            f"--work={work}",
            "--run",
            json.dumps(asdict(run)),
        ]
        environment = {**os.environ, "VITRINE_CACHE": str(work / "cache")}
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if ended.returncode:
            print(f"{run.key}: failed: {ended.stderr.strip().splitlines()[-1:]}", flush=True)
            return None
        return json.loads(ended.stdout.strip().splitlines()[-1])

    with ThreadPoolExecutor(jobs) as pool:
        for i, line in enumerate(pool.map(one, missing), start=1):
            if line is None:
                continue
            with results.open("a") as handle:
                handle.write(json.dumps(line) + "\n")
            found = f"validation AUC {line['validation'].get('auc', float('nan')):.3f}, {line['seconds']:.0f} s"
            print(f"{i}/{len(missing)} {line['key']}: {found}", flush=True)


def measured(run: Run, work: Path) -> dict[str, Any]:
    """Trains one system and measures it on the validation and test listings."""
    from vitrine.catalog import read_catalog
    from vitrine.evaluation.authenticity import listing_metrics
    from vitrine.evaluation.evaluate import answers_by_view
    from vitrine.methods.inference import apply
    from vitrine.methods.model_folder import load_config
    from vitrine.training.train import train

    catalog = read_catalog(work / run.data)
    trunk = work / TRUNK_OF[run.data] / "model.safetensors"
    settings = COMMON | {"weights": str(trunk), "seed": run.seed} | dict(run.settings)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        started, cpu = time.monotonic(), time.process_time()
        train("authenticity", run.variant, catalog, model, [f"{key}={value}" for key, value in settings.items()])
        seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu
        line: dict[str, Any] = {"key": run.key, **asdict(run), "seconds": seconds, "cpu_seconds": cpu_seconds}
        line["code"] = code_version()
        line["epochs"] = len(load_config(model)["history"])
        for split in ("validation", "test"):
            rows = catalog.of_split(split)
            outcome = apply(model, rows)
            viewed = run.data == "rendered" and split == "test" and run.variant in VIEWED
            line[split] = listing_metrics(outcome, answers_by_view(model, rows) if viewed else None)
            line[split]["decisive"] = attention_on_decisive(outcome, rows)
    return line


def attention_on_decisive(outcome: Any, rows: Any) -> float | None:
    """Mean share of attention on the photos that give the verdict away, over the listings that have such photos."""
    if outcome.attention is None:
        return None
    table = rows.table
    decisive = set(table.loc[table["decisive"] == "yes", ["listing", "image"]].itertuples(index=False, name=None))
    shares = []
    for name, images, weights in zip(outcome.listings, outcome.images, outcome.attention, strict=True):
        own = [(name, image) in decisive for image in images]
        if any(own):
            shares.append(float(np.asarray(weights)[own].sum()))
    return float(np.mean(shares))


def code_version() -> str:
    """A hash of the code that trains."""
    digest = hashlib.sha256()
    source = Path(__file__).parents[1] / "src" / "vitrine"
    for room in ("blocks", "data", "methods", "training"):
        for path in sorted((source / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def best_lambda(lines: Sequence[Mapping[str, Any]]) -> float:
    """The lambda with the highest mean validation AUC of the sweep; the smaller of equals."""
    groups = by_lambda(lines, "real")
    means = {value: np.mean([line["validation"]["auc"] for line in own]) for value, own in groups.items()}
    return max(means, key=lambda value: (means[value], -value)) if means else 0.1


def by_lambda(lines: Sequence[Mapping[str, Any]], data: str) -> dict[float, list[Mapping[str, Any]]]:
    """The runs of ssa on one data set, by lambda."""
    groups: dict[float, list[Mapping[str, Any]]] = {}
    for line in lines:
        if line["data"] == data and line["variant"] == "ssa":
            groups.setdefault(line["settings"]["lambda"], []).append(line)
    return dict(sorted(groups.items()))


def page(lines: Sequence[Mapping[str, Any]], chosen: float) -> str:
    """docs/results/authenticity.md."""
    settings = ", ".join(f"{key} {value}" for key, value in COMMON.items() if key != "workers")
    parts = [
        f"""# Authenticity: the tables

Written by

    VITRINE_DATASETS=... python benchmarks/authenticity_tables.py

[benchmarks/authenticity_data.py](../../benchmarks/authenticity_data.py) says how the listings are made. All figures are
percent: the mean over seeds {", ".join(map(str, SEEDS))} and, after ±, their standard deviation; the listings are
the same for all seeds. Settings of all systems: {settings}, `resnet18_narrow` from a trunk that learnt a coarser
question. Lambda of ssa, ssa-max and ssa-mean: {chosen:g}, chosen on validation listings. `asked` is the share of
listings left to an expert at costs of 10 (accepting a counterfeit), 5 (refusing an authentic one) and 1 (asking),
`decided` the accuracy on the rest, `ece` the calibration error, `on decisive` the share of attention on the photos that
give the verdict away; `CPU s` is the training on one core.
"""
    ]
    chosen_lines = [line for line in lines if line["settings"].get("lambda", chosen) == chosen]
    for data, title in (("real", "Real photos"), ("rendered", "Rendered listings")):
        own = [line for line in chosen_lines if line["data"] == data]
        if own:
            names = [name.replace("decided_accuracy", "decided") for name in FIGURES]
            systems: list[tuple[str, dict[str, Any]]] = [(variant, {}) for variant in SYSTEMS]
            systems.insert(SYSTEMS.index("mil-att") + 1, ("mil-att", DECIDED_ONLY))
            rows = [_row(variant, settings, own) for variant, settings in systems]
            table = _table(["system", *names, "on decisive", "CPU s"], [row for row in rows if row])
            parts.append(f"## {title}: Table 3 ({own[0]['test']['count']:.0f} test listings)\n\n{table}")
    viewed = [
        line
        for line in chosen_lines
        if line["data"] == "rendered" and line["variant"] in VIEWED and line["settings"] != DECIDED_ONLY
    ]
    views = sorted({name.split("/")[0] for line in viewed for name in line["test"] if name.endswith("/accuracy")})
    if views:
        rows = []
        for variant in VIEWED:
            found = [line["test"] for line in viewed if line["variant"] == variant]
            figures = [_spread([line[f"{view}/accuracy"] for line in found]) for view in views]
            rows.append([variant, *figures, _spread([line["accuracy"] for line in found])])
        header = ["system", *(view.removeprefix("view:") for view in views), "all photos"]
        parts.append("## Rendered listings: Table 2, accuracy of single views\n\n" + _table(header, rows))
    for data, title in (
        ("real", "Lambda (Fig. 8): ssa on the real photos"),
        ("cut", f"Rendered listings, verdicts cut to {100 * CUT:.0f} %: ssa"),
    ):
        rows = []
        for value, own in by_lambda(lines, data).items():
            places = [(split, name) for split in ("validation", "test") for name in ("accuracy", "auc")]
            figures = [_spread([line[split][name] for line in own]) for split, name in places]
            rows.append([f"{value:g}", *figures, str(len(own))])
        if rows:
            header = ["lambda", "validation accuracy", "validation auc", "test accuracy", "test auc", "runs"]
            parts.append(f"## {title}\n\n" + _table(header, rows))
    return "\n".join(parts)


def _row(variant: str, settings: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line of Table 3: the runs of a system whose settings, lambda aside, are these."""
    own = [
        line
        for line in lines
        if line["variant"] == variant
        and {key: value for key, value in line["settings"].items() if key != "lambda"} == settings
    ]
    if not own:
        return []
    figures = [_spread([line["test"][name] for line in own if name in line["test"]]) for name in FIGURES]
    decisive = [line["test"]["decisive"] for line in own if line["test"]["decisive"] is not None]
    cpu = np.mean([line["cpu_seconds"] for line in own])
    name = f"{variant} (decided only)" if settings else variant
    return [name, *figures, _spread(decisive), f"{cpu:.0f}"]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1) if len(values) > 1 else 0:.1f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
