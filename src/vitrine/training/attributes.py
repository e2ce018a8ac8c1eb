"""Training MTSS: a teacher per attribute type, and the student that learns from them."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from vitrine.catalog import Catalog, attribute_types
from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError
from vitrine.methods import attributes
from vitrine.methods.inference import load_model
from vitrine.methods.truth import teachable_types
from vitrine.settings import StudentSettings, TeacherSettings
from vitrine.training.engine import fit
from vitrine.training.model import finish, start_config, training_identity, training_notes


def train_teacher(catalog: Catalog, out: Path, settings: TeacherSettings, folder: Path) -> None:
    """Trains a teacher of `settings.type`; checkpoints go into `folder`."""
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
    identity = training_identity(catalog, "attributes/teacher", settings)
    history = fit(net, lesson, settings, folder / "checkpoint.pt", identity, f"teacher {kind}")
    config = start_config("attributes", "teacher", settings, catalog) | {
        "embedding_dim": settings.embedding_dim,
        "labels": {kind: classes},
    }
    finish(out, net, config, catalog, store, training_notes(history))


def train_student(catalog: Catalog, out: Path, settings: StudentSettings, folder: Path) -> None:
    """Trains the student of `settings.teachers`, or of teachers trained first; checkpoints go into `folder`."""
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
    identity = training_identity(catalog, f"attributes/student/{teachers}", settings)
    history = fit(net, lesson, settings, folder / "checkpoint.pt", identity, "student")
    config = start_config("attributes", "student", settings, catalog) | {
        "embedding_dim": len(dictionaries[net.kinds[0]][0]),
        "labels": labels,
    }
    finish(out, net, config, catalog, store, training_notes(history))


def _train_teachers(catalog: Catalog, settings: StudentSettings, folder: Path) -> list[Path]:
    """A teacher for each attribute type with something to learn; those that are finished already are kept."""
    common = settings.model_dump(exclude={"teachers", "beta"})
    paths: list[Path] = []
    for kind in teachable_types(catalog):
        path = folder / "teachers" / f"{len(paths)}"
        if not path.exists():
            train_teacher(catalog, path, TeacherSettings(**common, type=kind), folder / f"teacher-{len(paths)}")
        paths.append(path)
    if not paths:
        raise InputError(f"{catalog.root}: no attr:<type> column has two labels among training photos")
    return paths
