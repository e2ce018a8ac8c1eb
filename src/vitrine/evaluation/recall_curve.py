"""Recall against the number of results, as a picture."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def recall_curve(lines: Mapping[str, Sequence[float]], at: Sequence[int], figure_name: str) -> "Figure":
    """A line for each search.

    Args:
        lines: By title, the shares 0..1 found among the first k, for each k of `at`.
        at: k, ascending; drawn on a logarithmic axis.
        figure_name: What the shares are called.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for title, shares in lines.items():
        axes.plot(at, shares, marker="o", markersize=3, label=title)
    axes.set_xscale("log")
    axes.set(xlabel="k", ylabel=figure_name, ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
