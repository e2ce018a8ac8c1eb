"""Embeddings as pictures: t-SNE, coloured by label (MTSS, Fig. 7)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vitrine.report.map import laid_out
from vitrine.untrusted import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = 9
LEAST = 10  # photos
PROJECTED = 800  # photos of a picture: t-SNE takes 3 s of them, 7 s of 1,700
SEED = 0


def embedding_map(points: np.ndarray, labels: Sequence[str]) -> "Figure":
    """Embeddings (n, dim) in two dimensions, coloured by label; "" and rare labels are grey."""
    return embedding_maps({"": points}, labels)


def embedding_maps(spaces: Mapping[str, np.ndarray], labels: Sequence[str]) -> "Figure":
    """The same n photos in several spaces side by side, each projected for itself; colours mean the same in all.

    Args:
        spaces: By title, embeddings (n, dim).
        labels: (n) of the photos; "" and rare ones are grey.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    shown = [label for label, _ in Counter(filter(None, labels)).most_common(COLOURS)]
    names = np.array(labels, dtype=object)
    figure = Figure(figsize=(9.6, 6.2 if len(spaces) == 1 else 4.0), layout="constrained")
    panels = figure.subplots(1, len(spaces), squeeze=False)[0]
    for axes, (heading, points) in zip(panels, spaces.items(), strict=True):
        flat = laid_out(points, SEED)
        for label, colour in [("", "#d0d5dd"), *((name, colormaps["tab10"](i)) for i, name in enumerate(shown))]:
            members = np.isin(names, shown, invert=True) if label == "" else names == label
            if members.any():
                title = f"{plain(short(label, 32)) or 'other or unlabelled'} ({members.sum()})"
                axes.scatter(
                    flat[members, 0], flat[members, 1], s=9, color=colour, linewidths=0, alpha=0.8, label=title
                )
        axes.set_title(plain(heading), fontsize=9, loc="left")
        axes.set_axis_off()
    panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9, markerscale=2)
    return figure


def drawable(points: np.ndarray) -> bool:
    """Whether t-SNE has anything to show: at least 10 photos that are not all in one place."""
    return len(points) >= LEAST and bool(np.isfinite(points).all() and points.std(axis=0).any())


def short(label: str, length: int = 26) -> str:
    """The last part of a category path, cut to `length`."""
    last = label.rpartition("/")[2]
    return last if len(last) <= length else f"{last[: length - 1]}…"
