"""Whether a model's own training photos can be the drift reference: its answers about photos of one source, compared.

    python -m benchmarks.tables.drift_trained MODEL CATALOG [--draws 20] [--seed 0]

CATALOG is split, and MODEL was trained on its training rows. Nothing changed between any two sides, so every alarm is a
false one: training photos against the others, and random halves of the others, dealt by listing.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import _markdown as markdown
from vitrine.catalog import Catalog, read_catalog
from vitrine.evaluation.shift import DriftRules
from vitrine.monitoring.drift import Drift, Side, describe, judge
from vitrine.predict import Model


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("catalog")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    catalog = read_catalog(options.catalog)
    catalog = catalog.with_table(catalog.table[catalog.table["split"] != ""].reset_index(drop=True))
    trained = (catalog.table["split"] == "train").to_numpy()
    model = Model.load(options.model)
    own, others = (side_of(model, catalog.with_table(catalog.table[rows])) for rows in (trained, ~trained))
    rows = [told("training photos against the others", [judge(own, others, DriftRules())])]
    listings = np.unique(others.table["listing"])
    draws = []
    for draw in range(options.draws):
        random = np.random.default_rng((options.seed, draw))
        first = others.table["listing"].isin(random.permutation(listings)[: len(listings) // 2]).to_numpy()
        draws.append(judge(part(others, first), part(others, ~first), DriftRules()))
    rows.append(told("halves of the others", draws))
    print(markdown.table(["", "alarms", "furthest signals, in thresholds"], rows))


def side_of(model: Model, catalog: Catalog) -> Side:
    """Without the labels' counts, of which new labels are told."""
    return replace(describe(catalog, model.predict(catalog), ".."), labels={})


def part(side: Side, rows: np.ndarray) -> Side:
    return replace(side, table=side.table[rows].reset_index(drop=True))


def told(name: str, drifts: Sequence[Drift]) -> list[str]:
    worst = sorted((finding for drift in drifts for finding in drift.findings), key=lambda finding: -finding.ratio)[:3]
    signals = ", ".join(f"{finding.signal} {finding.ratio:.2f}" for finding in worst)
    return [name, f"{sum(drift.drifted for drift in drifts)} of {len(drifts)}", signals]


if __name__ == "__main__":
    main()
