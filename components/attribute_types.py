"""KFP step: the attribute types that deserve a teacher."""

from kfp.dsl import Dataset, Input, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def attribute_types(table: Input[Dataset]) -> list[str]:
    """Finds the attribute types with at least two labels among training photos.

    Args:
        table: Catalog table with splits.

    Returns:
        Their names, such as `colour`.
    """
    from pathlib import Path

    from vitrine import steps

    return steps.teachable(Path(table.path))
