"""Training one task on a catalog, from settings to a model folder."""

import difflib
import shutil
from collections.abc import Sequence
from pathlib import Path

from vitrine.catalog import Catalog
from vitrine.errors import InputError
from vitrine.files import atomic_write
from vitrine.methods import authenticity, matching, representation, taxonomy
from vitrine.settings import (
    AuthenticitySettings,
    BalancedTaxonomySettings,
    BceSettings,
    MaskConSettings,
    MatchingSettings,
    ModernTaxonomySettings,
    RepresentationSettings,
    Settings,
    StudentSettings,
    TaxonomySettings,
    TeacherSettings,
    parse_settings,
)
from vitrine.training import shared
from vitrine.training.attributes import train_bce, train_student, train_teacher
from vitrine.training.authenticity import train_authenticity
from vitrine.training.matching import train_matching
from vitrine.training.model import training_identity
from vitrine.training.recipe import resolve
from vitrine.training.representation import train_representation
from vitrine.training.taxonomy import train_taxonomy

DEFAULT_VARIANT = {
    "attributes": "student",
    "taxonomy": "ssmtl-ca",
    "authenticity": "ssa",
    "representation": "base-indi-eff",
    "matching": "robust-softmax",
}
VARIANTS = {
    "attributes": ("bce", "teacher", "student"),
    "taxonomy": taxonomy.VARIANTS,
    "authenticity": authenticity.VARIANTS,
    "representation": representation.VARIANTS,
    "matching": matching.VARIANTS,
}
SETTINGS: dict[str, type[Settings]] = {  # by variant, else by task
    "bce": BceSettings,
    "teacher": TeacherSettings,
    "student": StudentSettings,
    **dict.fromkeys(taxonomy.BALANCED, BalancedTaxonomySettings),
    **dict.fromkeys(taxonomy.MODERN, ModernTaxonomySettings),
    "maskcon": MaskConSettings,
    "taxonomy": TaxonomySettings,
    "authenticity": AuthenticitySettings,
    "representation": RepresentationSettings,
    "matching": MatchingSettings,
}

CONFIG = "config.json"  # of a model in place, which is always complete
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
        task: `attributes`, `taxonomy`, `authenticity`, `representation` or `matching`.
        variant: One of `VARIANTS[task]`; "" = the default.
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
    variant = check_variant(task, variant)
    out = Path(out)
    folder = (checkpoints or out.parent).absolute() / f".{out.name}.training"
    there = out.exists() and (out.is_file() or any(out.iterdir()))
    if there and not (resume and (folder / MARK).exists() and (out / CONFIG).exists()):
        raise InputError(f"{out}: exists already; name a new folder")
    if "split" not in catalog.table or not (catalog.table["split"] == "train").any():
        raise InputError(f"{catalog.root}: no row has split 'train'; run `vitrine split` first")
    settings = resolve(parse_settings(SETTINGS.get(variant) or SETTINGS[task], overrides), task)
    identity = training_identity(catalog, f"{task}/{variant}", settings)
    if there and (folder / MARK).read_text() != identity:
        raise InputError(f"{out}: exists already, and is of another training; name a new folder")
    with shared.together():
        if there:  # put in place by a training that was stopped before it removed its checkpoints
            shared.wait()
            if not shared.rank():
                _remove_checkpoints(folder)
            return out
        if not shared.rank():
            _open_checkpoints(folder, identity, resume)
        with shared.own_folders(out, folder) as (own, kept):
            _train(catalog, variant, own, settings, kept)
            if not shared.rank():
                _remove_checkpoints(folder)
    return out


def _train(catalog: Catalog, variant: str, out: Path, settings: Settings, folder: Path) -> None:
    try:
        if isinstance(settings, TaxonomySettings):
            train_taxonomy(catalog, variant, out, settings, folder)
        elif isinstance(settings, StudentSettings):  # before TeacherSettings, which it extends
            train_student(catalog, out, settings, folder)
        elif isinstance(settings, TeacherSettings):
            train_teacher(catalog, out, settings, folder)
        elif isinstance(settings, BceSettings):
            train_bce(catalog, out, settings, folder)
        elif isinstance(settings, AuthenticitySettings):
            train_authenticity(catalog, variant, out, settings, folder)
        elif isinstance(settings, RepresentationSettings):
            train_representation(catalog, variant, out, settings, folder)
        elif isinstance(settings, MatchingSettings):
            train_matching(catalog, variant, out, settings, folder)
    except InputError:
        if [path.name for path in folder.iterdir()] == [MARK]:  # refused before it learnt anything worth keeping
            shutil.rmtree(folder)
        raise


def _remove_checkpoints(folder: Path) -> None:
    """Removes the mark last: as long as it is there, a model in place is known for this training's result."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != MARK:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def check_variant(task: str, variant: str) -> str:
    """The variant to train, the task's default for "".

    Raises:
        InputError: for an unknown task or variant, naming the nearest known one.
    """
    if task not in VARIANTS:
        near = difflib.get_close_matches(task, VARIANTS, n=1, cutoff=0.0)[0]
        raise InputError(f"task {task!r}: unknown; did you mean {near}? (known: {', '.join(VARIANTS)})")
    variant = variant or DEFAULT_VARIANT[task]
    if variant not in VARIANTS[task]:
        near = difflib.get_close_matches(variant, VARIANTS[task], n=1, cutoff=0.0)[0]
        known = ", ".join(VARIANTS[task])
        raise InputError(f"{task} has no variant {variant!r}; did you mean {near}? (known: {known})")
    return variant


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
