"""KFP step: whether a node takes a training, and how many GPUs a training step holds itself."""

from kfp.dsl import component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def own_gpus(
    nodes: int,
    gpus: int,
    gpu: str = "nvidia.com/gpu",
    cpu: str = "",
    memory: str = "",
    pool: dict = {},  # noqa: B006
    tolerations: list = [],  # noqa: B006
    volume: str = "",
    minutes: int = 0,
    reports: str = "",
    run_id: str = "",
) -> int:
    """Waits until a node takes a training, and says how many GPUs the step holds. Never cached: nodes come and go.

    None where other machines train: a step that watches them is to leave the GPUs to them.

    Args:
        nodes: Machines that train together.
        gpus: GPUs of each.
        gpu: Resource name of the GPUs.
        cpu: Processors that a training asks for.
        memory: Memory that it asks for.
        pool: Labels of the nodes that train.
        tolerations: Taints of those nodes that trainings tolerate.
        volume: Claim that it keeps checkpoints on; empty = none.
        minutes: To wait at most, then the run fails with the scheduler's words; 0 = not asked.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.

    Returns:
        How many.
    """
    from pipelines.placement import Wanted, check
    from pipelines.trainjob import held_by_step
    from vitrine.journal import run_folder

    held = held_by_step(nodes, gpus)
    check(Wanted(cpu, memory, gpu, gpus, pool, tolerations, volume), minutes, run_folder(reports, run_id))
    return held
