"""KFP step: a training."""

from typing import Optional

from kfp.dsl import Dataset, Input, Metrics, Model, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def train(
    table: Input[Dataset],
    model: Output[Model],
    figures: Output[Metrics],
    task: str,
    variant: str,
    settings: dict,
    checkpoints: str,
    types: str = "",
    teachers: Optional[Input[list[Model]]] = None,  # noqa: UP045
    nodes: int = 1,
    gpus: int = 1,
    gpu: str = "nvidia.com/gpu",
) -> None:
    """Trains a model, or the teachers of several attribute types one after the other.

    Args:
        table: Catalog table with splits.
        model: Model folder; of teachers a folder of model folders.
        figures: Figures on the validation photos.
        task: One of `vitrine.tasks.names()`.
        variant: Of the task.
        settings: Of the training.
        checkpoints: Folder that a stopped training goes on from.
        types: The attribute types whose teachers to train, a JSON list; empty = it is no teacher.
        teachers: Folders of teachers' model folders, for a student.
        nodes: Machines that train together, through Kubeflow Trainer where more than one.
        gpus: GPUs of each of several machines.
        gpu: Resource name of these GPUs.
    """
    import json
    from pathlib import Path

    from components.outputs import show_metrics, stamp
    from pipelines.attempts import refused_once
    from pipelines.stages import share_photos
    from pipelines.trainjob import on_nodes
    from vitrine.steps.training import train_models

    share_photos(checkpoints)
    with refused_once(checkpoints, model.uri):
        metrics = train_models(
            task,
            variant,
            Path(table.path),
            Path(model.path),
            checkpoints,
            settings,
            types=json.loads(types or "[]"),
            teachers=[Path(group.path) for group in teachers or ()],
            nodes=on_nodes(nodes, gpus, gpu),
        )
    show_metrics(figures, metrics)
    stamp(Path(model.path), model)
