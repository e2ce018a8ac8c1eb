"""KFP step: whether there is something to learn and to measure on, before a GPU is asked for."""

from kfp.dsl import Dataset, Input, Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def examine(
    table: Input[Dataset],
    counts: Output[Metrics],
    task: str,
    variant: str,
    reports: str,
    run_id: str,
    level: int = 0,
    identity: str = "",
    background: str = "",
) -> None:
    """Counts what a training has, and publishes what was decided so far. Never cached: each run has its own pages.

    Args:
        table: Catalog table with splits.
        counts: Photos to learn from and to measure on.
        task: representation or matching.
        variant: Of the task.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
        level: Levels of the category that representation learns from; 0 = all but the deepest.
        identity: Column that says what is the same, for matching; empty = product, else item.
        background: Labelled catalogs for the softmax loss of matching; empty = the catalog itself.
    """
    from pathlib import Path

    from components.outputs import show_metrics
    from vitrine import steps
    from vitrine.journal import run_folder

    run = run_folder(reports, run_id)
    found = steps.examine(task, variant, Path(table.path), run, level=level, identity=identity, background=background)
    show_metrics(counts, found)
