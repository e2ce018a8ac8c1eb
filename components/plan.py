"""KFP step: what there is to train, before a GPU is asked for."""

from typing import NamedTuple

from kfp.dsl import Artifact, Dataset, Input, Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def plan(
    table: Input[Dataset],
    results: Input[Artifact],
    counts: Output[Metrics],
    pipeline: str,
    settings: dict,
    reports: str,
    run_id: str,
    variant: str = "",
    gpus: int = 0,
    volume: str = "",
) -> NamedTuple("Plan", [("tasks", str), ("groups", list)]):  # type: ignore[valid-type]
    """Publishes what was found so far, stops a run that is strict, and finds what can be trained, and a node for it.

    Never cached: each run has its own pages, and nodes come and go.

    Args:
        table: Catalog table with splits.
        results: What validation found.
        counts: Of what there is to learn from and to measure on.
        pipeline: Which pipeline this is.
        settings: All settings.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
        variant: Of the training.
        gpus: Of each machine that trains.
        volume: Claim that trainings keep checkpoints on; empty = none.

    Returns:
        The tasks, and groups of attribute types whose teachers are trained in one pod each.
    """
    import collections
    from pathlib import Path

    from components.outputs import show_metrics
    from pipelines import stages

    tasks, groups, figures = stages.plan(
        pipeline,
        Path(table.path),
        Path(results.path),
        settings,
        reports,
        run_id,
        variant=variant,
        gpus=gpus,
        volume=volume,
    )
    show_metrics(counts, figures)
    outputs = {"tasks": tasks, "groups": groups}
    return collections.namedtuple("Plan", list(outputs))(**outputs)
