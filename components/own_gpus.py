"""KFP step: how many GPUs a training step holds itself."""

from kfp.dsl import component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def own_gpus(nodes: int, gpus: int) -> int:
    """None where other machines train: a step that watches them is to leave the GPUs to them.

    Args:
        nodes: Machines that train together.
        gpus: GPUs of each.

    Returns:
        How many.
    """
    from pipelines.trainjob import held_by_step

    return held_by_step(nodes, gpus)
