"""Training one task on a catalog, from settings to a model folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitrine import tasks
from vitrine.catalog import Catalog, learnable
from vitrine.errors import InputError
from vitrine.files import atomic_write
from vitrine.model import TRAINING, load_config, of_training
from vitrine.settings import Settings, parse_settings
from vitrine.tasks.task import Task, check_variant
from vitrine.training import shared
from vitrine.training.model import training_identity
from vitrine.training.recipe import resolve

CONFIG = "config.json"  # of a model in place, which is always complete, and names its training
MARK = "identity"  # in the folder of checkpoints: which training they are of


def train(
    task: str,
    variant: str,
    catalog: Catalog,
    out: Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    checkpoints: Path | None = None,
) -> Path:
    """Trains a model on a catalog's `train` rows, choosing the epoch on its `validation` rows.

    Started by torchrun, all of its processes train one model together (see `shared`).

    Args:
        task: Its name.
        variant: One of the task's; "" = the default.
        catalog: With a `split` column.
        out: The model folder to make.
        overrides: `key=value` settings.
        resume: Go on from the checkpoints of a training that was stopped.
        checkpoints: Folder to keep them in meanwhile (in a hidden folder named after `out`); default: that of `out`.

    Returns:
        `out`.

    Raises:
        InputError: for an unknown task, variant or setting, a catalog with nothing to learn, an existing `out`, or
            checkpoints of another training.
    """
    chosen = tasks.get(task)
    variant = check_variant(chosen, variant)
    out = Path(out)
    folder = (checkpoints or out.parent).absolute() / f".{out.name}.training"
    there = out.exists() and (out.is_file() or any(out.iterdir()))
    if there and not (resume and (out / CONFIG).exists()):
        raise InputError(f"{out}: exists already; name a new folder")
    settings = resolve(parse_settings(chosen.settings(variant), overrides), chosen)
    if "split" not in catalog.table or not (catalog.table["split"] == "train").any():
        raise InputError(f"{catalog.address}: no row has split 'train'; run `vitrine split` first")
    catalog = learnable(catalog)
    identity = training_identity(catalog, f"{task}/{variant}", settings)
    if there and load_config(out).get(TRAINING) != identity:
        raise InputError(f"{out}: exists already, and is of another training; name a new folder")
    with shared.together():
        if there:  # put in place by a training that was stopped after that
            shared.wait()
            if not shared.rank() and folder.exists():
                _remove_checkpoints(folder)
            return out
        if not shared.rank():
            _open_checkpoints(folder, identity, resume)
        with shared.own_folders(out, folder) as (out_folder, kept), of_training(identity):
            _fit(chosen, catalog, variant, out_folder, settings, kept)
            if not shared.rank():
                _remove_checkpoints(folder)
    return out


def _fit(task: Task[Any], catalog: Catalog, variant: str, out: Path, settings: Settings, folder: Path) -> None:
    try:
        task.fit(catalog, variant, out, settings, folder)
    except InputError as error:
        if [path.name for path in folder.iterdir()] == [MARK]:  # refused before it learnt anything worth keeping
            shutil.rmtree(folder)
        if catalog.root in str(error) or catalog.address in str(error):
            raise
        raise InputError(f"{error} (training on {catalog.address})") from error


def _remove_checkpoints(folder: Path) -> None:
    """Removes the mark last: what is left by a removal that was stopped is still known for this training's."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != MARK:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _open_checkpoints(folder: Path, identity: str, resume: bool) -> None:
    """Makes the folder of a training's checkpoints, empty unless it goes on from them.

    Raises:
        InputError: if it is to go on from those of another training, or the folder cannot be written.
    """
    mark = folder / MARK
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    elif mark.exists() and mark.read_text() != identity:
        raise InputError(
            f"{folder}: checkpoints of another training (other data, settings or code); start anew without --resume"
        )
    try:
        with atomic_write(mark) as temporary:
            temporary.write_text(identity)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from error
