"""Attribute prediction by many teachers and one student (Shin, Semi-supervised Learning with a Teacher-student
Network for Generalized Attribute Prediction, ECCV 2020; "MTSS").

A teacher is a net for one attribute type that places photos near the embeddings of their labels. The student is one
net for all types that learns to place photos where the teachers do, so it needs no labels and learns from every photo.
Both are an `AttributeNet`; a teacher is one with a single type. `LogisticNet` is the system they are compared with.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.binary_cross_entropy import annotated_cross_entropy
from vitrine.blocks.cosine import cosines
from vitrine.blocks.pairwise_ranking import pairwise_ranking_loss
from vitrine.blocks.weighted_cosine import certainty, distillation_loss
from vitrine.catalog import Catalog
from vitrine.data.corruptions import corrupt_some
from vitrine.data.inputs import Inputs
from vitrine.data.sampling import Mixture, class_balanced, mixed
from vitrine.errors import InputError
from vitrine.methods.inference import probabilities, run_net
from vitrine.methods.lesson import Lesson
from vitrine.methods.truth import attribute_truth, label_matrix, labels_seen, top1_accuracy
from vitrine.outcome import Question
from vitrine.settings import BceSettings, StudentSettings, TeacherSettings


class AttributeNet(nn.Module):
    """A shared trunk, a linear branch per attribute type into its embedding space, a dictionary of label embeddings.

    Args:
        backbone: See `build_backbone`.
        image_size: Edge of the photos, pixels.
        labels: The classes of each attribute type.
        embedding_dim: D.
        weights: See `build_backbone`.
    """

    def __init__(
        self,
        backbone: str,
        image_size: int,
        labels: Mapping[str, Sequence[str]],
        embedding_dim: int,
        weights: str = "none",
    ) -> None:
        super().__init__()
        self.kinds = tuple(labels)
        self.trunk, (channels, _, _) = build_backbone(backbone, image_size, weights)
        self.branches = nn.ModuleList([nn.Linear(channels, embedding_dim) for _ in labels])
        self.dictionaries = nn.ParameterList(
            [nn.Parameter(torch.randn(len(own), embedding_dim) * embedding_dim**-0.5) for own in labels.values()]
        )

    def embed(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised photos (n, 3, h, w) to pooled features (n, channels) and e per type, (n, D)."""
        features = self.trunk(photos).mean(dim=(2, 3))
        return features, {kind: branch(features) for kind, branch in zip(self.kinds, self.branches, strict=True)}

    def forward(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Pooled features (n, channels) and, per type, cosines to its label embeddings (n, classes) (Section 3.4)."""
        features, embeddings = self.embed(photos)
        return features, {
            kind: cosines(embeddings[kind], dictionary)
            for kind, dictionary in zip(self.kinds, self.dictionaries, strict=True)
        }


class LogisticNet(nn.Module):
    """A shared trunk and, per attribute type, a logistic output for each of its labels ("BCE" in Table 3).

    Args:
        backbone: See `build_backbone`.
        image_size: Edge of the photos, pixels.
        labels: The classes of each attribute type.
        weights: See `build_backbone`.
    """

    def __init__(
        self, backbone: str, image_size: int, labels: Mapping[str, Sequence[str]], weights: str = "none"
    ) -> None:
        super().__init__()
        self.kinds = tuple(labels)
        self.trunk, (channels, _, _) = build_backbone(backbone, image_size, weights)
        self.outputs = nn.ModuleList([nn.Linear(channels, len(own)) for own in labels.values()])

    def forward(self, photos: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised photos (n, 3, h, w) to pooled features (n, channels) and, per type, logits (n, classes)."""
        features = self.trunk(photos).mean(dim=(2, 3))
        return features, {kind: output(features) for kind, output in zip(self.kinds, self.outputs, strict=True)}


def build(config: Mapping[str, Any]) -> AttributeNet | LogisticNet:
    """The net a model folder's config describes, with fresh weights."""
    if config["variant"] == "bce":
        return LogisticNet(config["backbone"], config["image_size"], config["labels"])
    return AttributeNet(config["backbone"], config["image_size"], config["labels"], config["embedding_dim"])


def classes_of(catalog: Catalog, kind: str) -> list[str]:
    """The labels of an attribute type among training photos, sorted.

    Raises:
        InputError: if there are fewer than two; a net cannot learn to tell one value apart.
    """
    found = labels_seen(catalog.of_split("train").table, kind)
    if len(found) < 2:
        what = f"one value ({found[0]!r})" if found else "no label"
        raise InputError(f"{catalog.root}: attr:{kind} has {what} among training photos; there is nothing to learn")
    return found


def tasks(config: Mapping[str, Any], table: pd.DataFrame) -> list[tuple[str, list[list[str]], Sequence[str]]]:
    """Each attribute type of the net: its name, the true labels of every row, the labels it can answer."""
    return [(kind, attribute_truth(table, kind), labels) for kind, labels in config["labels"].items()]


def teacher_lesson(
    net: AttributeNet, catalog: Catalog, store: Inputs, kind: str, classes: Sequence[str], settings: TeacherSettings
) -> Lesson[tuple[np.ndarray, np.ndarray, Tensor]]:
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
    steps = max(1, int(train.any(axis=1).sum()) // settings.batch_size)

    def batches(epoch: int, first_step: int) -> Iterator[tuple[np.ndarray, np.ndarray, Tensor]]:
        drawn = class_balanced(rows_of_class, settings.batch_size, steps, settings.seed, epoch)[first_step:]
        photos = store.batches(rows for rows, _ in drawn)
        return ((rows, labels, pixels) for (rows, labels), (_, pixels) in zip(drawn, photos, strict=True))

    def loss(epoch: int, step: int, batch: tuple[np.ndarray, np.ndarray, Tensor], device: torch.device) -> Tensor:
        rows, labels, pixels = batch
        photos = store.augmented(pixels, device, (settings.seed, epoch, step))
        carries = torch.from_numpy(matrix[rows][:, labels].T.copy()).to(device)  # [i, j]: j carries i's class
        _, embeddings = net.embed(photos)
        return pairwise_ranking_loss(
            embeddings[kind], net.dictionaries[0], torch.from_numpy(labels).to(device), carries, settings.gamma
        )

    def score() -> float | None:
        if not len(validation):
            return None
        return top1_accuracy(run_net(net, store, validation)[1][kind], matrix[validation])

    return Lesson(steps, batches, loss, score)


def bce_lesson(
    net: LogisticNet, catalog: Catalog, store: Inputs, labels: Mapping[str, Sequence[str]], settings: BceSettings
) -> Lesson[tuple[np.ndarray, Tensor]]:
    """The compared system on the footing of the teachers: the same draws, steps, augmentation and choice of the epoch.

    With several types, each has its share of a batch, and an epoch has as many steps as the teacher of the type with
    the most annotated photos.
    """
    split = catalog.table["split"].to_numpy()
    matrices = {kind: label_matrix(attribute_truth(catalog.table, kind), own) for kind, own in labels.items()}
    train = {kind: matrix * (split == "train")[:, None] for kind, matrix in matrices.items()}
    rows_of_class = {kind: [np.flatnonzero(own[:, i]) for i in range(own.shape[1])] for kind, own in train.items()}
    steps = max(1, max(int(own.any(axis=1).sum()) for own in train.values()) // settings.batch_size)
    parts = [len(part) for part in np.array_split(np.arange(max(settings.batch_size, len(labels))), len(labels))]

    def batches(epoch: int, first_step: int) -> Iterable[tuple[np.ndarray, Tensor]]:
        drawn = [
            class_balanced(rows_of_class[kind], part, steps, settings.seed, epoch)
            for kind, part in zip(labels, parts, strict=True)
        ]
        steps_rows = [np.concatenate([rows for rows, _ in step]) for step in zip(*drawn, strict=True)]
        return store.batches(steps_rows[first_step:])

    def loss(epoch: int, step: int, batch: tuple[np.ndarray, Tensor], device: torch.device) -> Tensor:
        rows, pixels = batch
        photos = store.augmented(pixels, device, (settings.seed, epoch, step))
        _, scores = net(photos)
        terms = [
            annotated_cross_entropy(scores[kind], torch.from_numpy(train[kind][rows]).to(device)) for kind in labels
        ]
        return torch.stack(terms).sum()

    return Lesson(steps, batches, loss, lambda: _mean_top1(net, store, matrices, split))


def student_lesson(
    net: AttributeNet,
    catalog: Catalog,
    store: Inputs,
    taught: Mapping[str, np.ndarray],
    settings: StudentSettings,
    labels: Mapping[str, Sequence[str]],
) -> Lesson[tuple[np.ndarray, Tensor]]:
    """The student: weighted cosine distillation (Eq. 4) on all training photos, annotated or not.

    What a teacher is asked about a photo is how it places the photo as it is. The student sees it under another view
    each time, or corrupted, and is to place that alike.

    Args:
        net: The student, its dictionaries already the teachers'.
        catalog: Whose photos.
        store: Those photos, decoded; then those of further catalogs, which have no rows in `catalog`.
        taught: Per attribute type the teacher's embedding of every photo of the store, (photos, D): see `teachings`.
        settings: beta, how photos are mixed, and the common ones.
        labels: The classes of each attribute type.
    """
    split = catalog.table["split"].to_numpy()
    train, further = np.flatnonzero(split == "train"), np.arange(len(split), len(store))
    targets = {kind: torch.from_numpy(embeddings) for kind, embeddings in taught.items()}
    weights = {
        kind: certainty(targets[kind], dictionary.detach().cpu(), settings.beta)
        for kind, dictionary in zip(net.kinds, net.dictionaries, strict=True)
    }
    matrices = {kind: label_matrix(attribute_truth(catalog.table, kind), labels[kind]) for kind in net.kinds}
    annotated = [train[matrices[kind][train].any(axis=1)] for kind in net.kinds]
    shares = (settings.labelled, settings.unlabelled_share, settings.corrupted)

    def mixture(epoch: int) -> list[Mixture]:
        return mixed(train, annotated, further, shares, settings.views, settings.batch_size, settings.seed, epoch)

    def batches(epoch: int, first_step: int) -> Iterator[tuple[np.ndarray, Tensor]]:
        drawn = mixture(epoch)[first_step:]
        for part, (rows, pixels) in zip(drawn, store.batches(part.rows for part in drawn), strict=True):
            yield rows, corrupt_some(pixels, part.corrupted, part.draws)

    def loss(epoch: int, step: int, batch: tuple[np.ndarray, Tensor], device: torch.device) -> Tensor:
        rows, pixels = batch
        photos = store.augmented(pixels, device, (settings.seed, epoch, step))
        _, embeddings = net.embed(photos)
        return distillation_loss(
            embeddings,
            {kind: targets[kind][rows].to(device) for kind in net.kinds},
            {kind: weights[kind][rows].to(device) for kind in net.kinds},
        )

    return Lesson(len(mixture(0)), batches, loss, lambda: _mean_top1(net, store, matrices, split))


def _mean_top1(net: nn.Module, store: Inputs, matrices: Mapping[str, np.ndarray], split: np.ndarray) -> float | None:
    """The mean over types of the accuracy on the validation photos; None if none of them is annotated."""
    validation = np.flatnonzero(split == "validation")
    if not len(validation):
        return None
    answers = run_net(net, store, validation)[1]
    scores = [top1_accuracy(answers[kind], matrix[validation]) for kind, matrix in matrices.items()]
    known = [value for value in scores if value is not None]
    return float(np.mean(known)) if known else None


def questions(
    config: Mapping[str, Any], scores: Mapping[str, np.ndarray], table: pd.DataFrame, temperatures: Mapping[str, float]
) -> list[Question]:
    """What the net answered, per attribute type, beside the truth."""
    asked = []
    for kind, truth, labels in tasks(config, table):
        prior = np.asarray(config.get("priors", {}).get(kind, 0.0))
        states = probabilities(scores[kind], temperatures[kind], prior)
        asked.append(Question(f"attr:{kind}", labels, states, states.max(axis=1), truth))
    return asked
