"""KFP step: whether there are listings to learn from, before a GPU is asked for."""

from kfp.dsl import Dataset, Input, Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def count_listings(table: Input[Dataset], counts: Output[Metrics], reports: str, run_id: str) -> None:
    """Counts listings, and publishes what the steps so far decided. Never cached: each run has its own pages.

    Args:
        table: Catalog table with splits.
        counts: Listings with a verdict per split, and those to learn from without one.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
    """
    from pathlib import Path

    from components.outputs import show_metrics
    from vitrine import steps
    from vitrine.journal import run_folder

    show_metrics(counts, steps.count_listings(Path(table.path), run_folder(reports, run_id)))
