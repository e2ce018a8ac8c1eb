"""How a model fares on corrupted photos: the 15 kinds at 5 severities of ImageNet-C (MTSS, Section 4.4 and Table 7)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vitrine.catalog import Catalog
from vitrine.data.corruptions import CORRUPTIONS, SEVERITIES
from vitrine.evaluation.metrics import RECALL_AT, compute_metrics
from vitrine.report import Page, percent

HEADLINES = {"attributes": [f"recall@{k}" for k in RECALL_AT] + ["f1@1"], "taxonomy": ["top1", "top5"]}
PREFIX = "corrupted"


def corrupted_metrics(
    model: Path,
    catalog: Catalog,
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """A model's headline figures on corrupted copies of a catalog's photos, made on the fly.

    Args:
        model: A model folder, of attributes or taxonomy.
        catalog: With labels.
        severities: Some of 1 to 5; each kind is tried at each of them.
        seed: Of the corruptions.
        progress: Told how many (kind, severity) are done, and of how many.

    Returns:
        `corrupted/<figure>`, the mean over kinds and severities; `corrupted/<kind>/<figure>`, the mean over
        severities; `corrupted/severity<i>/<figure>`, the mean over kinds.

    Raises:
        InputError: if the model judges listings, or no photo is annotated.
    """
    from vitrine.methods.inference import apply_corrupted

    ask = apply_corrupted(model, catalog, seed)
    found: dict[tuple[str, int], dict[str, float]] = {}
    for name in CORRUPTIONS:
        for severity in severities:
            outcome = ask(name, severity)
            figures = compute_metrics(outcome)
            found[name, severity] = {key: figures[key] for key in HEADLINES[outcome.task] if key in figures}
            if progress:
                progress(len(found), len(CORRUPTIONS) * len(severities))
    keys = list(next(iter(found.values())))
    metrics = {f"{PREFIX}/{key}": _mean(found.values(), key) for key in keys}
    for name in CORRUPTIONS:
        own = [figures for (kind, _), figures in found.items() if kind == name]
        metrics |= {f"{PREFIX}/{name}/{key}": _mean(own, key) for key in keys}
    for severity in severities:
        own = [figures for (_, level), figures in found.items() if level == severity]
        metrics |= {f"{PREFIX}/severity{severity}/{key}": _mean(own, key) for key in keys}
    return metrics


def add_section(page: Page, metrics: Mapping[str, float]) -> None:
    """The table of an evaluation's page, if corrupted photos were asked about."""
    keys = [key for key in metrics if key.startswith(f"{PREFIX}/") and key.count("/") == 1]
    if not keys:
        return
    names = [key.removeprefix(f"{PREFIX}/") for key in keys]
    page.heading("Corrupted photos", "The same photos corrupted in 15 ways; each row is a mean, clean photos first.")
    rows = [["clean", *(percent(metrics[name]) for name in names)]]
    rows.append(["all corrupted", *(percent(metrics[key]) for key in keys)])
    groups = [f"severity{level}" for level in SEVERITIES if f"{PREFIX}/severity{level}/{names[0]}" in metrics]
    for group in [*groups, *CORRUPTIONS]:
        rows.append([group.replace("_", " "), *(percent(metrics[f"{PREFIX}/{group}/{name}"]) for name in names)])
    page.table(["photos", *names], rows)


def _mean(found: Iterable[Mapping[str, float]], key: str) -> float:
    return float(np.mean([figures[key] for figures in found]))
