"""KFP step: one MTSS teacher, an expert for one attribute type."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def train_teacher(
    table: Input[Dataset],
    model: Output[Model],
    figures: Output[Metrics],
    checkpoints: str,
    type: str,
    epochs: int = 0,
    batch_size: int = 64,
    image_size: int = 0,
    backbone: str = "auto",
    weights: str = "auto",
    trunk: str = "auto",
    learning_rate: float = 0.0,
    seed: int = 0,
    gammas: str = "",
    nodes: int = 1,
    gpus: int = 1,
    gpu: str = "nvidia.com/gpu",
) -> None:
    """Trains the teacher of an attribute type.

    Args:
        table: Catalog table with splits.
        model: Model folder.
        figures: Figures on the validation photos.
        checkpoints: Folder that a stopped training goes on from.
        type: The attribute type.
        epochs: Passes over the training photos; 0 = what suits the start.
        batch_size: Photos per step.
        image_size: Pixels of the square the net sees; 0 = 128 on CPUs, 224 on a GPU.
        backbone: auto (mobilenet_v2 on CPUs, convnext_tiny on a GPU), a torchvision net, or timm:NAME.
        weights: auto (published ones), none, or a file, s3:// or https:// address, with #sha256= where it matters.
        trunk: What is trained beside the heads: auto, frozen (nothing), upper (the upper half), tuned (all) or scratch.
        learning_rate: AdamW's peak learning rate, of the heads; 0 = what suits the start.
        seed: Of weights, order and augmentation.
        gammas: Focal exponents to try on the validation photos, such as 0,0.5,1,2,3; empty = 1.
        nodes: Machines that train together, through Kubeflow Trainer where more than one.
        gpus: GPUs of each of several machines.
        gpu: Resource name of these GPUs.
    """
    from pathlib import Path

    from components.outputs import show_metrics, stamp
    from pipelines.trainjob import on_nodes
    from vitrine import steps

    settings = {
        "type": type,
        "epochs": epochs,
        "batch_size": batch_size,
        "image_size": image_size,
        "backbone": backbone,
        "weights": weights,
        "trunk": trunk,
        "learning_rate": learning_rate,
        "seed": seed,
        "gammas": gammas,
    }
    several = on_nodes(nodes, gpus, gpu)
    found = steps.train(
        "attributes", "teacher", Path(table.path), Path(model.path), checkpoints, settings, nodes=several
    )
    show_metrics(figures, found)
    stamp(Path(model.path), model)
