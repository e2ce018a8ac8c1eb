"""What a teacher, the student and BCE learn (MTSS, Sections 3.2 and 3.3, Eq. 1-4)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from vitrine.blocks.binary_cross_entropy import annotated_binary_cross_entropy
from vitrine.blocks.mixup import mixup
from vitrine.blocks.pairwise_ranking import pairwise_ranking_loss
from vitrine.blocks.weighted_cosine import certainty, distillation_loss
from vitrine.catalog import Catalog
from vitrine.data.corruptions import corrupt_some
from vitrine.data.feature_store import FeatureStore
from vitrine.data.inputs import Inputs
from vitrine.data.sampling import Mixture, class_balanced, mixed
from vitrine.data.truth import attribute_truth, label_matrix, labels_seen, top1_accuracy
from vitrine.errors import InputError
from vitrine.inference import run_net
from vitrine.settings import Settings
from vitrine.tasks.attributes.net import AttributeNet, LogisticNet
from vitrine.tasks.attributes.settings import BceSettings, StudentSettings, TeacherSettings
from vitrine.training.objective import Objective

FEWEST_STEPS = 16  # a pass from published weights: a type of few photos shows each more often (docs/results/start.md)
TeacherBatch = tuple[np.ndarray, np.ndarray]  # rows and the class each was drawn for, (n,) both


def classes_of(catalog: Catalog, kind: str) -> list[str]:
    """The labels of an attribute type among training photos, sorted.

    Raises:
        InputError: if there are fewer than two; a net cannot learn to tell one value apart.
    """
    classes = labels_seen(catalog.of_split("train").table, kind)
    if len(classes) < 2:
        what = f"one value ({classes[0]!r})" if classes else "no label"
        raise InputError(f"{catalog.address}: attr:{kind} has {what} among training photos; there is nothing to learn")
    return classes


def teacher_objective(
    net: AttributeNet, catalog: Catalog, store: Inputs, kind: str, classes: Sequence[str], settings: TeacherSettings
) -> Objective[TeacherBatch]:
    """One teacher: classes drawn evenly, pairwise focal ranking (Eq. 1-2).

    A photo with several labels is an example of each of them, and never a negative for one it carries.
    """
    matrix = label_matrix(attribute_truth(catalog.table, kind), classes)
    split = catalog.table["split"].to_numpy()
    train, validation = (
        matrix * (split == "train")[:, None],
        np.flatnonzero((split == "validation") & matrix.any(axis=1)),
    )
    rows_of_class = [np.flatnonzero(train[:, label]) for label in range(len(classes))]
    steps = _steps(int(train.any(axis=1).sum()), settings)

    def batches(epoch: int, first_step: int) -> Iterator[tuple[TeacherBatch, Tensor]]:
        drawn = class_balanced(rows_of_class, settings.batch_size, steps, settings.seed, epoch)[first_step:]
        photos = store.batches(rows for rows, _ in drawn)
        return ((batch, pixels) for batch, (_, pixels) in zip(drawn, photos, strict=True))

    def loss(epoch: int, step: int, batch: TeacherBatch, views: Sequence[Tensor], device: torch.device) -> Tensor:
        rows, labels = batch
        carries = torch.from_numpy(matrix[rows][:, labels].T.copy()).to(device)  # [i, j]: j carries i's class
        _, embeddings = net.embed(views[0])
        return pairwise_ranking_loss(
            embeddings[kind], net.dictionaries[0], torch.from_numpy(labels).to(device), carries, settings.gamma
        )

    def score() -> float | None:
        if not len(validation):
            return None
        return top1_accuracy(run_net(net, store, validation)[1][kind], matrix[validation])

    return Objective(steps, batches, loss, score, store, settings.seed, scored=f"{kind} top1")


def bce_objective(
    net: LogisticNet, catalog: Catalog, store: Inputs, labels: Mapping[str, Sequence[str]], settings: BceSettings
) -> Objective[np.ndarray]:
    """The compared system on the footing of the teachers: the same draws, steps, augmentation and choice of the epoch.

    With several types, each has its share of a batch, and an epoch has as many steps as the teacher of the type with
    the most annotated photos.
    """
    split = catalog.table["split"].to_numpy()
    matrices = {kind: label_matrix(attribute_truth(catalog.table, kind), classes) for kind, classes in labels.items()}
    train = {kind: matrix * (split == "train")[:, None] for kind, matrix in matrices.items()}
    rows_of_class = {
        kind: [np.flatnonzero(matrix[:, i]) for i in range(matrix.shape[1])] for kind, matrix in train.items()
    }
    steps = _steps(max(int(matrix.any(axis=1).sum()) for matrix in train.values()), settings)
    parts = [len(part) for part in np.array_split(np.arange(max(settings.batch_size, len(labels))), len(labels))]

    def batches(epoch: int, first_step: int) -> Iterable[tuple[np.ndarray, Tensor]]:
        drawn = [
            class_balanced(rows_of_class[kind], part, steps, settings.seed, epoch)
            for kind, part in zip(labels, parts, strict=True)
        ]
        steps_rows = [np.concatenate([rows for rows, _ in step]) for step in zip(*drawn, strict=True)]
        return store.batches(steps_rows[first_step:])

    def loss(epoch: int, step: int, rows: np.ndarray, views: Sequence[Tensor], device: torch.device) -> Tensor:
        _, scores = net(views[0])
        terms = [
            annotated_binary_cross_entropy(scores[kind], torch.from_numpy(train[kind][rows]).to(device))
            for kind in labels
        ]
        return torch.stack(terms).sum()

    def score() -> float | None:
        return _mean_top1(net, store, matrices, split)

    return Objective(steps, batches, loss, score, store, settings.seed, scored="mean top1")


def student_objective(
    net: AttributeNet,
    catalog: Catalog,
    store: Inputs,
    teacher_embeddings: Mapping[str, np.ndarray],
    settings: StudentSettings,
    labels: Mapping[str, Sequence[str]],
) -> Objective[np.ndarray]:
    """The student: weighted cosine distillation (Eq. 4) on all training photos, annotated or not.

    The student sees a photo under another view each time, or corrupted, and is to place it where the teachers place
    that view, or the photo as it is where views are made anew. Teachers know their own photos by heart and say little
    more of them than their labels; so a photo is blended with another one (`mixup`), and the blend is to lie as near
    to what the teachers say of either as it shows of it.

    Args:
        net: The student, its dictionaries already the teachers'.
        catalog: Whose photos.
        store: Those photos, decoded; then those of further catalogs, which have no rows in `catalog`.
        teacher_embeddings: By attribute type where its teacher places the photos of the store, or each copy of them,
            (photos, copies or 1, D).
        settings: beta, how photos are mixed, and the common ones.
        labels: The classes of each attribute type.
    """
    split = catalog.table["split"].to_numpy()
    train, further = np.flatnonzero(split == "train"), np.arange(len(split), len(store))
    targets = {kind: torch.from_numpy(embeddings) for kind, embeddings in teacher_embeddings.items()}
    matrices = {kind: label_matrix(attribute_truth(catalog.table, kind), labels[kind]) for kind in net.kinds}
    annotated = [train[matrices[kind][train].any(axis=1)] for kind in net.kinds]
    shares = (settings.labelled, settings.unlabelled_share, settings.corrupted)

    def mixture(epoch: int) -> list[Mixture]:
        return mixed(train, annotated, further, shares, settings.views, settings.batch_size, settings.seed, epoch)

    def batches(epoch: int, first_step: int) -> Iterator[tuple[np.ndarray, Tensor]]:
        drawn = mixture(epoch)[first_step:]
        for part, (rows, pixels) in zip(drawn, store.batches(part.rows for part in drawn), strict=True):
            yield rows, corrupt_some(pixels, part.corrupted, part.draws)

    def loss(epoch: int, step: int, rows: np.ndarray, views: Sequence[Tensor], device: torch.device) -> Tensor:
        drawn_by = (settings.seed, epoch, step)  # as `Objective.at` draws the first view
        copies = store.copies_drawn(len(rows), drawn_by) if isinstance(store, FeatureStore) else np.zeros_like(rows)
        blends, partners, share = mixup(views[0], settings.mixup, drawn_by)
        _, embeddings = net.embed(blends)

        taught = {kind: targets[kind][rows, _places(copies, targets[kind])].to(device).float() for kind in net.kinds}
        weights = {
            kind: certainty(taught[kind], dictionary, settings.beta)
            for kind, dictionary in zip(net.kinds, net.dictionaries, strict=True)
        }
        apart = distillation_loss(embeddings, taught, weights)
        apart_from_partners = distillation_loss(
            embeddings,
            {kind: taught[kind][partners] for kind in net.kinds},
            {kind: weights[kind][partners] for kind in net.kinds},
        )
        return share * apart + (1 - share) * apart_from_partners

    score = partial(_mean_top1, net, store, matrices, split)
    return Objective(len(mixture(0)), batches, loss, score, store, settings.seed, scored="mean top1")


def _places(copies: np.ndarray, targets: Tensor) -> np.ndarray:
    """Where the embeddings of copies, counted from 1, stand; of a teacher that saw none, that of the photo."""
    return copies - 1 if targets.shape[1] > 1 else np.zeros_like(copies)


def _steps(photos: int, settings: Settings) -> int:
    """Of a pass over some annotated photos."""
    return max(1 if settings.trunk == "scratch" else FEWEST_STEPS, photos // settings.batch_size)


def _mean_top1(net: nn.Module, store: Inputs, matrices: Mapping[str, np.ndarray], split: np.ndarray) -> float | None:
    """The mean over types of the accuracy on the validation photos; None if none of them is annotated."""
    validation = np.flatnonzero(split == "validation")
    if not len(validation):
        return None
    logits = run_net(net, store, validation)[1]
    scores = [top1_accuracy(logits[kind], matrix[validation]) for kind, matrix in matrices.items()]
    measured = [value for value in scores if value is not None]
    return float(np.mean(measured)) if measured else None
