"""KFP step: a net that finds the shop's photos of what a customer's photo shows."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def train_matching(
    table: Input[Dataset],
    model: Output[Model],
    figures: Output[Metrics],
    checkpoints: str,
    variant: str = "robust-softmax",
    identity: str = "",
    background: str = "",
    pretraining: int = 10,
    epochs: int = 0,
    batch_size: int = 64,
    image_size: int = 0,
    backbone: str = "auto",
    weights: str = "auto",
    trunk: str = "auto",
    learning_rate: float = 0.0,
    seed: int = 0,
    pairs: str = "1:1:4",
    margin: float = 0.0,
    nodes: int = 1,
    gpus: int = 1,
    gpu: str = "nvidia.com/gpu",
) -> None:
    """Trains the matching of user photos to shop photos.

    Args:
        table: Catalog table with splits.
        model: Model folder.
        figures: Figures on the validation photos.
        checkpoints: Folder that a stopped training goes on from.
        variant: robust-softmax, or what it is compared with.
        identity: Column that says what is the same; empty = product, else item.
        background: Labelled catalogs for the softmax loss, comma separated; empty = the catalog itself.
        pretraining: Passes over the background set before, where weights are none.
        epochs: Passes over the training user photos, each with its pairs; 0 = what suits the start.
        batch_size: Photos per step.
        image_size: Pixels of the square the net sees; 0 = 128 on CPUs, 224 on a GPU.
        backbone: auto (mobilenet_v2 on CPUs, convnext_tiny on a GPU), a torchvision net, or timm:NAME.
        weights: auto (published ones), none, or a file, s3:// or https:// address, with #sha256= where it matters.
        trunk: What is trained beside the heads: auto, frozen (nothing), upper (the upper half), tuned (all) or scratch.
        learning_rate: AdamW's peak learning rate, of the heads; 0 = what suits the start.
        seed: Of weights, order and augmentation.
        pairs: Positive to hard negative to background negative pairs.
        margin: m of the losses; 0 = from the scale of the features.
        nodes: Machines that train together, through Kubeflow Trainer where more than one.
        gpus: GPUs of each of several machines.
        gpu: Resource name of these GPUs.
    """
    from pathlib import Path

    from components.outputs import show_metrics, stamp
    from pipelines.trainjob import on_nodes
    from vitrine import steps

    settings = {
        "identity": identity,
        "background": background,
        "pretraining": pretraining,
        "epochs": epochs,
        "batch_size": batch_size,
        "image_size": image_size,
        "backbone": backbone,
        "weights": weights,
        "trunk": trunk,
        "learning_rate": learning_rate,
        "seed": seed,
        "pairs": pairs,
        "margin": margin,
    }
    several = on_nodes(nodes, gpus, gpu)
    found = steps.train("matching", variant, Path(table.path), Path(model.path), checkpoints, settings, nodes=several)
    show_metrics(figures, found)
    stamp(Path(model.path), model)
