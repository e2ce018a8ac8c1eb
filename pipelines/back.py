"""What every DAG ends with: train, then promote or refuse."""

from typing import Any

from kfp import dsl
from kfp.dsl import PipelineTask

from components.build_index import build_index
from components.judge import judge
from components.train import train
from pipelines.resources import never_cached, on_gpu


def add_training(
    task: str, variant: str, role: str, begun: PipelineTask, parted: PipelineTask, gpus: int, **further: Any
) -> PipelineTask:
    """Adds a training.

    Args:
        task: What to learn.
        variant: How.
        role: `training`, `teacher` or `student`: the output of the first step that has its settings.
        begun: The first step.
        parted: The task whose `parted` is the table.
        gpus: Of each machine that trains.
        further: What `train` takes beside.
    """
    given = begun.outputs
    places = {"checkpoints": given["checkpoints"], "nodes": given["nodes"], "gpu": given["gpu"], "gpus": gpus}
    inputs = {"task": task, "variant": variant, "settings": given[role], "table": parted.outputs["parted"]}
    return on_gpu(train(**inputs, **places, **further))


def add_gate(
    task: str,
    trained: PipelineTask,
    begun: PipelineTask,
    parted: PipelineTask,
    registry: str,
    reports: str,
    max_drop: float,
    *,
    indexed: bool = False,
) -> None:
    """Adds the task that decides what becomes of a trained model; `indexed`: and one that indexes the catalog then."""
    table = parted.outputs["parted"]
    places = {"registry": registry, "reports": reports, "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER}
    judged = judge(
        model=trained.outputs["model"],
        table=table,
        task=task,
        settings=begun.outputs["settings"],
        max_drop=max_drop,
        **places,
    )
    never_cached(judged).set_display_name(f"Judge {task}")
    if indexed:  # by the model in use, whether or not it is the new one
        index = build_index(table=table, decision=judged.outputs["decision"], task=task, **places)
        never_cached(index).set_display_name(f"Index {task}")
