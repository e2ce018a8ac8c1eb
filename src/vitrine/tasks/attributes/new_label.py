"""A new class from a few photos, without training: one more label embedding (MTSS, Section 2, "Label Embedding").

A class is predicted by the label embedding nearest to the photo's. So a class the net was never taught is added by
placing its d at the centre of the cluster that a few photos of it form, which leaves all else as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitrine import files
from vitrine.blocks.cosine import cosines
from vitrine.data.photo_store import PhotoStore
from vitrine.errors import InputError, did_you_mean
from vitrine.inference import run_net
from vitrine.model import save_model
from vitrine.tasks.attributes.net import AttributeNet
from vitrine.tasks.task import Load


@dataclass(frozen=True)
class Addition:
    """What a label was added from, and what can be told from its photos alone.

    Attributes:
        photos: How many there were.
        recognised: How many of them are nearest to the centre of the *others*; None of a single photo.
        nearest: The known label whose embedding is closest to the new one,
        cosine: and how close.
    """

    photos: int
    recognised: int | None
    nearest: str
    cosine: float

    def __str__(self) -> str:
        alone = "" if self.recognised is None else f"; {self.recognised} are recognised by the others alone"
        return (
            f"from {self.photos} photo{'s' * (self.photos > 1)}{alone}; nearest known label: {self.nearest} "
            f"(cosine {self.cosine:.2f})"
        )


def add_label(model: Path, out: Path, kind: str, label: str, images: Sequence[str], load: Load) -> Addition:
    """Writes a copy of a teacher's or student's model folder that can predict one label more.

    Args:
        model: The model folder.
        out: A new folder.
        kind: The attribute type, one of the model's.
        label: The new label.
        images: Paths or s3:// URIs of photos that show it.
        load: Of the task.

    Raises:
        InputError: if the model has no label embeddings, does not know the type, knows the label already, or a photo
            cannot be read.
    """
    net, config = load(model)
    if not isinstance(net, AttributeNet):
        raise InputError(f"{model}: a model of {config['task']}/{config['variant']} has no label embeddings to add to")
    if kind not in net.kinds:
        raise InputError(f"--type {kind}: {model} has no such type; {did_you_mean(kind, net.kinds, 'it has')}")
    labels = list(config["labels"][kind])
    label = label.strip()
    if not label or "|" in label:
        raise InputError(f"--label {label!r}: a word or several, without |")
    if label in labels:
        raise InputError(f"--label {label}: {model} knows that label of {kind} already")
    store = PhotoStore([str(image) for image in images], config["image_size"])
    embedded = torch.from_numpy(run_net(net, store, np.arange(len(store)), embeddings=True)[1][kind])
    place = net.kinds.index(kind)
    dictionary = net.dictionaries[place].detach().cpu()
    centre = centre_of(embedded) * dictionary.norm(dim=1).mean()  # as long as the others, though only directions count
    net.dictionaries[place] = nn.Parameter(torch.cat([dictionary, centre.unsqueeze(0)]), requires_grad=False)
    closeness = cosines(centre.unsqueeze(0), dictionary)[0]
    closest = int(closeness.argmax())
    added = Addition(len(store), recognised(embedded, dictionary), labels[closest], float(closeness[closest]))
    config["labels"][kind] = [*labels, label]
    if prior := config.get("priors", {}).get(kind):
        prior.append(float(np.mean(prior)))  # how often the new label comes, nobody has said
    config["added_labels"] = [*config.get("added_labels", []), {"type": kind, "label": label, "photos": len(store)}]
    metrics = files.read_json(Path(model) / "metrics.json")
    notes = "".join(
        f"- `{one['label']}` of `{one['type']}`, from {one['photos']} photos\n" for one in config["added_labels"]
    )
    save_model(out, net, config, metrics, f"## Labels added later\n\nThe results above are from before.\n\n{notes}")
    return added


def centre_of(embedded: Tensor) -> Tensor:
    """The direction in which a cluster lies: the mean of its unit vectors, a unit vector itself; (n, D) to (D,)."""
    return F.normalize(F.normalize(embedded, dim=1).mean(dim=0), dim=0)


def recognised(embedded: Tensor, dictionary: Tensor) -> int | None:
    """How many photos (n, D) are nearer to the centre of the others than to any d (classes, D); None of one photo."""
    if len(embedded) < 2:
        return None
    others = torch.ones(len(embedded), dtype=torch.bool)
    count = 0
    for i, embedding in enumerate(embedded):
        others[i] = False
        candidates = torch.cat([dictionary, centre_of(embedded[others]).unsqueeze(0)])
        count += int(cosines(embedding.unsqueeze(0), candidates).argmax()) == len(dictionary)
        others[i] = True
    return count
