"""Exchanged labels found by Vitrine and by cleanlab, on the same vectors, folds and photos.

    python benchmarks/tables/label_noise_peers.py PYTHON CATALOG [CATALOG ...] [--share 0.05] [--seeds 0,1,2]
        [--photos 1000]

PYTHON is the interpreter of an environment of its own with cleanlab 2.9.0 in it; numbers go there and back in a file.
In each label column a share of the labels is exchanged at random for another label of that column (labels of fewer
than 10 photos stay). Printed per column of at least --photos is F1, the mean over seeds with the lowest and highest, of

    vitrine    as `vitrine validate` with the setting `embedding`: vectors of the published net and the photo table
    vectors    the same of the vectors alone
    looks      the same of the photo table alone, the default
    cleanlab   `find_label_issues` as it comes, on a logistic regression of the vectors (its documentation's recipe)
    its best   the best of cleanlab's five filters, chosen with the truth known, on that regression or on the guesses of
               `vectors`, whichever is better

A label that was wrong before counts as a false alarm, for all alike.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.tables.label_noise import columns
from vitrine.catalog import Catalog, read_catalog
from vitrine.quality import label_noise as own
from vitrine.quality.duplicates import near_duplicate_groups
from vitrine.quality.embedding import embedder
from vitrine.quality.hashes import text_hashes
from vitrine.quality.scan import scan_photos

PEER = """
import sys
import numpy as np
from cleanlab.filter import find_label_issues
given = np.load(sys.argv[1])
filters = ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "low_normalized_margin")
found = {
    f"{guesses}:{name}": find_label_issues(given["labels"], given[guesses], filter_by=name, n_jobs=1)
    for guesses in ("regression", "vectors")
    for name in filters
}
np.savez(sys.argv[2], **found)
"""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python")
    parser.add_argument("catalogs", nargs="+")
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--photos", type=int, default=1000)
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    names = ("vitrine", "vectors", "looks", "cleanlab", "its best")
    print("| column | photos | labels | " + " | ".join(names) + " | precision, recall of vitrine |")
    print("|" + " --- |" * (len(names) + 4))
    for source in options.catalogs:
        catalog = read_catalog(source)
        photos = scan_photos(catalog)
        copies = near_duplicate_groups(photos)
        every = np.arange(len(catalog))
        views = {"looks": own.looks_of(photos)(every), "vectors": embedder(catalog, photos)(every)}
        for name, labels in columns(catalog.table).items():
            runs = [run(options, catalog, photos, copies, views, labels, seed) for seed in seeds]
            known = [found for found in runs if found]
            if known:
                print(f"| {Path(source).name} {name} | " + line(known, names), flush=True)


def run(
    options: argparse.Namespace,
    catalog: Catalog,
    photos: pd.DataFrame,
    copies: np.ndarray,
    views: dict[str, np.ndarray],
    labels: pd.Series,
    seed: int,
) -> dict[str, tuple[float, float, float]]:
    """F1, precision and recall of each; what it counts as stands in `size`."""
    generator = np.random.default_rng(seed)
    code, names = pd.factorize(labels)
    single = np.array([bool(name) and "|" not in name for name in names])
    usable = np.flatnonzero(single & (np.bincount(code, minlength=len(names)) >= own.LEAST))
    rows = np.flatnonzero(np.isin(code, usable) & photos["readable"].to_numpy(bool))
    if len(usable) < 2 or len(rows) < options.photos:
        return {}
    truth = np.searchsorted(usable, code[rows])
    wrong = generator.random(len(rows)) < options.share
    given = np.where(wrong, (truth + generator.integers(1, len(usable), len(rows))) % len(usable), truth)
    part = catalog.table.iloc[rows].reset_index(drop=True)
    folds = own._folds(given, own._groups(part, copies[rows]), text_hashes(part["image"], seed + 1))
    seen = {name: view[rows] for name, view in views.items()}
    guesses = {name: own.out_of_fold([view], given, folds) for name, view in seen.items()}
    guesses["vitrine"] = own.out_of_fold(list(seen.values()), given, folds)
    found = {name: score(own.doubted(own_guesses, given)[0], wrong) for name, own_guesses in guesses.items()}
    peer = cleanlab(options.python, given, regression(seen["vectors"], given, folds), guesses["vectors"])
    scores = {name: score(np.flatnonzero(issues), wrong) for name, issues in peer.items()}
    found["cleanlab"] = scores["regression:prune_by_noise_rate"]
    found["its best"] = max(scores.values())
    return found | {"size": (len(rows), len(usable), 0.0)}


def regression(vectors: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Out-of-fold probabilities of a logistic regression."""
    found = np.zeros((len(labels), labels.max() + 1))
    for fold in range(int(folds.max()) + 1):
        seen = folds != fold
        scaler = StandardScaler().fit(vectors[seen])
        model = LogisticRegression(C=0.01, max_iter=200).fit(scaler.transform(vectors[seen]), labels[seen])
        found[np.ix_(~seen, model.classes_)] = model.predict_proba(scaler.transform(vectors[~seen]))
    return found


def cleanlab(python: str, labels: np.ndarray, regressed: np.ndarray, guessed: np.ndarray) -> dict[str, np.ndarray]:
    """What each of cleanlab's filters finds, (rows,) bool."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, labels=labels, regression=regressed, vectors=guessed)
        subprocess.run([python, "-c", PEER, str(given), str(found)], check=True, capture_output=True)
        return dict(np.load(found))


def score(suspects: np.ndarray, wrong: np.ndarray) -> tuple[float, float, float]:
    """F1, precision and recall."""
    hits = float(wrong[suspects].sum())
    return 2 * hits / max(len(suspects) + wrong.sum(), 1), hits / max(len(suspects), 1), hits / max(wrong.sum(), 1)


def line(runs: list[dict[str, tuple[float, float, float]]], names: tuple[str, ...]) -> str:
    """One line of the table."""
    cells = [f"{runs[0]['size'][0]:,} | {runs[0]['size'][1]}"]
    for name in names:
        f1 = [found[name][0] for found in runs]
        cells.append(f"{np.mean(f1):.3f} ({min(f1):.3f} to {max(f1):.3f})")
    precision, recall = (np.mean([found["vitrine"][i] for found in runs]) for i in (1, 2))
    return " | ".join([*cells, f"{precision:.2f}, {recall:.2f} |"])


if __name__ == "__main__":
    main()
