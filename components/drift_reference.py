"""KFP step: what the drift monitor will compare new photos with."""

from kfp.dsl import Dataset, Input, Model, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def drift_reference(model: Input[Model], table: Input[Dataset], reference: Output[Dataset]) -> None:
    """Describes the training photos as the model sees them.

    Args:
        model: The model that is about to be promoted.
        table: Catalog table with splits.
        reference: Drift reference folder.
    """
    from pathlib import Path

    from components.outputs import stamp
    from vitrine import steps

    steps.drift_reference(Path(model.path), Path(table.path), Path(reference.path))
    stamp(Path(model.path), reference)
