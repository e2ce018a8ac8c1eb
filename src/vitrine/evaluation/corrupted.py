"""How a model fares on corrupted photos: the 15 kinds at 5 severities of ImageNet-C (MTSS, Section 4.4 and Table 7)."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from vitrine.data.corruptions import CORRUPTIONS, SEVERITIES
from vitrine.report import Page, percent

PREFIX = "corrupted"


def corrupted_metrics(
    measured: Callable[[str, int], Mapping[str, float]],
    figures: Sequence[str],
    severities: Sequence[int] = SEVERITIES,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """A model's figures on corrupted copies of photos.

    Args:
        measured: All figures on photos corrupted in one way (kind, severity).
        figures: Those to keep.
        severities: Some of 1 to 5; each kind is tried at each of them.
        progress: Told how many (kind, severity) are done, and of how many.

    Returns:
        `corrupted/<figure>`, the mean over kinds and severities; `corrupted/<kind>/<figure>`, the mean over
        severities; `corrupted/severity<i>/<figure>`, the mean over kinds.
    """
    figures_of: dict[tuple[str, int], dict[str, float]] = {}
    for name in CORRUPTIONS:
        for severity in severities:
            values = measured(name, severity)
            figures_of[name, severity] = {key: values[key] for key in figures if key in values}
            if progress:
                progress(len(figures_of), len(CORRUPTIONS) * len(severities))
    keys = list(next(iter(figures_of.values())))
    metrics = {f"{PREFIX}/{key}": _mean(figures_of.values(), key) for key in keys}
    for name in CORRUPTIONS:
        of_kind = [values for (kind, _), values in figures_of.items() if kind == name]
        metrics |= {f"{PREFIX}/{name}/{key}": _mean(of_kind, key) for key in keys}
    for severity in severities:
        of_severity = [values for (_, level), values in figures_of.items() if level == severity]
        metrics |= {f"{PREFIX}/severity{severity}/{key}": _mean(of_severity, key) for key in keys}
    return metrics


def add_section(page: Page, metrics: Mapping[str, float]) -> None:
    """The table of an evaluation's page, if corrupted photos were measured."""
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


def _mean(measured: Iterable[Mapping[str, float]], key: str) -> float:
    return float(np.mean([figures[key] for figures in measured]))
