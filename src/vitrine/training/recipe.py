"""What a training starts from and how it goes on: the settings that are left to the net, the machine and the task."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vitrine.blocks.backbones import known_name, native_size
from vitrine.blocks.cut import cut_off, middle
from vitrine.blocks.narrow_resnet import NARROW
from vitrine.blocks.pretrained import find_weights
from vitrine.data.feature_store import FeatureStore
from vitrine.data.inputs import Inputs
from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError
from vitrine.settings import AnySettings, Recipe, Settings, Trunk
from vitrine.training.engine import History, fit, training_device
from vitrine.training.objective import Objective

if TYPE_CHECKING:
    from vitrine.tasks.task import Task

ON_CPU, ON_GPU = "mobilenet_v2", "convnext_tiny"
SIZE_ON_CPU, SIZE_ON_GPU, SIZE_FROM_NOTHING = 128, 224, 64  # pixels
KEPT_PHOTOS = 100_000  # whose last maps are kept: 4 GB of MobileNetV2's at 128 px
FROM_FEATURES = ("frozen", "upper")  # what learns from maps that were computed once


RECIPES = {
    "frozen": Recipe(30, 5e-3, 1.0),
    "upper": Recipe(16, 5e-3, 0.2),
    "tuned": Recipe(10, 5e-3, 0.1),
    "scratch": Recipe(30, 2e-3, 1.0),
}


def resolve(settings: AnySettings, task: "Task[Any]") -> AnySettings:
    """The settings with nothing left open: net, size, what is trained of it, for how long and how fast.

    Raises:
        InputError: for an unknown net, weights that cannot be had here, or settings that contradict each other.
    """
    settings = task.inherited(settings)
    weights = settings.weights
    if settings.trunk == "scratch":
        if weights not in ("auto", "none"):
            raise InputError("--set trunk=scratch: trains from nothing; leave weights out, or set another trunk")
        weights = "none"
    backbone = settings.backbone
    if backbone == "auto":
        backbone = NARROW if weights == "none" else _suitable(weights)
    known_name(backbone)
    fresh = find_weights(weights, backbone) is None
    trunk: Trunk = settings.trunk
    if trunk == "auto":
        trunk = "scratch" if fresh else _suitable_trunk(settings)
    if fresh and trunk != "scratch":
        raise InputError(f"--set trunk={trunk}: weights=none has nothing to start from; name weights, or trunk=scratch")
    if trunk == "frozen" and task.answers_with_features:
        raise InputError(f"--set trunk=frozen: {task.name} teaches the trunk itself and would learn nothing; set upper")
    if settings.head_epochs and task.answers_with_features:
        raise InputError(f"--set head_epochs: {task.name} teaches the trunk itself and has no heads to train alone")
    if trunk in FROM_FEATURES and settings.makes_photos_anew:
        raise InputError(f"--set trunk={trunk}: corrupted photos are made anew in each pass; set trunk=tuned")
    size = settings.image_size or native_size(backbone) or _suitable_size(backbone, fresh)
    recipe = task.recipes.get(trunk, RECIPES[trunk])
    return settings.model_copy(
        update=settings.by_start(trunk == "scratch")
        | {
            "backbone": backbone,
            "weights": weights,
            "image_size": size,
            "trunk": trunk,
            "epochs": settings.epochs or recipe.epochs,
            "learning_rate": settings.learning_rate or recipe.learning_rate,
            "trunk_rate": settings.trunk_rate or recipe.trunk_rate,
        }
    )


@contextmanager
def trained_part(net: nn.Module, store: PhotoStore, settings: Settings) -> Iterator[Inputs]:
    """Within, a net is no more than what is trained of it, and the store gives what that is shown.

    Args:
        net: With trunks; see `cut_off`.
        store: The photos.
        settings: Resolved.
    """
    trunk = next((module for name, module in net.named_modules() if name.rpartition(".")[2] == "trunk"), None)
    layers = trunk_layers(trunk, settings) if trunk is not None else 0
    inside = getattr(net, "salient_layer", None)
    if inside is not None:  # what is learnt inside the trunk sees maps of layers before it
        layers = min(layers, inside)
    if not layers:
        yield store
        return
    with cut_off(net, layers) as first:
        yield FeatureStore(store, first.to(training_device()).to(memory_format=torch.channels_last), settings.copies)


def train_net(
    net: nn.Module,
    objective_on: Callable[[Inputs], Objective[Any]],
    store: PhotoStore,
    settings: Settings,
    folder: Path,
    identity: str,
    title: str,
    *,
    trained: nn.Module | None = None,
) -> History:
    """Trains a net in place: what `trunk` says, after `head_epochs` of the heads alone where there are any.

    Heads with random weights pull a trunk out of shape before they know where to (Kumar et al., Fine-Tuning can Distort
    Pretrained Features, ICLR 2022); heads that fit a small catalog whole teach it nothing (docs/results/start.md).

    Args:
        net: With trunks.
        objective_on: What to learn, on photos or on maps.
        store: The photos.
        settings: Resolved.
        folder: Of checkpoints.
        identity: See `fit`.
        title: See `fit`.
        trained: What holds the net and all else that is trained; default: the net.

    Returns:
        How the second part went.
    """
    whole = trained if trained is not None else net
    heads = settings.head_epochs if settings.trunk in ("upper", "tuned") and len(store) <= KEPT_PHOTOS else 0
    before = None
    if heads:
        alone = settings.model_copy(update={"trunk": "frozen", "copies": 0, "epochs": heads})
        what = folder / "heads.pt", f"{identity} heads", f"{title}, heads"
        with trained_part(net, store, alone) as shown:
            before = fit(whole, objective_on(shown), alone, *what, quiet=True).best_score()
        start = {name: tensor.detach().clone() for name, tensor in whole.state_dict().items()}
    with trained_part(net, store, settings) as shown:
        history = fit(whole, objective_on(shown), settings, folder / "checkpoint.pt", identity, title)
    after = history.best_score()
    if before is not None and after is not None and before > after:
        whole.load_state_dict(start)
        history.note = f"The heads alone were better ({before:.4f} on validation photos against {after:.4f}), and kept."
        print(f"{title}: {history.note}", flush=True)
    return history


def trunk_layers(trunk: nn.Module, settings: Settings) -> int:
    """How many first layers of a trunk are frozen; a trunk that is no `nn.Sequential` is one layer."""
    if settings.trunk == "frozen":
        return len(trunk) if isinstance(trunk, nn.Sequential) else 1
    if settings.trunk != "upper":
        return 0
    cut = middle(trunk, settings.image_size) if isinstance(trunk, nn.Sequential) else 0
    if not cut:
        print(f"trunk=upper: {settings.backbone} has no middle to cut it at; all of it is tuned", flush=True)
    return cut


def _suitable(weights: str) -> str:
    """The net for this machine; on a GPU without a way to its weights the one that the environment carries."""
    if not torch.cuda.is_available() or weights not in ("auto", "imagenet"):
        return ON_CPU
    try:
        find_weights(weights, ON_GPU)
    except InputError as error:
        print(f"backbone=auto: {ON_CPU}; {error}", flush=True)
        return ON_CPU
    return ON_GPU


def _suitable_trunk(settings: Settings) -> Trunk:
    """CPUs train behind the frozen lower half; where there is a GPU, or photos change in each pass, all is tuned.

    How many processes train together decides nothing: what one began, several may finish.
    """
    return "tuned" if settings.makes_photos_anew or torch.cuda.is_available() else "upper"


def _suitable_size(backbone: str, fresh: bool) -> int:
    if torch.cuda.is_available() and backbone != NARROW and not backbone.endswith("_small"):
        return SIZE_ON_GPU
    return SIZE_FROM_NOTHING if fresh or backbone.endswith("_small") else SIZE_ON_CPU
