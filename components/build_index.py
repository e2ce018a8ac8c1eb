"""KFP step: the index that `vitrine search` answers from."""

from kfp.dsl import Artifact, Dataset, Input, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def build_index(
    table: Input[Dataset],
    decision: Input[Artifact],
    index: Output[Artifact],
    task: str,
    registry: str,
    reports: str,
    run_id: str,
) -> None:
    """Indexes the catalog's photos with the model in use. Never cached: it depends on the registry.

    Args:
        table: Catalog table.
        decision: What the gate decided.
        index: Folder for `vitrine search`, the model inside; empty where no model is in use.
        task: Whose model in use.
        registry: Folder or s3:// prefix of the model registry.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
    """
    from pathlib import Path

    from vitrine.journal import run_folder
    from vitrine.steps import indexing

    run = run_folder(reports, run_id)
    count = indexing.build_index(task, Path(table.path), registry, Path(decision.path), Path(index.path), run)
    index.metadata["photos"] = count
