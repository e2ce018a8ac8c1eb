"""Training MTSS: a teacher per attribute type, the student that learns from them, and BCE as the compared system."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitrine import __version__
from vitrine.blocks.pretrained import sum_of
from vitrine.catalog import ATTRIBUTE_PREFIX, Catalog, attribute_types, read_catalog
from vitrine.data.inputs import Inputs
from vitrine.data.photo_store import PhotoStore
from vitrine.data.truth import teachable_types
from vitrine.errors import InputError
from vitrine.files import absolute, new_folder
from vitrine.settings import Settings
from vitrine.tasks.attributes.net import AttributeNet, LogisticNet
from vitrine.tasks.attributes.objective import bce_objective, classes_of, student_objective, teacher_objective
from vitrine.tasks.attributes.predictions import label_targets
from vitrine.tasks.attributes.settings import BceSettings, StudentSettings, TeacherSettings
from vitrine.tasks.attributes.teacher_embeddings import teacher_embeddings
from vitrine.tasks.labels import LabelTask
from vitrine.training import shared
from vitrine.training.engine import fit
from vitrine.training.model import finish, seen_of_photos, start_config, training_identity, training_notes
from vitrine.training.objective import Objective
from vitrine.training.recipe import train_net, trained_part, trunk_layers


def train_teacher(catalog: Catalog, out: Path, settings: TeacherSettings, folder: Path, task: LabelTask[Any]) -> None:
    """Trains a teacher of `settings.type`; checkpoints go into `folder`."""
    kind = _known_type(catalog, settings.type)
    classes = classes_of(catalog, kind)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    config: dict[str, Any] = {"embedding_dim": settings.embedding_dim, "labels": {kind: classes}}
    if settings.gammas:
        tried = _try_gammas(catalog, store, settings, folder)
        config["gamma_tried"] = {f"{gamma:g}": score for gamma, score in tried.items()}
        settings = settings.model_copy(update={"gamma": max(tried, key=lambda gamma: (tried[gamma], -abs(gamma - 1)))})
    net, history = _fit_teacher(catalog, store, settings, folder, f"teacher {kind}")
    finish(
        out,
        net,
        start_config("attributes", "teacher", settings, catalog) | config,
        catalog,
        store,
        training_notes(history),
        label_targets,
        task.deciding,
    )


def _fit_teacher(
    catalog: Catalog, store: PhotoStore, settings: TeacherSettings, folder: Path, title: str
) -> tuple[AttributeNet, Any]:
    kind, classes = settings.type, classes_of(catalog, settings.type)
    torch.manual_seed(settings.seed)
    net = AttributeNet(
        settings.backbone, settings.image_size, {kind: classes}, settings.embedding_dim, settings.weights
    )
    identity = training_identity(catalog, "attributes/teacher", settings)

    def objective_on(shown: Inputs) -> Objective[Any]:
        return teacher_objective(net, catalog, shown, kind, classes, settings)

    return net, train_net(net, objective_on, store, settings, folder, identity, title)


def _try_gammas(catalog: Catalog, store: PhotoStore, settings: TeacherSettings, folder: Path) -> dict[float, float]:
    """The best validation accuracy that each gamma came to in a short training of its own."""
    epochs = settings.gamma_epochs or max(1, settings.epochs // 3)
    tried: dict[float, float] = {}
    for gamma in settings.gammas:
        tried_settings = settings.model_copy(update={"gamma": gamma, "epochs": epochs, "gammas": ()})
        title = f"teacher {settings.type}, gamma {gamma:g}"
        _, history = _fit_teacher(catalog, store, tried_settings, folder / f"gamma-{gamma:g}", title)
        score = history.best_score()
        if score is None:
            raise InputError(f"--set gammas: {catalog.address} has no validation photo annotated for {settings.type}")
        tried[gamma] = score
    return tried


def train_bce(catalog: Catalog, out: Path, settings: BceSettings, folder: Path, task: LabelTask[Any]) -> None:
    """Trains a logistic output per label, of one attribute type or of all; checkpoints go into `folder`."""
    kinds = [_known_type(catalog, settings.type)] if settings.type else _teachable(catalog)
    labels = {kind: classes_of(catalog, kind) for kind in kinds}
    torch.manual_seed(settings.seed)
    net = LogisticNet(settings.backbone, settings.image_size, labels, settings.weights)
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers)
    identity = training_identity(catalog, "attributes/bce", settings)

    def objective_on(shown: Inputs) -> Objective[Any]:
        return bce_objective(net, catalog, shown, labels, settings)

    history = train_net(net, objective_on, store, settings, folder, identity, "bce")
    finish(
        out,
        net,
        start_config("attributes", "bce", settings, catalog) | {"labels": labels},
        catalog,
        store,
        training_notes(history),
        label_targets,
        task.deciding,
    )


def train_student(catalog: Catalog, out: Path, settings: StudentSettings, folder: Path, task: LabelTask[Any]) -> None:
    """Trains the student of `settings.teachers`, or of teachers trained first; checkpoints go into `folder`."""
    further = _further_catalogs(settings.unlabelled)
    given = [Path(text) for text in settings.teachers]
    paths = given or _train_teachers(catalog, settings, folder, task)
    torch.manual_seed(settings.seed)
    teachers: list[tuple[Path, AttributeNet, Settings]] = []
    labels: dict[str, list[str]] = {}
    soup = _Soup()
    for path in paths:
        teacher, config = task.load(path)
        if not isinstance(teacher, AttributeNet):
            raise InputError(f"{path}: a {config['variant']} net has no embeddings to learn from; name a teacher")
        if len(teacher.kinds) != 1:
            raise InputError(f"{path}: is a net for {len(teacher.kinds)} attribute types, not a teacher of one")
        kind = teacher.kinds[0]
        if kind in labels:
            raise InputError(f"{path}: a second teacher of {kind}")
        labels[kind] = config["labels"][kind]
        teachers.append((path, teacher, _start_of(config)))
        soup.add(teacher, config)
    widths = {len(teacher.dictionaries[0][0]) for _, teacher, _ in teachers}
    if len(widths) > 1:
        raise InputError(f"--set teachers: their embeddings differ in length ({', '.join(map(str, sorted(widths)))})")
    net = AttributeNet(settings.backbone, settings.image_size, labels, widths.pop(), settings.weights)
    if settings.trunk != "scratch" and soup.made_of(settings):
        soup.pour_into(net)
    for parameter, (_, teacher, _) in zip(net.dictionaries, teachers, strict=True):
        parameter.data.copy_(teacher.dictionaries[0].detach().cpu())
        parameter.requires_grad_(False)  # the student learns to reach the teachers' label embeddings, not to move them
    copies = settings.copies if trunk_layers(net.trunk, settings) else 0
    train = np.flatnonzero(catalog.table["split"] == "train")
    embedded: dict[str, np.ndarray] = {}
    for path, teacher, start in teachers:
        kind = teacher.kinds[0]
        teacher_store = PhotoStore.of_catalog(catalog, start.image_size, settings.workers, further=further)
        rows = np.concatenate([train, np.arange(len(catalog), len(teacher_store))])
        with trained_part(teacher, teacher_store, start.model_copy(update={"copies": copies})) as shown:
            embedded[kind], computed = teacher_embeddings(path, teacher, shown, rows)
        count = embedded[kind].shape[1]
        views = f"{count} views of each of " if count > 1 else ""
        print(
            f"teacher {kind}: {len(labels[kind])} classes, {views}{len(rows)} photos embedded, {computed} of them anew",
            flush=True,
        )
    store = PhotoStore.of_catalog(catalog, settings.image_size, settings.workers, further=further)
    digest = hashlib.sha256(b"".join((path / "model.safetensors").read_bytes() for path in paths))
    digest.update("\n".join(store.contents[len(catalog) :]).encode())
    identity = training_identity(catalog, f"attributes/student/{digest.hexdigest()}", settings)
    rates = {
        "learning_rate": settings.learning_rate * settings.speed,
        "weight_decay": settings.weight_decay / settings.speed,
    }
    faster = settings.model_copy(update=rates)  # AdamW decays by rate x weight_decay: a step decays as a teacher's
    with trained_part(net, store, settings) as shown:
        objective = student_objective(net, catalog, shown, embedded, settings, labels)
        history = fit(net, objective, faster, folder / "checkpoint.pt", identity, "student")
    config = start_config("attributes", "student", settings, catalog) | {
        "embedding_dim": len(net.dictionaries[0][0]),
        "labels": labels,
        "further_data": [source.data_version for source in further],
    }
    finish(out, net, config, catalog, store, training_notes(history), label_targets, task.deciding)


class _Soup:
    """The mean of the teachers' trunks, and each one's branch: where a student of published weights begins.

    Nets that were fine-tuned from the same weights lie in one basin, where their mean is a net too, one that knows
    what each of them learnt (Wortsman et al., Model soups, ICML 2022).
    """

    def __init__(self) -> None:
        self.trunk: dict[str, torch.Tensor] = {}  # sums
        self.branches: list[dict[str, torch.Tensor]] = []
        self.starts: list[tuple[Any, ...]] = []

    def add(self, teacher: AttributeNet, config: Mapping[str, Any]) -> None:
        """One more teacher."""
        start = config.get("weights") or {}
        self.starts.append((config["backbone"], config["image_size"], start.get("sha256", "")))
        self.branches.append({key: tensor.detach().cpu() for key, tensor in teacher.branches[0].state_dict().items()})
        if self.starts[-1] == self.starts[0]:
            for key, tensor in teacher.trunk.state_dict().items():
                self.trunk[key] = self.trunk.get(key, 0) + tensor.detach().cpu().double()

    def made_of(self, settings: Settings) -> bool:
        """Whether all teachers began where this student would."""
        start = sum_of(settings.weights, settings.backbone)
        return set(self.starts) == {(settings.backbone, settings.image_size, start)}

    def pour_into(self, student: AttributeNet) -> None:
        """Fills the trunk and the branches, which stand in the teachers' order."""
        state = student.trunk.state_dict()
        count = len(self.starts)
        student.trunk.load_state_dict({key: (self.trunk[key] / count).to(state[key].dtype) for key in state})
        for branch, learnt in zip(student.branches, self.branches, strict=True):
            branch.load_state_dict(learnt)


def _start_of(config: Mapping[str, Any]) -> Settings:
    """Which part of a finished net was trained."""
    start = {key: config[key] for key in ("backbone", "image_size")}
    return Settings.model_validate(start | {"trunk": config["settings"].get("trunk", "scratch")})


def _further_catalogs(named: Sequence[str]) -> list[Catalog]:
    """Each catalog; of one that was split, only its training photos."""
    catalogs = []
    for name in named:
        catalog = read_catalog(name)
        if "split" in catalog.table:
            catalog = catalog.with_table(catalog.table[~catalog.table["split"].isin(["validation", "test"])])
        if not len(catalog):
            raise InputError(f"--set unlabelled: {name} has no training photo")
        catalogs.append(catalog)
    return catalogs


def _train_teachers(catalog: Catalog, settings: StudentSettings, folder: Path, task: LabelTask[Any]) -> list[Path]:
    """A teacher for each attribute type with something to learn; those that are finished already are kept."""
    common = settings.model_dump(include=set(TeacherSettings.model_fields) - {"type"})
    kinds = [_known_type(catalog, settings.type)] if settings.type else _teachable(catalog)
    paths: list[Path] = []
    for kind in kinds:
        teacher_settings = TeacherSettings(**common, type=kind)
        place = f"{len(paths)}"
        own = folder / "teachers" / place
        stored = (
            Path(settings.teacher_store) / teacher_key(catalog, teacher_settings) if settings.teacher_store else None
        )
        path = stored if stored and not own.exists() else own
        if shared.first_says(path.exists()):
            print(f"teacher {kind}: is there already, in {path}", flush=True)
        else:
            path = own
            train_teacher(catalog, path, teacher_settings, folder / f"teacher-{place}", task)
        if stored and path == own and not shared.rank():
            _store(own, stored)
        paths.append(path)
    return paths


def _store(teacher: Path, place: Path) -> None:
    """Copies a finished teacher to where later trainings look, unless it is there."""
    if place.exists():
        return
    try:
        with new_folder(place) as copy:
            shutil.copytree(teacher, copy, dirs_exist_ok=True)
    except InputError:
        if not place.exists():  # else another training has done so meanwhile
            raise


def teacher_key(catalog: Catalog, settings: TeacherSettings) -> str:
    """Names a teacher by all that it depends on: the code, its settings, its type's labels, photos and their splits.

    Another type's column is none of these, so a type added later leaves the other teachers as they are.
    """
    columns = ["image", "split", ATTRIBUTE_PREFIX + settings.type, "sha256"]
    table = catalog.table[[name for name in columns if name in catalog.table]]
    dumped = json.dumps(settings.model_dump(), sort_keys=True)
    start = sum_of(settings.weights, settings.backbone)
    digest = hashlib.sha256(f"{__version__}\n{dumped}\n{start}\n{absolute(catalog.root)}\n".encode())
    digest.update(table.to_csv(index=False).encode())
    digest.update(seen_of_photos(catalog).encode())
    return digest.hexdigest()[:24]


def _teachable(catalog: Catalog) -> Sequence[str]:
    kinds = teachable_types(catalog)
    if not kinds:
        raise InputError(f"{catalog.address}: no attr:<type> column has two labels among training photos")
    columns = [name for name in catalog.table if name.startswith(ATTRIBUTE_PREFIX)]  # an empty one too
    for kind in (name.removeprefix(ATTRIBUTE_PREFIX) for name in columns):
        if kind not in kinds:
            print(f"attr:{kind}: left out, it has fewer than two labels among training photos", flush=True)
    return kinds


def _known_type(catalog: Catalog, kind: str) -> str:
    types = attribute_types(catalog.table)
    if kind not in types and (not kind or ATTRIBUTE_PREFIX + kind not in catalog.table):
        raise InputError(
            f"--set type={kind}: {catalog.address} has no attribute type of that name (it has: "
            f"{', '.join(types) or 'none'})"
        )
    return kind
