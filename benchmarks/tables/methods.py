"""The five methods and what each paper compares with, from published weights: one table a task and data set.

    VITRINE_DATASETS=... python -m benchmarks.tables.methods [--tasks taxonomy ...] [--data grocery ...] [--seeds 0 1 2]
        [--work runs/methods] [--minutes 60] [--share 0/2]

Each run is one system on one data set with one seed: trained with the product's own defaults, measured on the
validation and the test rows, and appended to docs/results/methods.jsonl. What is there is not run again, so the
script may be stopped at any time (`--minutes` stops it before the next run) and started again; `--share 0/2` and `1/2`
are halves for two processes. Each time docs/results/methods.md is written from the lines there are.

Data sets are made below WORK as a user would make them: ingested, cleaned, split; of the larger ones a sample that is
the same for all runs (`MOST`). Nothing is chosen on test rows.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import _markdown as markdown
from benchmarks.tables.authenticity_data import real_listings, rendered_listings
from vitrine.catalog import ATTRIBUTE_PREFIX, Catalog, attribute_types, read_catalog, write_catalog
from vitrine.files import new_folder

LINES = Path("docs/results/methods.jsonl")
SEEDS = (0, 1, 2)
COMMON = {"workers": 1}
MOST = {"train": 2700, "validation": 300, "test": 1200}  # rows of a sample; shop photos are never left out
RENDERED = 600  # listings
FASHION_TYPES = ("gender", "colour", "season", "usage", "pattern", "sleeve_length", "neck", "fit")
FEW = 0.25  # share of the training labels that "few labels" keeps
FROZEN = "frozen"  # the published weights with a regression or a cosine behind them: nothing is trained


@dataclass(frozen=True)
class Table:
    """What is compared for a task.

    Attributes:
        task: By its name.
        data: Data sets.
        systems: Row -> (variant, settings); `FROZEN` is measured beside the first.
        figures: Columns: metric -> heading.
        claims: (row, row it is compared with, metric), told seed by seed.
        note: What a reader has to know.
    """

    task: str
    data: Sequence[str]
    systems: Mapping[str, tuple[str, Mapping[str, Any]]]
    figures: Mapping[str, str]
    claims: Sequence[tuple[str, str, str]]
    note: str


def plain(*variants: str, **settings: Any) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Rows that are called by their variant."""
    return {name: (name, settings) for name in variants}


TABLES = {
    "attributes": Table(
        "attributes",
        ("fashion", "few labels", "clothing", "rendered"),
        {"teachers": ("teacher", {}), "student": ("student", {}), "bce": ("bce", {})},
        {"recall@1": "recall@1", "recall@3": "recall@3", "uniform/recall@1": "recall@1, uniform prior"},
        [
            ("student", "teachers", "recall@1"), ("student", "bce", "recall@1"), ("teachers", "bce", "recall@1"),
            ("student", FROZEN, "recall@1"),
        ],
        "Means over attribute types. Teachers are one net a type, `student` and `bce` one net for all. `few labels` is "
        "fashion where each type is annotated on a quarter of the training photos that show it, as when every type "
        "was annotated for itself.",
    ),
    "taxonomy": Table(
        "taxonomy",
        ("grocery", "fashion", "rendered"),
        plain("bcnn", "sscnn", "bcnn-mcr", "sscnn-mcr", "bmtl-rl", "bmtl-ca", "ssmtl-rl")
        | {"ssmtl-ca": ("ssmtl-ca", {"views": 1, "mixup": 0})}
        | plain("modern", "modern-mtl")
        | {"default": ("ssmtl-ca", {})},
        {
            "top1": "top1", "macro_top1": "macro_top1", "top5": "top5", "level1/top1": "level1/top1",
            "mistake_height": "height", "consistency": "agree",
        },
        [
            ("default", FROZEN, "macro_top1"), ("default", "ssmtl-ca", "macro_top1"), ("default", "ssmtl-ca", "top1"),
            ("ssmtl-ca", "bcnn", "macro_top1"), ("ssmtl-ca", FROZEN, "macro_top1"), ("bcnn-mcr", "bcnn", "top1"),
            ("sscnn", "bcnn", "macro_top1"), ("bmtl-rl", "bcnn", "macro_top1"), ("bmtl-ca", "bmtl-rl", "macro_top1"),
            ("ssmtl-rl", "bmtl-rl", "macro_top1"), ("modern", "bcnn", "macro_top1"),
        ],
        "`height`: how far up the true path a mistake and the truth meet; `agree`: the levels form one path. "
        "Grocery has no attributes: its `-ca` rows are the nets of `-rl`, with balance for `ssmtl-ca`. All rows but "
        "`default` see each photo once a pass and unblended; `default` is `ssmtl-ca` as it is trained by default, with "
        "blends of two photos and twice the steps.",
    ),
    "representation": Table(
        "representation",
        ("grocery", "fashion"),
        plain("base", "indi", "base-indi", "base-indi-eff", "maskcon", "fine", level=2),
        {f"level3/recall@{k}": f"R@{k}" for k in (1, 2, 4, 8)} | {"level2/recall@1": "super-class R@1"},
        [
            ("base-indi-eff", "base", "level3/recall@1"), ("base-indi", "base", "level3/recall@1"),
            ("base-indi-eff", FROZEN, "level3/recall@1"), ("maskcon", "base", "level3/recall@1"),
            ("maskcon", FROZEN, "level3/recall@1"),
        ],
        "Labels down to level 2 are learnt, those of level 3 are asked for (`fine` learns them too): recall by cosine "
        "among the test photos.",
    ),
    "matching": Table(
        "matching",
        ("grocery", "rendered"),
        plain("pretrained", "ft-similarity", "contrastive", "contrastive-softmax", "robust", "robust-softmax"),
        {f"top{k}": f"top-{k}" for k in (1, 5, 20)},
        [
            ("robust-softmax", FROZEN, "top20"), ("robust-softmax", FROZEN, "top1"),
            ("robust-softmax", "contrastive-softmax", "top20"), ("robust-softmax", "robust", "top20"),
        ],
        "Users' photos ask for shop photos: of their class (grocery, 81), of their product, which no training photo "
        "shows (rendered). Without another labelled catalog `robust-softmax-own` is `robust-softmax`.",
    ),
    "authenticity": Table(
        "authenticity",
        ("real", "marks"),
        plain(
            "cnn", "ms-cnn", "ms-bilinear", "deepmiml", "mi-cnn", "mi-net-instance", "mi-net", "mi-net-ds",
            "mi-net-rc", "mil-att", "bilinear", "ma-cnn", "ssa-mean", "ssa-max", "ssa",
        ),
        {"accuracy": "accuracy", "auc": "auc", "asked": "asked", "decided_accuracy": "decided", "ece": "ece"},
        [("ssa", "mil-att", "auc"), ("ssa", "ssa-mean", "auc"), ("ssa", "cnn", "auc"), ("ssa", FROZEN, "auc")],
        "Listings of real photos of groceries, and rendered shoes whose marks are copied "
        "([how they are made](../../benchmarks/tables/authenticity_data.py)). All learn at the same rate, which is too "
        "high for `mi-net-instance` on marks ([start](start.md#authenticity)).",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One line."""

    task: str
    data: str
    system: str
    seed: int

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.task, self.data, self.system, self.seed


def main() -> None:
    """Runs what is missing, then writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--data", nargs="+", default=None)
    parser.add_argument("--systems", nargs="+", default=None)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--work", type=Path, default=Path("runs/methods"))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--share", default="0/1")
    options = parser.parse_args()
    work, until = options.work.absolute(), time.monotonic() + 60 * options.minutes
    os.environ.setdefault("VITRINE_CACHE", str(work / "cache"))
    done = {key_of(line) for line in read()}
    runs = [
        Run(task, data, system, seed)
        for seed in options.seeds
        for task in options.tasks
        for data in TABLES[task].data
        for system in (*TABLES[task].systems, FROZEN)
        if (options.data is None or data in options.data)
        and (options.systems is None or system in options.systems)
        and (system != FROZEN or seed == SEEDS[0])  # nothing random in it
    ]
    part, parts = (int(number) for number in options.share.split("/"))
    missing = [run for run in runs if run.key not in done][part::parts]
    for left, run in zip(range(len(missing), 0, -1), missing, strict=True):
        if time.monotonic() > until:
            print(f"{left} runs are left; start this again", flush=True)
            break
        line = measured(run, work)
        with LINES.open("a") as handle:
            handle.write(json.dumps(line) + "\n")
        first = next(iter(TABLES[run.task].figures))
        print(f"{run.key}: validation {line['validation'][first]:.3f}, {line['seconds']:.0f} s", flush=True)
    LINES.with_suffix(".md").write_text(page(read()))


def read() -> list[dict[str, Any]]:
    return [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []


def key_of(line: Mapping[str, Any]) -> tuple[str, str, str, int]:
    return line["task"], line["data"], line["system"], line["seed"]


# Data sets


def datasets() -> Path:
    named = os.environ.get("VITRINE_DATASETS")
    if not named:
        raise SystemExit("VITRINE_DATASETS: name the folder that holds grocery, fashion and clothing")
    return Path(named)


def data_set(name: str, work: Path) -> Catalog:
    """A split catalog, made where it is missing."""
    folder = work / "data" / name
    if not folder.exists():
        print(f"{name}: is made", flush=True)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            MADE[name](folder)
    return read_catalog(folder)


def fashion(out: Path) -> None:
    catalog = dealt(ingested("fashion", out))
    kept = [name for name in catalog.table if not name.startswith("attr:") or name[5:] in FASHION_TYPES]
    sample(catalog.with_table(catalog.table[kept]), out)


def few_labels(out: Path) -> None:
    catalog = data_set("fashion", out.parent.parent)
    table, random = catalog.table.copy(), np.random.default_rng(0)
    for name in attribute_types(table):
        lost = table["split"].eq("train") & (random.random(len(table)) >= FEW)
        table.loc[lost, ATTRIBUTE_PREFIX + name] = ""
    with new_folder(out) as folder:
        write_catalog(catalog.with_table(table), folder)


def clothing(out: Path) -> None:
    sample(dealt(ingested("clothing", out)), out)


def grocery(out: Path) -> None:
    sample(ingested("grocery", out), out)


def rendered(out: Path) -> None:
    from vitrine.synth import render_catalog

    render_catalog(out.with_name("rendered-whole"), listings=RENDERED, seed=7)
    sample(dealt(read_catalog(out.with_name("rendered-whole"))), out)


def real(out: Path) -> None:
    real_listings(datasets() / "grocery", out, 1)


def marks(out: Path) -> None:
    rendered_listings(out, RENDERED, 1)


MADE: Mapping[str, Callable[[Path], None]] = {
    "fashion": fashion, "few labels": few_labels, "clothing": clothing, "grocery": grocery, "rendered": rendered,
    "real": real, "marks": marks,
}  # fmt: skip


def ingested(name: str, out: Path) -> Catalog:
    from vitrine.catalog.ingest import ingest

    whole = out.with_name(f"{name}-whole")
    if not whole.exists():
        ingest(str(datasets() / name), whole, name)
    return read_catalog(whole)


def dealt(catalog: Catalog) -> Catalog:
    """Cleaned and split as by default."""
    from vitrine.quality.clean import clean_catalog
    from vitrine.quality.split import split_catalog

    folder = Path(catalog.root)
    for made, make in (("cleaned", clean_catalog), ("parted", split_catalog)):
        out = folder.with_name(f"{folder.name}-{made}")
        if not out.exists():
            make(catalog, out)
        catalog = read_catalog(out)
    return catalog


def sample(catalog: Catalog, out: Path) -> None:
    """At most `MOST` rows of each split that are not shop photos that users' photos ask for."""
    table, random = catalog.table, np.random.default_rng(0)
    asked = table["domain"].eq("user").any() if "domain" in table else False
    gallery = table["domain"].eq("shop") if asked else pd.Series(False, table.index)
    kept = set(table.index[gallery])
    for split, most in MOST.items():
        rows = table.index[table["split"].eq(split) & ~gallery].to_numpy()
        kept |= set(random.permutation(rows)[:most])
    with new_folder(out) as folder:
        write_catalog(catalog.with_table(table.loc[sorted(kept)].reset_index(drop=True)), folder)


# Runs


def measured(run: Run, work: Path) -> dict[str, Any]:
    """Trains a system and measures it on the validation and the test rows."""
    catalog = data_set(run.data, work)
    nets = work / "models" / f"{run.task}-{run.data}-{run.seed}"
    line: dict[str, Any] = {"task": run.task, "data": run.data, "system": run.system, "seed": run.seed, "code": code()}
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        found = MEASURES.get(run.task, of_a_model)(run, catalog, nets)
    return line | {"seconds": round(time.process_time() - began, 1)} | found


def code() -> str:
    """The commit that trains."""
    asked = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def trained(run: Run, catalog: Catalog, out: Path, variant: str, **settings: Any) -> Path:
    """A model folder, trained if it is not there."""
    from vitrine.train import train

    if not out.exists():
        own = COMMON | dict(TABLES[run.task].systems.get(run.system, ("", {}))[1]) | {"seed": run.seed} | settings
        train(run.task, variant, catalog, out, [f"{key}={value}" for key, value in own.items()], resume=True)
    return out


def of_a_model(
    run: Run, catalog: Catalog, folder: Path, settings: Mapping[str, Any] | None = None, start: str = ""
) -> dict[str, Any]:
    """The figures of one model, or of the frozen net that a system starts from (`start`; default: the first)."""
    from vitrine.evaluate import baseline, compute_metrics
    from vitrine.predict import Model

    first = start or next(iter(TABLES[run.task].systems))
    system = first if run.system == FROZEN else run.system
    loaded = Model.load(trained(run, catalog, folder / system, TABLES[run.task].systems[system][0], **(settings or {})))
    found: dict[str, Any] = {}
    for split in ("validation", "test"):
        rows = loaded.task.rows(catalog, split)
        outcome = baseline(loaded.config, catalog, rows) if run.system == FROZEN else loaded.predict(rows)
        assert not isinstance(outcome, str), outcome
        found[split] = figures_of(compute_metrics(outcome), run.task)
        if run.system == "ssa" and split == "test":
            found["decisive"] = on_decisive(outcome, rows)
    if run.task != "taxonomy" and system != first:  # nothing else asks for it
        shutil.rmtree(folder / system)
    return found


def taxonomy(run: Run, catalog: Catalog, nets: Path) -> dict[str, Any]:
    """MCR takes the nets of single levels and the flat one."""
    if not run.system.endswith("-mcr"):
        return of_a_model(run, catalog, nets)
    flat = run.system.removesuffix("-mcr")
    levels = range(1, catalog.table["category"].str.count("/").max() + 1)
    single = [trained(run, catalog, nets / f"{flat}-{level}", flat, level=level) for level in levels]
    names = [*single, trained(run, catalog, nets / flat, flat)]
    return of_a_model(run, catalog, nets, {"nets": ",".join(map(str, names))})


def attributes(run: Run, catalog: Catalog, nets: Path) -> dict[str, Any]:
    """Teachers are a net a type; all are measured with the training class prior and with an even one."""
    from vitrine.data.truth import teachable_types

    if run.system == FROZEN:
        return of_a_model(run, catalog, nets, start="bce")  # which is one net for all types
    kinds = teachable_types(catalog)
    if run.system == "bce":
        models = [trained(run, catalog, nets / "bce", "bce")]
    else:
        models = [trained(run, catalog, nets / f"teacher-{kind}", "teacher", type=kind) for kind in kinds]
        if run.system == "student":
            models = [trained(run, catalog, nets / "student", "student", teachers=",".join(map(str, models)))]
    return mean_of(models, catalog)


MEASURES: Mapping[str, Callable[[Run, Catalog, Path], dict[str, Any]]] = {
    "attributes": attributes,
    "taxonomy": taxonomy,
}


def mean_of(models: Sequence[Path], catalog: Catalog) -> dict[str, Any]:
    """Means over the types that some nets answer, as they are and with an even prior."""
    from vitrine.evaluate import compute_metrics
    from vitrine.predict import Model

    found: dict[str, Any] = {}
    for split in ("validation", "test"):
        rows = catalog.of_split(split)
        figures: dict[str, float] = {}
        for path in models:
            loaded = Model.load(path)
            for name, config in (("", loaded.config), ("uniform/", dict(loaded.config) | {"priors": {}})):
                own = compute_metrics(loaded.task.predict(loaded.net, config, rows))
                figures |= {name + key: value for key, value in own.items() if key.startswith("attr:")}
        for prefix in ("", "uniform/"):
            for k in (1, 3):
                wanted = [
                    value
                    for key, value in figures.items()
                    if key.startswith(f"{prefix}attr:") and key.endswith(f"/recall@{k}")
                ]
                figures[f"{prefix}recall@{k}"] = float(np.mean(wanted))
        found[split] = figures_of(figures, "attributes")
    return found


def figures_of(metrics: Mapping[str, float], task: str) -> dict[str, float]:
    """What the page shows, and the single types' recall."""
    wanted = TABLES[task].figures
    return {
        key: round(float(value), 5)
        for key, value in metrics.items()
        if key in wanted or (key.startswith("attr:") and key.endswith("/recall@1"))
    }


def on_decisive(outcome: Any, rows: Catalog) -> float:
    """Mean share of attention on the photos that give the verdict away, over the listings that have such photos."""
    table = rows.table
    decisive = set(table.loc[table["decisive"] == "yes", ["listing", "image"]].itertuples(index=False, name=None))
    shares = []
    for name, images, weights in zip(outcome.listings, outcome.images, outcome.attention, strict=True):
        own = [(name, image) in decisive for image in images]
        if any(own):
            shares.append(float(np.asarray(weights)[own].sum()))
    return float(np.mean(shares))


# The page


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """docs/results/methods.md."""
    text = f"""# The five methods, from published weights

Written by

    VITRINE_DATASETS=... python -m benchmarks.tables.methods

`mobilenet_v2-b0353104` at 128 px on CPUs, all settings by default but those named. At most {MOST["train"]:,}
training, {MOST["validation"]} validation and {MOST["test"]:,} test rows of each set, the same for all runs. Percent on
the test rows: the mean over seeds and, after ±, their standard deviation. `frozen`: the same weights with nothing
trained but a logistic regression (matching, representation: cosine). s: processor time of a training and its two
measurements; {sum(line["seconds"] for line in lines) / 3600:.1f} hours in all. Every run is a line of
[methods.jsonl](methods.jsonl). What was cut to stay within 15 hours: rows, as said.

Runs of code 637789b and 634e7b9 learnt from maps of the frozen lower half at 32 bits, earlier ones from maps in
bfloat16; all were measured at 32 bits.
"""
    for table in TABLES.values():
        for data in table.data:
            own = [line for line in lines if (line["task"], line["data"]) == (table.task, data)]
            if own:
                text += f"\n## {table.task.capitalize()}: {data}\n\n{table.note}\n\n" + rows_of(table, own)
                text += differences(table, own)
    return text


def rows_of(table: Table, lines: Sequence[Mapping[str, Any]]) -> str:
    known = [key for key in table.figures if any(key in line["test"] for line in lines)]
    header = ["", *(table.figures[key] for key in known), "s", "seeds"]
    rows = []
    for system in (*table.systems, FROZEN):
        own = [line for line in lines if line["system"] == system]
        if own:
            cells = [spread([line["test"].get(key) for line in own]) for key in known]
            rows.append([system, *cells, f"{np.mean([line['seconds'] for line in own]):.0f}", str(len(own))])
    return markdown.table(header, rows)


def differences(table: Table, lines: Sequence[Mapping[str, Any]]) -> str:
    """The claims, as points of difference of the same seed."""
    of = {(line["system"], line["seed"]): line["test"] for line in lines}
    of |= {(FROZEN, seed): of[FROZEN, SEEDS[0]] for seed in SEEDS if (FROZEN, SEEDS[0]) in of}
    rows = []
    for first, second, key in table.claims:
        seeds = [seed for seed in SEEDS if {(first, seed), (second, seed)} <= of.keys()]
        points = [100 * (of[first, seed][key] - of[second, seed][key]) for seed in seeds]
        if points:
            each = ", ".join(f"{value:+.1f}" for value in points)
            rows.append([f"{first} against {second}", table.figures[key], f"{np.mean(points):+.1f}", each])
    return "\nPoints of difference:\n\n" + markdown.table(["", "figure", "mean", "seeds"], rows) if rows else ""


def spread(values: Sequence[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if not known:
        return ""
    return f"{np.mean(known):.1f}" + (f" ± {np.std(known, ddof=1):.1f}" if len(known) > 1 else "")


if __name__ == "__main__":
    main()
