"""How many pods a compiled package makes on a cluster, as Kubeflow Pipelines' compiler for Argo makes them.

A step is two pods, its driver's and its own. The whole, an exit handler, a condition and its branches are one driver's
pod each; a loop is one and one more for each of its rounds (kubeflow/pipelines, backend/src/v2/compiler/argocompiler).
"""

from collections.abc import Mapping
from typing import Any

STEP, DRIVER = 2, 1


def pods(spec: Mapping[str, Any], rounds: Mapping[str, int]) -> tuple[int, int]:
    """All pods of a run that takes every branch and reuses nothing, and those of its longest chain.

    Args:
        spec: The pipeline.
        rounds: Of each loop, by its display name.
    """
    total, chain = _dag(spec, spec["root"]["dag"], rounds)
    return total + DRIVER, chain + DRIVER


def _dag(spec: Mapping[str, Any], dag: Mapping[str, Any], rounds: Mapping[str, int]) -> tuple[int, int]:
    sizes = {name: _task(spec, task, rounds) for name, task in dag["tasks"].items()}
    ends: dict[str, int] = {}

    def end(name: str) -> int:
        if name not in ends:
            before = dag["tasks"][name].get("dependentTasks", ())
            ends[name] = sizes[name][1] + max(map(end, before), default=0)
        return ends[name]

    return sum(total for total, _ in sizes.values()), max(map(end, sizes))


def _task(spec: Mapping[str, Any], task: Mapping[str, Any], rounds: Mapping[str, int]) -> tuple[int, int]:
    component = spec["components"][task["componentRef"]["name"]]
    if "dag" not in component:
        return STEP, STEP
    total, chain = _dag(spec, component["dag"], rounds)
    if "parameterIterator" in task:
        times = rounds[task["taskInfo"]["name"]]
        return DRIVER + times * (DRIVER + total), 2 * DRIVER + chain
    return DRIVER + total, DRIVER + chain
