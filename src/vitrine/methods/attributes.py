"""Attribute prediction by many teachers and one student (Shin, Semi-supervised Learning with a Teacher-student
Network for Generalized Attribute Prediction, ECCV 2020; "MTSS").

A teacher is a net for one attribute type that places photos near the embeddings of their labels. The student is one
net for all types that learns to place photos where the teachers do, so it needs no labels and learns from every photo.
Both are an `AttributeNet`; a teacher is one with a single type.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.cosine import cosines
from vitrine.blocks.pairwise_ranking import pairwise_ranking_loss
from vitrine.blocks.weighted_cosine import certainty, distillation_loss
from vitrine.catalog import Catalog
from vitrine.data.augment import augment
from vitrine.data.photo_store import PhotoStore
from vitrine.data.sampling import class_balanced, shuffled
from vitrine.errors import InputError
from vitrine.methods.inference import probabilities, run_net
from vitrine.methods.lesson import Lesson
from vitrine.methods.truth import attribute_truth, label_matrix, labels_seen, top1_accuracy
from vitrine.outcome import Question
from vitrine.settings import StudentSettings, TeacherSettings


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


def build(config: Mapping[str, Any]) -> AttributeNet:
    """The net a model folder's config describes, with fresh weights."""
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
    net: AttributeNet, catalog: Catalog, store: PhotoStore, kind: str, classes: Sequence[str], settings: TeacherSettings
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
        photos = augment(pixels.to(device, non_blocking=True), (settings.seed, epoch, step))
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


def student_lesson(
    net: AttributeNet,
    catalog: Catalog,
    store: PhotoStore,
    taught: Mapping[str, np.ndarray],
    settings: StudentSettings,
    labels: Mapping[str, Sequence[str]],
) -> Lesson[tuple[np.ndarray, Tensor]]:
    """The student: weighted cosine distillation (Eq. 4) on all training photos, annotated or not.

    Args:
        net: The student, its dictionaries already the teachers'.
        catalog: Whose photos.
        store: Those photos, decoded.
        taught: Per attribute type the teacher's embedding of every catalog row, (rows, D): see `teach`.
        settings: beta and the common ones.
        labels: The classes of each attribute type.
    """
    split = catalog.table["split"].to_numpy()
    train, validation = np.flatnonzero(split == "train"), np.flatnonzero(split == "validation")
    targets = {kind: torch.from_numpy(embeddings) for kind, embeddings in taught.items()}
    weights = {
        kind: certainty(targets[kind], dictionary.detach().cpu(), settings.beta)
        for kind, dictionary in zip(net.kinds, net.dictionaries, strict=True)
    }
    matrices = {kind: label_matrix(attribute_truth(catalog.table, kind), labels[kind]) for kind in net.kinds}
    steps = len(shuffled(train, settings.batch_size, settings.seed, 0))

    def batches(epoch: int, first_step: int) -> Iterable[tuple[np.ndarray, Tensor]]:
        return store.batches(shuffled(train, settings.batch_size, settings.seed, epoch)[first_step:])

    def loss(epoch: int, step: int, batch: tuple[np.ndarray, Tensor], device: torch.device) -> Tensor:
        rows, pixels = batch
        photos = augment(pixels.to(device, non_blocking=True), (settings.seed, epoch, step))
        _, embeddings = net.embed(photos)
        return distillation_loss(
            embeddings,
            {kind: targets[kind][rows].to(device) for kind in net.kinds},
            {kind: weights[kind][rows].to(device) for kind in net.kinds},
        )

    def score() -> float | None:
        if not len(validation):
            return None
        answers = run_net(net, store, validation)[1]
        scores = [top1_accuracy(answers[kind], matrices[kind][validation]) for kind in net.kinds]
        known = [value for value in scores if value is not None]
        return float(np.mean(known)) if known else None

    return Lesson(steps, batches, loss, score)


def teach(teacher: AttributeNet, store: PhotoStore) -> np.ndarray:
    """A teacher's embedding of every photo, read once: (rows, D) float32."""
    return run_net(teacher, store, np.arange(len(store)), embeddings=True)[1][teacher.kinds[0]]


def questions(
    config: Mapping[str, Any], scores: Mapping[str, np.ndarray], table: pd.DataFrame, temperatures: Mapping[str, float]
) -> list[Question]:
    """What the net answered, per attribute type, beside the truth."""
    asked = []
    for kind, truth, labels in tasks(config, table):
        states = probabilities(scores[kind], temperatures[kind])
        asked.append(Question(f"attr:{kind}", labels, states, states.max(axis=1), truth))
    return asked
