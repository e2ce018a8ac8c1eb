"""The model folder: model.safetensors, config.json, metrics.json, card.md. Tensors and text, nothing executable."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitrine import __version__, files
from vitrine.errors import InputError
from vitrine.untrusted import parse_json

if TYPE_CHECKING:  # who only reads what a folder says loads no torch
    from torch import Tensor, nn

FILES = ("model.safetensors", "config.json", "metrics.json", "card.md")
TRAINING = "training"  # in config.json: which training, exactly, a model is the result of
CURVES = "curves"  # in config.json: loss and validation score of each pass, by what was trained
_training: ContextVar[str] = ContextVar("training", default="")
_curves: ContextVar[dict[str, Any] | None] = ContextVar("curves", default=None)


@contextmanager
def of_training(identity: str) -> Iterator[None]:
    """Has models that are saved meanwhile say which training they are the result of, and how it went."""
    tokens = _training.set(identity), _curves.set({})
    try:
        yield
    finally:
        _training.reset(tokens[0])
        _curves.reset(tokens[1])


def note_curve(title: str, losses: Sequence[float], scores: Sequence[float | None], scored: str) -> None:
    """Keeps how a part of a training went for the next model that is saved.

    Args:
        title: The part.
        losses: Of each pass.
        scores: On the validation photos, after each pass.
        scored: What the scores are called.
    """
    if (curves := _curves.get()) is not None:
        curves[title] = {"loss": list(losses), "score": list(scores), "scored": scored}


def save_model(
    out: Path, net: "nn.Module", config: Mapping[str, Any], metrics: Mapping[str, float], notes: str = ""
) -> None:
    """Writes a model folder; `out` appears whole or not at all.

    Args:
        out: A new folder.
        net: Whose tensors are kept.
        config: task, variant, backbone, image_size, normalisation, labels, settings, data_version.
        metrics: Flat, fractions.
        notes: Markdown that ends the card (how training went).

    Raises:
        InputError: if `out` exists.
    """
    from safetensors.torch import save_file

    whole = {**config, "code_version": __version__}
    if _training.get():
        whole[TRAINING] = _training.get()
    if curves := _curves.get():
        whole[CURVES] = dict(curves)
        curves.clear()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    with files.new_folder(out) as folder:
        save_file(tensors, folder / FILES[0])
        files.write_json(folder / FILES[1], whole)
        files.write_json(folder / FILES[2], dict(metrics))
        (folder / FILES[3]).write_text(_card(whole, metrics, notes), encoding="utf-8")


def load_config(model: Path) -> dict[str, Any]:
    """The config of a model folder.

    Raises:
        InputError: if it is no model folder.
    """
    path = Path(model) / FILES[1]
    try:
        config = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{model}: not a model folder (no config.json)") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: does not hold an object")
    for key in ("task", "variant"):
        if not isinstance(config.get(key), str):
            raise InputError(f"{path}: {key!r} is no word" if key in config else f"{path}: lacks {key!r}")
    return config


def load_tensors(model: Path) -> "dict[str, Tensor]":
    """The tensors of a model folder.

    Raises:
        InputError: if they are missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(model) / FILES[0]
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise InputError(f"{model}: not a model folder (no model.safetensors)") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged ({error})") from error


def load_into(net: "nn.Module", model: Path) -> None:
    """Fills a net from a model folder.

    Raises:
        InputError: if the tensors are not this net's.
    """
    try:
        net.load_state_dict(load_tensors(model))
    except RuntimeError as error:
        raise InputError(f"{model}: the tensors do not fit config.json") from error
    net.eval()


def _start(config: Mapping[str, Any]) -> str:
    """What the card says of the weights that training began with."""
    weights = config.get("weights")
    if not weights:
        return ""
    licence = f", {weights['licence']}" if weights["licence"] else ""
    return f"Started from {weights['source']} (SHA-256 `{weights['sha256']}`{licence}).\n\n"


def _card(config: Mapping[str, Any], metrics: Mapping[str, float], notes: str) -> str:
    measured = {name: value for name, value in metrics.items() if not name.endswith("/count")}
    figures = "\n".join(f"| {name} | {value:.4f} | {_rows(metrics, name)} |" for name, value in measured.items())
    settings = "\n".join(f"| {name} | {value} |" for name, value in config.get("settings", {}).items())
    return (
        f"# {config['task']} / {config['variant']}\n\n"
        f"Data version `{config.get('data_version', '')}`, code version {config['code_version']}, "
        f"backbone {config['backbone']}, {config['image_size']} px.\n\n{_start(config)}"
        f"## Results on the validation photos\n\n| metric | value | rows |\n| --- | --- | --- |\n{figures}\n\n"
        f"## Settings\n\n| setting | value |\n| --- | --- |\n{settings}\n\n{notes}"
    )


def _rows(metrics: Mapping[str, float], name: str) -> str:
    """How many rows a figure is over, where that is known."""
    count = metrics.get(f"{name.rpartition('/')[0]}/count")
    return "" if count is None else f"{count:,.0f}"
