"""KFP step: SSA, or a system it is compared with, for listings of several photos."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def train_authenticity(
    table: Input[Dataset],
    model: Output[Model],
    figures: Output[Metrics],
    checkpoints: str,
    variant: str = "ssa",
    epochs: int = 0,
    batch_size: int = 64,
    image_size: int = 0,
    backbone: str = "auto",
    weights: str = "auto",
    trunk: str = "auto",
    learning_rate: float = 0.0,
    seed: int = 0,
    prototype_lambda: float = 0.1,
    accept_counterfeit: float = 10.0,
    refuse_authentic: float = 5.0,
    ask: float = 1.0,
    nodes: int = 1,
    gpus: int = 1,
    gpu: str = "nvidia.com/gpu",
) -> None:
    """Trains a model that tells authentic listings from counterfeit ones, or asks an expert.

    Args:
        table: Catalog table with splits.
        model: Model folder.
        figures: Figures on the validation listings.
        checkpoints: Folder that a stopped training goes on from.
        variant: ssa, ssa-max, ssa-mean, or a system they are compared with.
        epochs: Passes over the training listings; 0 = what suits the start.
        batch_size: Photos per step.
        image_size: Pixels of the square the net sees; 0 = 128 on CPUs, 224 on a GPU.
        backbone: auto (mobilenet_v2 on CPUs, convnext_tiny on a GPU), a torchvision net, or timm:NAME.
        weights: auto (published ones), none, or a file, s3:// or https:// address, with #sha256= where it matters.
        trunk: What is trained beside the heads: auto, frozen (nothing), upper (the upper half), tuned (all) or scratch.
        learning_rate: AdamW's peak learning rate, of the heads; 0 = what suits the start.
        seed: Of weights, order and augmentation.
        prototype_lambda: Weight of what undecided listings teach ssa (Eq. 2).
        accept_counterfeit: Cost of calling a counterfeit listing authentic.
        refuse_authentic: Cost of calling an authentic listing counterfeit.
        ask: Cost of asking an expert.
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
        "lambda": prototype_lambda,
        "accept_counterfeit": accept_counterfeit,
        "refuse_authentic": refuse_authentic,
        "ask": ask,
    }
    several = on_nodes(nodes, gpus, gpu)
    found = steps.train(
        "authenticity", variant, Path(table.path), Path(model.path), checkpoints, settings, nodes=several
    )
    show_metrics(figures, found)
    stamp(Path(model.path), model)
