"""Two questions beside the taxonomy paper's Table 1: one attribute or all (its Table 2), and leaves added later.

    VITRINE_DATASETS=... python -m benchmarks.tables.taxonomy_more [--work runs/taxonomy] [--parts attributes leaves]

`attributes`: on `fashion`, `ssmtl-ca` beside one attribute, for five of them, and beside all (from the other script).
`leaves`: on `grocery`, a net that never saw every fifth leaf, then the whole catalog taught to it for a few passes,
beside as many passes from nothing and the full number of them.

Takes the sets, nets and lines of `benchmarks.tables.taxonomy` in the same WORK, appends its own to WORK/more.jsonl, and
writes docs/results/taxonomy-more.md.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import taxonomy

PARTS = ("attributes", "leaves")
KINDS = ("sleeve_length", "neck", "pattern", "colour", "usage")
HELD_OUT = 5  # every so many leaves, one is not there at first
FEW = 5  # passes over the grown catalog


def main() -> None:
    """Runs what is missing, then writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/taxonomy"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path, default=Path("docs/results/taxonomy-more.md"))
    options = parser.parse_args()
    work = options.work.absolute()
    os.environ.setdefault("VITRINE_CACHE", str(work / "cache"))
    lines = work / "more.jsonl"
    for seed in taxonomy.SEEDS:
        runs = [("attributes", kind) for kind in ("all", *KINDS)] + [("leaves", "")]
        for part, kind in runs:
            if part in options.parts and not any(
                (line["part"], line["seed"], line["kind"]) == (part, seed, kind) for line in read(lines)
            ):
                found = one_attribute(work, seed, kind) if part == "attributes" else new_leaves(work, seed)
                with lines.open("a") as handle:
                    handle.write(json.dumps({"part": part, "seed": seed, "kind": kind, **found}) + "\n")
                print(part, seed, kind, flush=True)
    options.out.write_text(page(read(lines)))
    print(f"{options.out}: written from {len(read(lines))} lines")


def read(lines: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []


def one_attribute(work: Path, seed: int, kind: str) -> dict[str, Any]:
    """`ssmtl-ca` beside one attribute, or all; not balanced, so that only the tasks differ."""
    from vitrine.catalog import read_catalog

    taxonomy.prepare(work, "fashion")
    catalog = read_catalog(work / "fashion")
    model = work / f"fashion-{seed}" / ("ssmtl-ca" if kind == "all" else f"ssmtl-ca-{kind}")
    settings = taxonomy.COMMON | {"epochs": taxonomy.EPOCHS["fashion"], "seed": seed}
    taxonomy.taught(catalog, "ssmtl-ca", model, settings if kind == "all" else settings | {"attributes": kind})
    return taxonomy.measured(model, catalog, balanced=False)


def new_leaves(work: Path, seed: int) -> dict[str, Any]:
    """Figures of the four nets, over all leaves and over the new ones."""
    from vitrine.catalog import read_catalog

    taxonomy.prepare(work, "grocery")
    catalog = read_catalog(work / "grocery")
    leaves = sorted(set(catalog.table["category"]))
    new = leaves[::HELD_OUT]
    earlier = catalog.with_table(catalog.table[~catalog.table["category"].isin(new)].reset_index(drop=True))
    nets = work / f"grocery-{seed}"
    full, few = ({"epochs": count, "seed": seed} | taxonomy.COMMON for count in (taxonomy.EPOCHS["grocery"], FEW))
    taxonomy.taught(earlier, "ssmtl-ca", nets / "earlier", full)
    taxonomy.taught(catalog, "ssmtl-ca", nets / "grown", few | {"start": nets / "earlier"})
    taxonomy.taught(catalog, "ssmtl-ca", nets / "few", few)
    taxonomy.taught(catalog, "ssmtl-ca", nets / "ssmtl-ca", full)
    names = {"earlier": "earlier", "grown": "grown", "few": "few", "full": "ssmtl-ca"}
    return {name: recalls(nets / folder, catalog, new) for name, folder in names.items()}


def recalls(model: Path, catalog: Any, new: Sequence[str]) -> dict[str, float]:
    """The mean over leaves of the share of their test photos that are answered right: of all, old and new leaves."""
    from vitrine.predict import apply
    from vitrine.predictions import PhotoPredictions

    outcome = apply(model, catalog.of_split("test"))
    assert isinstance(outcome, PhotoPredictions)
    leaf = next(question for question in outcome.targets if question.name == "level3")
    answered = np.array(leaf.labels)[leaf.scores.argmax(axis=1)]
    truth = np.array([paths[0] for paths in leaf.truth])
    recall = {name: float(np.mean(answered[truth == name] == name)) for name in np.unique(truth)}
    chosen = {"all": list(recall), "old": [n for n in recall if n not in new], "new": [n for n in recall if n in new]}
    return {which: float(np.mean([recall[name] for name in names])) for which, names in chosen.items()}


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """docs/results/taxonomy-more.md."""
    text = """# Taxonomy: one attribute or all, and leaves added later

Written by

    VITRINE_DATASETS=... python -m benchmarks.tables.taxonomy_more

with the photos, net and budgets of [taxonomy.md](taxonomy.md). Percent on the test photos, the mean over seeds and,
after ±, their standard deviation.

## fashion: `ssmtl-ca` beside one attribute and beside all, without balance (Table 2)

`branch A`: top1 of the attribute's own branch; `branch C`: of the leaves.

"""
    found = [line for line in lines if line["part"] == "attributes"]
    rows = []
    for kind in (*KINDS, "all"):
        own = [line["test"] for line in found if line["kind"] == kind]
        if own:
            branch = taxonomy.spread([line.get(f"attr:{kind}/top1") for line in own])
            figures = [taxonomy.spread([line[key] for line in own]) for key in ("top1", "macro_top1")]
            rows.append([kind, branch, *figures, str(len(own))])
    text += taxonomy.table(["attributes", "branch A", "branch C", "branch C, macro", "seeds"], rows)
    text += f"""
## grocery: every {HELD_OUT}th leaf is new

A net that never saw the new leaves in {taxonomy.EPOCHS["grocery"]} passes; it after {FEW} passes over the whole catalog
(`start=`); {FEW} passes from nothing; {taxonomy.EPOCHS["grocery"]} passes from nothing. The mean over leaves of the
share of their photos that are answered right (`macro_top1`).

"""
    found = [line for line in lines if line["part"] == "leaves"]
    names = {"earlier": "before", "grown": f"{FEW} passes on", "few": f"{FEW} from nothing", "full": "all from nothing"}
    rows = [
        [title, *(taxonomy.spread([line[name][which] for line in found]) for which in ("all", "old", "new"))]
        for name, title in names.items()
        if found
    ]
    return text + taxonomy.table(["net", "all leaves", "old leaves", "new leaves"], rows)


if __name__ == "__main__":
    main()
