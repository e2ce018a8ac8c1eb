"""The authenticity paper's Tables 2 and 3 and its Fig. 8 on listings of real photos and on rendered ones.

    VITRINE_DATASETS=... python benchmarks/tables/authenticity.py [--work runs/authenticity] [--minutes 10]
        [--share 0/2] [--parts real rendered long lambda cut] [--again ssa ...]

Builds the data sets of benchmarks/tables/authenticity_data.py below WORK, trains the trunks all systems start from,
then trains and measures every (data set, system, seed, settings), one after the other, and appends each to
WORK/results.jsonl. What is there is not run again, so it may be stopped at any time (`--minutes` stops it before the
next training) and started again; `--share 0/2` and `--share 1/2` are two halves for two processes; `--again` names
systems whose code has changed. Each time docs/results/authenticity.md is written from the lines there are.

Settings are the same for all systems. They, and lambda, which only ssa's three have, were chosen on other listings
(docs/authenticity.md); no test listing is looked at before the tables are written.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables.authenticity_data import labels_cut, makers, other_classes, real_listings, rendered_listings
from vitrine.tasks.authenticity.settings import AuthenticitySettings

SYSTEMS = (
    "cnn", "ms-cnn", "ms-bilinear", "deepmiml", "mi-cnn", "mi-net-instance", "mi-net", "mi-net-ds", "mi-net-rc",
    "mil-att", "bilinear", "ma-cnn", "ssa-mean", "ssa-max", "ssa",
)  # fmt: skip
SEEDS = (0, 1, 2)  # of weights, order and augmentation
DATA_SEED = 1  # how photos are dealt, and what is rendered
COMMON = {"image_size": 48, "workers": 1}
PASSES = {
    "real": {"epochs": 12, "learning_rate": 0.001},
    "rendered": {"epochs": 20, "learning_rate": 0.002},
    "cut-96": {"epochs": 6, "learning_rate": 0.002},
    "cut-240": {"epochs": 6, "learning_rate": 0.002},
}
TRUNK = {"image_size": 48, "epochs": 12, "workers": 1}
TRUNK_OF = {"real": "trunk-real", "rendered": "trunk-rendered", "cut-96": "trunk-rendered", "cut-240": "trunk-rendered"}
LAMBDAS = (0.0, 0.01, 1.0, 10.0)  # beside the default
CUT_LAMBDAS = (0.0, 0.1, 1.0)
FIRST = ("ssa", "ssa-max", "ssa-mean", "mil-att", "cnn", "ms-cnn", "ms-bilinear")  # trained before the others
DECIDED_ONLY = {"undecided_weight": 0.0}  # the compared systems take undecided listings as 0.5, which may hurt them
LONG = {"epochs": 50}  # on rendered listings
PATIENT = ("ssa", "ssa-max", "ssa-mean", "mil-att")  # trained that long as well
CUTS = {"cut-96": 0.08, "cut-240": 0.2}  # of the 1,200 verdicts that the 2,400 training listings of MANY have
RENDERED, MANY, MAKERS = 1000, 4000, 400
VIEWED = ("cnn", "ms-cnn", "ms-bilinear", "mil-att", "ssa")  # Table 2, and two that answer about whole listings
PARTS = ("real", "rendered", "long", "lambda", "cut")
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
    """Runs what is missing, then writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/authenticity"))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--share", default="0/1")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--again", nargs="+", choices=SYSTEMS, default=())
    parser.add_argument("--out", type=Path, default=Path("docs/results/authenticity.md"))
    options = parser.parse_args()
    started = time.monotonic()
    options.work = options.work.absolute()
    os.environ["VITRINE_CACHE"] = str(options.work / "cache")
    prepare(options.work)
    results = options.work / "results.jsonl"
    if options.again:
        lines = [line for line in read(results) if line["variant"] not in options.again]
        results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    part, parts = (int(number) for number in options.share.split("/"))
    complete(tables(options.parts)[part::parts], options.work, started + 60 * options.minutes)
    options.out.write_text(page(read(results)))
    print(f"{options.out}: written from {len(read(results))} runs")


def prepare(work: Path) -> None:
    """Builds the data sets and the trunks where they are missing."""
    from vitrine.catalog import read_catalog
    from vitrine.train import train

    work.mkdir(parents=True, exist_ok=True)
    if not (work / "real").exists():
        real_listings(datasets() / "grocery", work / "real", DATA_SEED)
    if not (work / "rendered").exists():
        rendered_listings(work / "rendered", RENDERED, DATA_SEED)
    if not (work / "many").exists():
        rendered_listings(work / "many", MANY, DATA_SEED)
    for data, share in CUTS.items():
        if not (work / data).exists():
            labels_cut(read_catalog(work / "many"), share, work / data)
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


def tables(parts: Sequence[str]) -> list[Run]:
    """All runs: Table 3 on both data sets, more passes, most verdicts taken away, lambda (Fig. 8)."""
    later = [system for system in SYSTEMS if system not in FIRST]
    runs = [("rendered", Run("rendered", variant, seed)) for seed in SEEDS for variant in FIRST]
    runs += [("real", Run("real", variant, seed)) for seed in SEEDS for variant in SYSTEMS]
    runs += [("real", Run("real", "mil-att", seed, DECIDED_ONLY)) for seed in SEEDS]
    runs += [("long", Run("rendered", variant, seed, LONG)) for seed in SEEDS for variant in PATIENT]
    runs += [
        ("cut", Run(data, "ssa", seed, {"lambda": value})) for seed in SEEDS for data in CUTS for value in CUT_LAMBDAS
    ]
    runs += [("lambda", Run("real", "ssa", seed, {"lambda": value})) for seed in SEEDS for value in LAMBDAS]
    runs += [("rendered", Run("rendered", variant, seed)) for seed in SEEDS for variant in later]
    return [run for part, run in runs if part in parts]


def complete(runs: Iterable[Run], work: Path, until: float) -> None:
    """Runs what has no line yet, and appends one for each."""
    results = work / "results.jsonl"
    done = {line["key"] for line in read(results)}
    missing = [run for run in runs if run.key not in done]
    for i, run in enumerate(missing, start=1):
        if time.monotonic() > until:
            print(f"{len(missing) - i + 1} runs are left; start this again", flush=True)
            return
        with contextlib.redirect_stdout(io.StringIO()):
            line = measured(run, work)
        with results.open("a") as handle:
            handle.write(json.dumps(line) + "\n")
        found = f"validation AUC {line['validation'].get('auc', float('nan')):.3f}, {line['seconds']:.0f} s"
        print(f"{i}/{len(missing)} {line['key']}: {found}", flush=True)


def measured(run: Run, work: Path) -> dict[str, Any]:
    """Trains one system and measures it on the validation and test listings."""
    from vitrine.catalog import read_catalog
    from vitrine.model import load_config
    from vitrine.predict import Model
    from vitrine.tasks.authenticity.metrics import listing_metrics
    from vitrine.train import train

    catalog = read_catalog(work / run.data)
    trunk = work / TRUNK_OF[run.data] / "model.safetensors"
    settings = COMMON | PASSES[run.data] | {"weights": str(trunk), "seed": run.seed} | dict(run.settings)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        started, cpu = time.monotonic(), time.process_time()
        train("authenticity", run.variant, catalog, model, [f"{key}={value}" for key, value in settings.items()])
        seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu
        line: dict[str, Any] = {"key": run.key, **asdict(run), "seconds": seconds, "cpu_seconds": cpu_seconds}
        line["code"] = code_version()
        line["epochs"] = len(load_config(model)["history"])
        loaded = Model.load(model)
        for split in ("validation", "test"):
            rows = catalog.of_split(split)
            outcome = loaded.predict(rows)
            viewed = run.data == "rendered" and split == "test" and run.variant in VIEWED
            line[split] = listing_metrics(outcome)
            if viewed:
                line[split] |= loaded.task.further_metrics(outcome, loaded.net, loaded.config, rows)
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
    source = Path(__file__).parents[2] / "src" / "vitrine"
    for room in ("blocks", "data", "methods", "training"):
        for path in sorted((source / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def by_lambda(lines: Sequence[Mapping[str, Any]], data: str) -> dict[float, list[Mapping[str, Any]]]:
    """The runs of ssa on one data set, by lambda; that of Table 3 is the default's."""
    groups: dict[float, list[Mapping[str, Any]]] = {}
    for line in lines:
        if line["data"] == data and line["variant"] == "ssa":
            groups.setdefault(line["settings"].get("lambda", AuthenticitySettings().lambda_), []).append(line)
    return dict(sorted(groups.items()))


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """docs/results/authenticity.md."""
    passes = {data: ", ".join(f"{key} {value}" for key, value in own.items()) for data, own in PASSES.items()}
    parts = [
        f"""# Authenticity: the tables

Written by

    VITRINE_DATASETS=... python benchmarks/tables/authenticity.py

[benchmarks/tables/authenticity_data.py](../../benchmarks/tables/authenticity_data.py) says how the listings are made.
All figures are percent: the mean over seeds {", ".join(map(str, SEEDS))} and, after ±, their standard deviation; the
listings are the same for all seeds. Settings of all systems: {COMMON["image_size"]} px; {passes["real"]} on real ones,
{passes["rendered"]} on rendered ones; the rest as by default, `resnet18_narrow` from a trunk that learnt a coarser
question. `asked` is the share of listings left to an expert at costs of 10
(accepting a counterfeit), 5 (refusing an authentic one) and 1 (asking), `decided` the accuracy on the rest, `ece` the
calibration error, `on decisive` the share of attention on the photos that give the verdict away; `CPU s` is the
training on one core of a busy machine. What to make of it stands in [docs/authenticity.md](../authenticity.md).
"""
    ]
    plain = [line for line in lines if "lambda" not in line["settings"]]
    for data, title in (("real", "Real photos"), ("rendered", "Rendered listings")):
        own = [line for line in plain if line["data"] == data]
        if own:
            names = [name.replace("decided_accuracy", "decided") for name in FIGURES]
            rows = [_row(variant, variant, {}, own) for variant in SYSTEMS]
            rows.insert(SYSTEMS.index("mil-att") + 1, _row("mil-att (decided only)", "mil-att", DECIDED_ONLY, own))
            rows += [_row(f"{variant}, {LONG['epochs']} passes", variant, LONG, own) for variant in PATIENT]
            table = _table(["system", *names, "on decisive", "CPU s", "runs"], [row for row in rows if row])
            parts.append(f"## {title}: Table 3 ({own[0]['test']['count']:.0f} test listings)\n\n{table}")
    viewed = [line for line in plain if line["data"] == "rendered" and line["variant"] in VIEWED]
    viewed = [line for line in viewed if not line["settings"]]
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
        ("cut-96", "96 verdicts among 2,400 rendered training listings, 6 passes: ssa"),
        ("cut-240", "240 verdicts among 2,400 rendered training listings, 6 passes: ssa"),
    ):
        rows = []
        for value, own in by_lambda(lines, data).items():
            places = [(split, name) for split in ("validation", "test") for name in ("accuracy", "auc")]
            figures = [_spread([line[split][name] for line in own]) for split, name in places]
            rows.append([f"{value:g}", *figures, str(len(own))])
        if len(rows) > 1:
            header = ["lambda", "validation accuracy", "validation auc", "test accuracy", "test auc", "runs"]
            parts.append(f"## {title}\n\n" + _table(header, rows))
    return "\n".join(parts)


def _row(name: str, variant: str, settings: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line of Table 3."""
    own = [line for line in lines if line["variant"] == variant and line["settings"] == settings]
    if not own:
        return []
    figures = [_spread([line["test"][name] for line in own if name in line["test"]]) for name in FIGURES]
    decisive = [line["test"]["decisive"] for line in own if line["test"]["decisive"] is not None]
    cpu = np.mean([line["cpu_seconds"] for line in own])
    return [name, *figures, _spread(decisive), f"{cpu:.0f}", str(len(own))]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1) if len(values) > 1 else 0:.1f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
