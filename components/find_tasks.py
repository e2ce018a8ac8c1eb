"""KFP step: which tasks the labels of a catalog allow."""

from kfp.dsl import Dataset, Input, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def find_tasks(table: Input[Dataset]) -> str:
    """Finds what can be trained.

    Args:
        table: Catalog table with splits.

    Returns:
        `attributes`, `taxonomy` or `attributes+taxonomy`.
    """
    from pathlib import Path

    from vitrine import steps

    return steps.find_tasks(Path(table.path))
