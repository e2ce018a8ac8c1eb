"""KFP step: the net for categories, by default with the attributes beside them."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def train_taxonomy(
    table: Input[Dataset],
    model: Output[Model],
    figures: Output[Metrics],
    checkpoints: str,
    variant: str,
    epochs: int = 0,
    batch_size: int = 64,
    image_size: int = 0,
    backbone: str = "auto",
    weights: str = "auto",
    trunk: str = "auto",
    learning_rate: float = 0.0,
    seed: int = 0,
    nodes: int = 1,
    gpus: int = 1,
    gpu: str = "nvidia.com/gpu",
) -> None:
    """Trains the categories of a catalog by one of the systems of the structure-aware paper.

    Args:
        table: Catalog table with splits.
        model: Model folder.
        figures: Figures on the validation photos.
        checkpoints: Folder that a stopped training goes on from.
        variant: bcnn, sscnn, bcnn-mcr, sscnn-mcr, bmtl-rl, bmtl-ca, ssmtl-rl, ssmtl-ca, modern or modern-mtl.
        epochs: Passes over the training photos; 0 = what suits the start.
        batch_size: Photos per step.
        image_size: Pixels of the square the net sees; 0 = 128 on CPUs, 224 on a GPU.
        backbone: auto (mobilenet_v2 on CPUs, convnext_tiny on a GPU), a torchvision net, or timm:NAME.
        weights: auto (published ones), none, or a file, s3:// or https:// address, with #sha256= where it matters.
        trunk: What is trained beside the heads: auto, frozen (nothing), upper (the upper half), tuned (all) or scratch.
        learning_rate: AdamW's peak learning rate, of the heads; 0 = what suits the start.
        seed: Of weights, order and augmentation.
        nodes: Machines that train together, through Kubeflow Trainer where more than one.
        gpus: GPUs of each of several machines.
        gpu: Resource name of these GPUs.
    """
    from pathlib import Path

    from components.outputs import show_metrics, stamp
    from pipelines.trainjob import on_nodes
    from vitrine import steps

    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "image_size": image_size,
        "backbone": backbone,
        "weights": weights,
        "trunk": trunk,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    several = on_nodes(nodes, gpus, gpu)
    found = steps.train("taxonomy", variant, Path(table.path), Path(model.path), checkpoints, settings, nodes=several)
    show_metrics(figures, found)
    stamp(Path(model.path), model)
