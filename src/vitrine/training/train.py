"""Training one task on a catalog, from settings to a model folder."""

import difflib
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vitrine import __version__
from vitrine.catalog import Catalog, attribute_types
from vitrine.data.augment import MEAN, STD
from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError
from vitrine.files import absolute, atomic_write
from vitrine.methods import attributes, authenticity, taxonomy
from vitrine.methods.calibration import fit_temperature
from vitrine.methods.inference import load_model, run_net
from vitrine.methods.model_folder import save_model
from vitrine.methods.truth import label_matrix, teachable_types, top1_accuracy
from vitrine.settings import (
    AuthenticitySettings,
    Settings,
    StudentSettings,
    TaxonomySettings,
    TeacherSettings,
    parse_settings,
)
from vitrine.training.engine import History, fit

DEFAULT_VARIANT = {"attributes": "student", "taxonomy": "ssmtl-ca", "authenticity": "ssa"}
VARIANTS = {
    "attributes": ("teacher", "student"),
    "taxonomy": taxonomy.VARIANTS,
    "authenticity": authenticity.VARIANTS,
}
SETTINGS: dict[str, type[Settings]] = {  # by variant, else by task
    "teacher": TeacherSettings,
    "student": StudentSettings,
    "taxonomy": TaxonomySettings,
    "authenticity": AuthenticitySettings,
}

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

    Args:
        task: `attributes`, `taxonomy` or `authenticity`.
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
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise InputError(f"{out}: exists already; name a new folder")
    if "split" not in catalog.table or not (catalog.table["split"] == "train").any():
        raise InputError(f"{catalog.root}: no row has split 'train'; run `vitrine split` first")
    folder = (checkpoints or out.parent).absolute() / f".{out.name}.training"
    settings = parse_settings(SETTINGS.get(variant) or SETTINGS[task], overrides)
    _open_checkpoints(folder, _identity(catalog, f"{task}/{variant}", settings), resume)
    try:
        if isinstance(settings, TaxonomySettings):
            _train_taxonomy(catalog, variant, out, settings, folder)
        elif isinstance(settings, TeacherSettings):
            _train_teacher(catalog, out, settings, folder)
        elif isinstance(settings, StudentSettings):
            _train_student(catalog, out, settings, folder)
        elif isinstance(settings, AuthenticitySettings):
            _train_authenticity(catalog, variant, out, settings, folder)
    except InputError:
        if [path.name for path in folder.iterdir()] == [MARK]:  # refused before it learnt anything worth keeping
            shutil.rmtree(folder)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return out


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


def _train_teacher(catalog: Catalog, out: Path, settings: TeacherSettings, folder: Path) -> None:
    known = attribute_types(catalog.table)
    if settings.type not in known:
        raise InputError(
            f"--set type={settings.type}: {catalog.root} has no attribute type of that name (it has: "
            f"{', '.join(known) or 'none'})"
        )
    kind, classes = settings.type, attributes.classes_of(catalog, settings.type)
    torch.manual_seed(settings.seed)
    net = attributes.AttributeNet(
        settings.backbone, settings.image_size, {kind: classes}, settings.embedding_dim, settings.weights
    )
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    lesson = attributes.teacher_lesson(net, catalog, store, kind, classes, settings)
    identity = _identity(catalog, "attributes/teacher", settings)
    history = fit(net, lesson, settings, folder / "checkpoint.pt", identity, f"teacher {kind}")
    config = _config("attributes", "teacher", settings, catalog) | {
        "embedding_dim": settings.embedding_dim,
        "labels": {kind: classes},
    }
    _finish(out, net, config, catalog, store, history)


def _train_student(catalog: Catalog, out: Path, settings: StudentSettings, folder: Path) -> None:
    given = [Path(text.strip()) for text in settings.teachers.split(",") if text.strip()]
    paths = given or _train_teachers(catalog, settings, folder)
    torch.manual_seed(settings.seed)
    labels: dict[str, list[str]] = {}
    dictionaries: dict[str, torch.Tensor] = {}
    taught: dict[str, np.ndarray] = {}
    for path in paths:
        teacher, config = load_model(path)
        if config["task"] != "attributes" or not isinstance(teacher, attributes.AttributeNet):
            raise InputError(f"{path}: is a model for {config['task']}, not a teacher of attributes")
        if len(teacher.kinds) != 1:
            raise InputError(f"{path}: is a net for {len(teacher.kinds)} attribute types, not a teacher of one")
        kind = teacher.kinds[0]
        if kind in labels:
            raise InputError(f"{path}: a second teacher of {kind}")
        own = PhotoStore.of_catalog(catalog, config["image_size"], settings.workers)
        labels[kind] = config["labels"][kind]
        dictionaries[kind] = teacher.dictionaries[0].detach().cpu()
        taught[kind] = attributes.teach(teacher, own)
        print(f"teacher {kind}: {len(labels[kind])} classes, {len(own)} photos embedded", flush=True)
    widths = {len(dictionary[0]) for dictionary in dictionaries.values()}
    if len(widths) > 1:
        raise InputError(f"--set teachers: their embeddings differ in length ({', '.join(map(str, sorted(widths)))})")
    net = attributes.AttributeNet(settings.backbone, settings.image_size, labels, widths.pop(), settings.weights)
    for parameter, kind in zip(net.dictionaries, net.kinds, strict=True):
        parameter.data.copy_(dictionaries[kind])
        parameter.requires_grad_(False)  # the student learns to reach the teachers' label embeddings, not to move them
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    lesson = attributes.student_lesson(net, catalog, store, taught, settings, labels)
    teachers = hashlib.sha256(b"".join((path / "model.safetensors").read_bytes() for path in paths)).hexdigest()
    identity = _identity(catalog, f"attributes/student/{teachers}", settings)
    history = fit(net, lesson, settings, folder / "checkpoint.pt", identity, "student")
    config = _config("attributes", "student", settings, catalog) | {
        "embedding_dim": len(dictionaries[net.kinds[0]][0]),
        "labels": labels,
    }
    _finish(out, net, config, catalog, store, history)


def _train_teachers(catalog: Catalog, settings: StudentSettings, folder: Path) -> list[Path]:
    """A teacher for each attribute type with something to learn; those that are finished already are kept."""
    common = settings.model_dump(exclude={"teachers", "beta"})
    paths: list[Path] = []
    for kind in teachable_types(catalog):
        path = folder / "teachers" / f"{len(paths)}"
        if not path.exists():
            _train_teacher(catalog, path, TeacherSettings(**common, type=kind), folder / f"teacher-{len(paths)}")
        paths.append(path)
    if not paths:
        raise InputError(f"{catalog.root}: no attr:<type> column has two labels among training photos")
    return paths


def _train_taxonomy(catalog: Catalog, variant: str, out: Path, settings: TaxonomySettings, folder: Path) -> None:
    config = _config("taxonomy", variant, settings, catalog) | {"hidden": settings.hidden}
    config |= taxonomy.describe(catalog, variant)
    torch.manual_seed(settings.seed)
    net = taxonomy.build(config, settings.weights)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    lesson = taxonomy.lesson(net, catalog, store, config, settings)
    identity = _identity(catalog, f"taxonomy/{variant}", settings)
    history = fit(net, lesson, settings, folder / "checkpoint.pt", identity, f"taxonomy {variant}")
    _finish(out, net, config, catalog, store, history)


def _train_authenticity(
    catalog: Catalog, variant: str, out: Path, settings: AuthenticitySettings, folder: Path
) -> None:
    config = _config("authenticity", variant, settings, catalog)
    config |= authenticity.describe(catalog, settings)
    torch.manual_seed(settings.seed)
    net = authenticity.build(config, settings.weights)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    taught = authenticity.taught(net, settings)
    lesson = authenticity.lesson(taught, catalog, store, config, settings)
    identity = _identity(catalog, f"authenticity/{variant}", settings)
    history = fit(taught, lesson, settings, folder / "checkpoint.pt", identity, f"authenticity {variant}")
    metrics, calibration = authenticity.finish(net, catalog, store, config, settings)
    config |= calibration | {"history": [asdict(epoch) for epoch in history.epochs]}
    save_model(out, net, config, metrics, _notes(history))


def _finish(
    out: Path, net: nn.Module, config: dict[str, Any], catalog: Catalog, store: PhotoStore, history: History
) -> None:
    """Calibrates on the validation photos (the training photos where there are none) and writes the model folder."""
    split = catalog.table["split"].to_numpy()
    rows = np.flatnonzero(split == ("validation" if (split == "validation").any() else "train"))
    _, scores = run_net(net, store, rows)
    table = catalog.table.iloc[rows]
    method = taxonomy if config["task"] == "taxonomy" else attributes
    metrics, temperatures = {}, {}
    for name, truth, labels in method.tasks(config, table):
        matrix = label_matrix(truth, labels)
        temperatures[name] = fit_temperature(scores[name], matrix)
        accuracy = top1_accuracy(scores[name], matrix)
        if accuracy is not None:
            metrics[f"validation/{name}/top1"] = accuracy
    save_model(out, net, config | {"temperatures": temperatures}, metrics, _notes(history))


def _notes(history: History) -> str:
    best = history.epochs[history.best]
    return (
        f"## Training\n\n{len(history.epochs)} epochs, the best one {history.best + 1} "
        f"(loss {best.loss:.4f}), {sum(epoch.seconds for epoch in history.epochs):.0f} s.\n"
    )


def _config(task: str, variant: str, settings: Settings, catalog: Catalog) -> dict[str, Any]:
    return {
        "task": task,
        "variant": variant,
        "backbone": settings.backbone,
        "image_size": settings.image_size,
        "normalisation": {"mean": MEAN, "std": STD},
        "data_version": catalog.data_version,
        "settings": settings.model_dump(by_alias=True),
    }


def _identity(catalog: Catalog, what: str, settings: Settings) -> str:
    """Names a training exactly: what, code, settings, the table's rows and where the photos are.

    Not by the paths of its teachers, which a second run may find elsewhere.
    """
    own = json.dumps(settings.model_dump(exclude={"teachers"}), sort_keys=True)
    digest = hashlib.sha256(f"{what}\n{__version__}\n{own}\n".encode())
    digest.update(absolute(catalog.root).encode())
    digest.update(catalog.table.to_csv(index=False).encode())
    return digest.hexdigest()
