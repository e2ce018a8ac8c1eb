"""A category tree read off paths; nodes are full paths, leaves may lie at different depths."""

from collections.abc import Iterable

import numpy as np


class CategoryTree:
    """The tree spanned by category paths such as `Apparel/Topwear/Shirts`.

    Args:
        paths: Any number of paths, "" (unknown) allowed. A path that another one extends is an inner node.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        distinct = {path for path in paths if path}
        inner = {path.rsplit("/", cut)[0] for path in distinct for cut in range(1, path.count("/") + 1)}
        self.leaves: tuple[str, ...] = tuple(sorted(distinct - inner))
        self.depth = max((path.count("/") + 1 for path in self.leaves), default=0)
        self._inner = frozenset(inner)
        self._levels: dict[int, tuple[str, ...]] = {}

    def node(self, path: str, level: int) -> str:
        """The node of a path at `level` (1 = coarsest).

        A leaf above that level stands for itself, and so does a path outside the tree. "" where the path stops at an
        inner node above that level: what comes below is not known.
        """
        parts = path.split("/")
        if len(parts) >= level:
            return "/".join(parts[:level])
        return "" if path in self._inner else path

    def level(self, level: int) -> tuple[str, ...]:
        """The nodes at a level, sorted; at the deepest level the leaves."""
        if level not in self._levels:
            self._levels[level] = tuple(sorted({self.node(leaf, level) for leaf in self.leaves}))
        return self._levels[level]

    def coarser_levels(self) -> list[int]:
        """The levels above the leaves that ask something of their own: several nodes, and fewer than the next one."""
        levels: list[int] = []
        fewest = len(self.leaves)
        for level in range(self.depth - 1, 0, -1):
            nodes = len(self.level(level))
            if 1 < nodes < fewest:
                levels.insert(0, level)
                fewest = nodes
        return levels

    def possible(self, path: str, level: int) -> list[str]:
        """The nodes at a level that a photo of this category may belong to: one, or all below the node it stops at.

        None for "" and for a path outside the tree.
        """
        node = self.node(path, level) if path else ""
        if node:
            return [node] if node in self.level(level) else []
        return [below for below in self.level(level) if path and below.startswith(f"{path}/")]

    def membership(self, level: int) -> np.ndarray:
        """Which node of `level` each leaf belongs to: (leaves, nodes of that level), float32 zeros and ones."""
        nodes = {node: i for i, node in enumerate(self.level(level))}
        member = np.zeros((len(self.leaves), len(nodes)), np.float32)
        for row, leaf in enumerate(self.leaves):
            member[row, nodes[self.node(leaf, level)]] = 1
        return member
