"""KFP step: which tasks the labels of a catalog allow."""

from kfp.dsl import Dataset, Input, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def find_tasks(table: Input[Dataset], reports: str, run_id: str) -> str:
    """Finds what can be trained, and publishes what the steps so far decided. Never cached: each run has its own pages.

    Args:
        table: Catalog table with splits.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.

    Returns:
        `attributes`, `taxonomy` or `attributes+taxonomy`.
    """
    from pathlib import Path

    from vitrine import steps
    from vitrine.journal import run_folder

    return steps.plan(Path(table.path), run_folder(reports, run_id))
