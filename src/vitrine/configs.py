"""Where the shipped settings are: inside the installed package, or the checkout's `configs/`."""

from pathlib import Path

from vitrine.errors import InputError


def folder() -> Path:
    """The folder of shipped settings."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parents[1] / "configs"


def path(name: str) -> Path:
    """The shipped settings file `name`, e.g. `quality.yaml`.

    Raises:
        InputError: if there is none of that name.
    """
    root = folder()
    resolved = (root / name).resolve()
    if not resolved.is_file() or not resolved.is_relative_to(root.resolve()):
        names = ", ".join(sorted(item.name for item in root.glob("*.yaml"))) or "none"
        raise InputError(f"no settings file {name!r} in {root} (known: {names})")
    return resolved
