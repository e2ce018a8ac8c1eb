"""Evaluating a model folder on one split of a catalog: figures, a page, and what later steps show of it."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vitrine import files
from vitrine.catalog import Catalog
from vitrine.errors import InputError
from vitrine.evaluation import CONFUSION, EXAMPLES, METRICS, REPORT
from vitrine.evaluation.authenticity import VIEW_LISTINGS, listing_metrics
from vitrine.evaluation.authenticity_report import listing_examples, listing_page, verdict_confusion
from vitrine.evaluation.beside import prefixed
from vitrine.evaluation.corrupted import corrupted_metrics
from vitrine.evaluation.matching import matching_examples, write_matching_page
from vitrine.evaluation.metrics import compute_metrics
from vitrine.evaluation.per_class import Compared
from vitrine.evaluation.report import classification_artifacts, write_report
from vitrine.evaluation.representation import write_page
from vitrine.evaluation.roc import roc
from vitrine.outcome import ListingOutcome, Outcome
from vitrine.report import thumbnail

EXAMPLE_PHOTOS = 12
NOTHING_ASKED = {"question": "", "categories": [], "matrix": [], "roc": roc(np.zeros(0), np.zeros(0, bool))}


def evaluate(
    model: Path,
    catalog: Catalog,
    out: Path,
    split: str = "test",
    *,
    corrupted: bool = False,
    against: Sequence[Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Measures a model on the rows of a split.

    Writes `metrics.json` (flat, fractions 0..1), `report.html`, `confusion.json` (see `classification_artifacts`) and
    `examples.json` (a few answers as thumbnails, for summary pages).

    A model for matching is asked with the user photos of the split for every shop photo of the catalog.

    A model for authenticity is measured on the listings with a verdict, and once more on their photos of each view
    alone.

    Args:
        model: A model folder.
        catalog: With labels.
        out: A new folder.
        split: `train`, `validation` or `test`.
        corrupted: Ask about corrupted copies of the photos too (15 kinds, 5 severities): see `corrupted_metrics`.
        against: Further model folders, say the teachers, that the page compares this one with, class by class.
        progress: Told how much of the corrupted copies is done.

    Returns:
        The figures.

    Raises:
        InputError: if the model or a photo cannot be read, or no row of the split has a label the model was asked for.
    """
    from vitrine.methods.inference import apply

    rows = measured_rows(model, catalog, split)
    if not len(rows):
        raise InputError(f"{catalog.root}: no row has split {split!r}; run `vitrine split` first")
    outcome = apply(model, rows)
    if isinstance(outcome, ListingOutcome):
        return _evaluate_listings(model, outcome, catalog, rows, out, split)
    metrics = compute_metrics(outcome)
    compared = _compared(model, against, rows, outcome)
    if corrupted:
        metrics |= corrupted_metrics(model, rows, progress=progress)
    with files.new_folder(out) as folder:
        metrics |= _baseline_metrics(model, catalog, rows)
        files.write_json(folder / METRICS, metrics)
        asked = any(any(question.truth) for question in outcome.questions)  # indi answers no question
        confusion = classification_artifacts(outcome) if asked else NOTHING_ASKED
        files.write_json(folder / CONFUSION, confusion)
        files.write_json(folder / EXAMPLES, example_photos(outcome, rows))
        title = f"Evaluation: {outcome.task} on the {split} photos"
        if outcome.task == "representation":
            write_page(outcome, rows, metrics, folder / REPORT, title)
        elif outcome.task == "matching":
            write_matching_page(outcome, rows, metrics, folder / REPORT, title)
        else:
            write_report(outcome, rows, metrics, folder / REPORT, title, compared=compared)
    return metrics


def measured_rows(model: Path, catalog: Catalog, split: str) -> Catalog:
    """The rows of a split that a model is measured on; for matching the shop photos of all splits too."""
    from vitrine.methods.matching import rows_to_measure
    from vitrine.methods.model_folder import load_config

    return rows_to_measure(catalog, split) if load_config(model)["task"] == "matching" else catalog.of_split(split)


def _compared(model: Path, against: Sequence[Path], rows: Catalog, beside: Outcome) -> list[Compared]:
    from vitrine.methods.inference import apply, label_spaces

    found = []
    own = label_spaces(model, rows) if against else {}
    for other in against:
        outcome = apply(other, rows)
        if isinstance(outcome, ListingOutcome) or outcome.task != beside.task:
            raise InputError(f"--against {other}: is not a model for {beside.task}")
        if not {question.name for question in outcome.questions} & {question.name for question in beside.questions}:
            raise InputError(f"--against {other}: answers nothing that the model answers")
        found.append(Compared(outcome, label_spaces(other, rows), own))
    return found


def _baseline_metrics(model: Path, catalog: Catalog, rows: Catalog) -> dict[str, float]:
    from vitrine.evaluation.baseline import baseline
    from vitrine.methods.model_folder import load_config

    found = baseline(load_config(model), catalog, rows)
    if isinstance(found, str):
        print(f"no baseline: {found}", file=sys.stderr, flush=True)
        return {}
    return prefixed(compute_metrics(found))


def _evaluate_listings(
    model: Path, outcome: ListingOutcome, catalog: Catalog, rows: Catalog, out: Path, split: str
) -> dict[str, float]:
    from vitrine.methods.model_folder import load_config

    metrics = listing_metrics(outcome, answers_by_view(model, rows))
    with files.new_folder(out) as folder:
        metrics |= _baseline_metrics(model, catalog, rows)
        title = f"Evaluation: authenticity on the {split} listings"
        page = listing_page(outcome, rows, metrics, load_config(model), title)
        files.write_json(folder / METRICS, metrics)
        files.write_json(folder / CONFUSION, verdict_confusion(outcome))
        files.write_json(folder / EXAMPLES, listing_examples(outcome, rows, EXAMPLE_PHOTOS))
        page.write(folder / REPORT)
    return metrics


def answers_by_view(model: Path, rows: Catalog) -> dict[str, ListingOutcome]:
    """The answers about the same listings when only their photos of one view are shown.

    A verdict on any photo of a listing is the verdict on all of it. Views that few listings with a verdict have are
    left out.
    """
    from vitrine.methods.inference import apply

    table = rows.table
    if "view" not in table or "verdict" not in table:
        return {}
    names = table["listing"].where(table["listing"] != "", table["image"]) if "listing" in table else table["image"]
    table = table.assign(verdict=table["verdict"].groupby(names).transform("max"))
    found = {}
    for view in sorted(set(table["view"]) - {""}):
        shown = (table["view"] == view) & (table["verdict"] != "")
        if names[shown].nunique() >= VIEW_LISTINGS:
            answered = apply(model, rows.with_table(table[shown]))
            assert isinstance(answered, ListingOutcome)
            found[view] = answered
    return found


def example_photos(outcome: Outcome, catalog: Catalog, seed: int = 0) -> list[dict[str, object]]:
    """A few annotated photos, drawn at random, with what the model answered: `thumbnail`, `caption`, `tone`.

    Captions hold the finest category level and every attribute type the photo is annotated for.
    """
    if outcome.task == "matching":
        return matching_examples(outcome, catalog, EXAMPLE_PHOTOS)
    levels = [question for question in outcome.questions if question.name.startswith("level")]
    asked = [*levels[-1:], *(question for question in outcome.questions if question.name.startswith("attr:"))]
    annotated = [row for row in range(len(outcome.images)) if any(question.truth[row] for question in asked)]
    drawn = np.random.default_rng(seed).permutation(annotated)[:EXAMPLE_PHOTOS]
    examples: list[dict[str, object]] = []
    for row in sorted(drawn.tolist()):
        lines, wrong = [], 0
        for question in asked:
            if not question.truth[row]:
                continue
            answer = question.labels[int(question.scores[row].argmax())]
            right = answer in question.truth[row]
            wrong += not right
            lines.append(
                f"{'✓' if right else '✗'} {_last(answer)}" + ("" if right else f" (is {_last(question.truth[row][0])})")
            )
        picture = thumbnail(catalog.uri(outcome.images[row]))
        examples.append({"thumbnail": picture, "caption": lines, "tone": "bad" if wrong else "good"})
    return examples


def _last(label: str) -> str:
    return label.rpartition("/")[2]
