"""Training settings: frozen, typed, with defaults that work on a laptop; a run overlays some with `--set k=v`."""

import difflib
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vitrine.errors import InputError

Trunk = Literal["auto", "frozen", "upper", "tuned", "scratch"]


class Settings(BaseModel):
    """What every task knows. Image size is in pixels, learning rate that of AdamW at its peak."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(0, ge=0, description="passes over the training photos; 0 = as many as the trunk's start asks")
    batch_size: int = Field(64, ge=2, description="photos per step")
    image_size: int = Field(0, ge=0, le=1024, description="pixels of the square the net sees; 0 = what suits the net")
    backbone: str = Field("auto", description="a torchvision net, timm:NAME, or auto: a small one where no GPU is")
    weights: str = Field(
        "auto", description="auto = published ones, none, or a file, s3:// or https:// address[#sha256=...]"
    )
    trunk: Trunk = Field("auto", description="what is trained beside the heads: nothing, the upper half, all of it")
    copies: int = Field(4, ge=0, description="frozen, upper: ways in which each photo is augmented")
    learning_rate: float = Field(0.0, ge=0, description="AdamW's peak, of the heads; 0 = what the trunk's start asks")
    trunk_rate: float = Field(0.0, ge=0, le=1, description="the trunk's share of learning_rate; 0 = by its start")
    head_epochs: int = Field(0, ge=0, description="upper, tuned: passes of the heads alone, on kept maps, before")
    weight_decay: float = Field(0.05, ge=0, description="AdamW's weight decay (not on norms and biases)")
    seed: int = Field(0, ge=0, lt=2**32, description="of weights, order and augmentation")
    workers: int = Field(0, ge=0, description="threads that decode photos; 0 = one per core")
    precision: Literal["auto", "32", "bf16"] = Field("auto", description="auto = bf16 where the machine gains")

    @field_validator("image_size")
    @classmethod
    def _large_enough(cls, size: int) -> int:
        if 0 < size < 16:
            raise ValueError("is 0, or from 16 pixels on")
        return size


class TeacherSettings(Settings):
    """One MTSS teacher (attributes paper, Section 3.2)."""

    type: str = Field("", description="the attribute type to teach, e.g. colour")
    embedding_dim: int = Field(256, ge=2, description="D of the label embeddings")
    gamma: float = Field(1.0, ge=0, description="focal exponent of Eq. 2")
    prior: bool = Field(False, description="answer labels as often as they come, not as if all came equally often")
    gammas: str = Field("", description="try these on the validation photos and keep the best, e.g. 0,0.5,1,2,3")
    gamma_epochs: int = Field(0, ge=0, description="passes each of gammas is tried for; 0 = a third of epochs")

    @field_validator("gammas")
    @classmethod
    def _numbers(cls, text: str) -> str:
        try:
            usable = all(0 <= value < float("inf") for value in numbers(text))
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("reads like 0,0.5,1,2,3")
        return text


class BceSettings(Settings):
    """The compared system: a logistic output per label (attributes paper, Section 4.2)."""

    type: str = Field("", description="the attribute type to learn; empty = all of them, in one net")
    prior: bool = Field(False, description="answer labels as often as they come, not as if all came equally often")


class StudentSettings(TeacherSettings):
    """The MTSS student (attributes paper, Section 3.3), and the teachers it trains where none are given."""

    type: str = Field("", description="train only this type's teacher and its student; empty = all types")
    teachers: str = Field("", description="teachers' model folders, comma separated; empty = train them first")
    teacher_store: str = Field("", description="folder where finished teachers are kept, and found by a later training")
    beta: float = Field(1.0, ge=0, description="exponent of the certainty weight in Eq. 4")
    views: int = Field(
        0, ge=0, description="how often an epoch shows each photo, augmented; 0 = 3 from nothing, else 1"
    )
    speed: float = Field(
        0.0, ge=0, description="the student's learning rate over learning_rate; 0 = 3 from nothing, else 1"
    )
    labelled: float = Field(0.0, ge=0, lt=1, description="share of photos drawn evenly over the types annotated for")
    unlabelled: str = Field("", description="further catalogs, comma separated, whose photos the student learns from")
    unlabelled_share: float = Field(0.25, ge=0, lt=1, description="share of photos drawn from these catalogs")
    corrupted: float = Field(0.0, ge=0, lt=1, description="share of photos that are corrupted (15 kinds, 5 severities)")

    @model_validator(mode="after")
    def _some_photos_are_left(self) -> "StudentSettings":
        if self.labelled + (self.unlabelled_share if self.unlabelled else 0) + self.corrupted >= 1:
            raise ValueError("labelled, unlabelled_share and corrupted must leave some share to the catalog's photos")
        return self


class TaxonomySettings(Settings):
    """The systems of the taxonomy paper (Section 4.2)."""

    level: int = Field(0, ge=0, description="learn only the first levels of category, this many; 0 = all")
    hidden: int = Field(256, ge=2, description="nodes of the public fully connected layer")
    salient_stage: int = Field(0, ge=0, description="ss...: the module sits this many stages before the trunk's last")
    attributes: str = Field("", description="the attribute types to learn, comma separated; empty = all there are")
    attribute_weight: float = Field(1.0, ge=0, description="scales the attributes' task weights (Eq. 5, 7)")
    level_weight: float = Field(1.0, ge=0, description="scales the coarser levels' task weights (Eq. 5)")
    task_weights: str = Field("", description="single task weights, e.g. level1=0.1,attr:colour=0.5")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the even distribution in the leaves' labels")
    logit_adjustment: float = Field(0.0, ge=0, description="tau: 1 = learn as if all leaves were equally common")
    balance: bool = Field(False, description="make up for common leaves as far as it costs at most 1 point of top1")
    start: str = Field("", description="an earlier model folder to go on from, with other leaves or labels")
    nets: str = Field("", description="mcr: finished nets, one per level, coarse to fine; empty = train them first")
    related: int = Field(3, ge=1, description="mcr: K, the categories of the same level in R_c (Eq. 4)")
    mcr_lambda: float = Field(0.0, ge=0, description="mcr: lambda of Eq. 3; 0 = chosen by cross-validation")


class BalancedTaxonomySettings(TaxonomySettings):
    """ssmtl-ca, the default: chosen for how well it answers about every leaf, rare ones included."""

    balance: bool = Field(True, description="make up for common leaves as far as it costs at most 1 point of top1")


class ModernTaxonomySettings(TaxonomySettings):
    """The taxonomy nets with what is customary today."""

    label_smoothing: float = Field(0.1, ge=0, lt=1, description="share of the even distribution in the leaves' labels")
    logit_adjustment: float = Field(1.0, ge=0, description="tau: 1 = learn as if all leaves were equally common")


class RepresentationSettings(Settings):
    """Base-Indi and what it is compared with (representation paper, Eq. 1-5)."""

    level: int = Field(0, ge=0, description="levels of the category to learn from; 0 = all but the deepest")
    lambda_: float = Field(0.3, ge=0, alias="lambda", description="weight of the instance term (Eq. 4, 5)")
    temperature: float = Field(0.1, gt=0, description="of the instance softmax over unit vectors")
    negatives: int = Field(0, ge=0, description="photos drawn from a larger super-class a step; 0 = all of it")


class MaskConSettings(RepresentationSettings):
    """MaskCon, a successor of Base-Indi; `lambda` and `negatives` are not for it."""

    queue: int = Field(4096, ge=1, description="earlier photos that each one is compared with")
    momentum: float = Field(0.99, ge=0, lt=1, description="how slowly the second net follows the trained one")
    soft_temperature: float = Field(0.05, gt=0, description="of the labels shared with similar photos")
    soft_share: float = Field(0.8, ge=0, le=1, description="w: how much of a photo's label is shared so")


class MatchingSettings(Settings):
    """The siamese nets and what they are compared with (matching paper, Sections 3 and 4.1.2)."""

    epochs: int = Field(0, ge=0, description="passes over the training user photos, each with its pairs; 0 = by start")
    identity: str = Field("", description="column that says what is the same; empty = product, else item")
    background: str = Field("", description="labelled catalogs for the softmax, comma separated; empty = the own one")
    pretraining: int = Field(10, ge=0, description="passes over the background set before, where weights=none")
    pairs: str = Field("1:1:4", description="positive : hard negative : background negative pairs, the first 1")
    margin: float = Field(0.0, ge=0, description="m of the losses, in units of the features; 0 = from the data")
    margin_scale: float = Field(1.0, gt=0, description="m over the median distance of photos of different things")
    softmax_weight: float = Field(0.1, ge=0, description="of the softmax loss beside that of pairs, in units of m²")
    hard: int = Field(10, ge=1, description="nearest false answers that hard negatives are drawn from")
    refresh: int = Field(1, ge=1, description="passes after which hard negatives are looked for anew")
    stop_at: int = Field(20, ge=1, description="k of the validation top-k that chooses the pass to keep")
    patience: int = Field(5, ge=0, description="passes without a better one that end the training; 0 = none do")
    hidden: int = Field(512, ge=2, description="nodes of ft-similarity's first layer")

    @field_validator("pairs")
    @classmethod
    def _ratio(cls, text: str) -> str:
        parts = text.split(":")
        if len(parts) != 3 or not all(part.isdigit() for part in parts) or parts[0] != "1" or parts[1:] == ["0", "0"]:
            raise ValueError("reads like 1:1:4")
        return text

    def pair_ratio(self) -> tuple[int, int, int]:
        """`pairs` as numbers."""
        one, hard, far = (int(part) for part in self.pairs.split(":"))
        return one, hard, far


class AuthenticitySettings(Settings):
    """SSA and the systems it is compared with (authenticity paper, Sections 3.2 and 5.1)."""

    lambda_: float = Field(0.1, ge=0, alias="lambda", description="weight of ssa's prototypical term (Eq. 2)")
    temperature: float = Field(0.1, gt=0, description="of the prototypical softmax over unit vectors (Eq. 3)")
    window: int = Field(256, ge=0, description="earlier listings that prototypes are made of beside the batch")
    undecided_weight: float = Field(1.0, ge=0, description="of undecided listings, as 0.5, in the compared systems")
    attention: int = Field(128, ge=1, description="nodes of the attention's hidden layer (Eq. 1)")
    hidden: int = Field(128, ge=2, description="nodes of the compared systems' own layers")
    tolerance: float = Field(
        1e-5, ge=0, description="training ends when the objective moves less in three epochs running"
    )
    accept_counterfeit: float = Field(10.0, gt=0, description="cost of calling a counterfeit listing authentic")
    refuse_authentic: float = Field(5.0, gt=0, description="cost of calling an authentic listing counterfeit")
    ask: float = Field(1.0, gt=0, description="cost of asking an expert")


def numbers(text: str) -> list[float]:
    """The numbers of a comma-separated list."""
    return [float(part) for part in text.split(",") if part.strip()]


AnySettings = TypeVar("AnySettings", bound=Settings)


def parse_settings(kind: type[AnySettings], overrides: Iterable[str]) -> AnySettings:
    """Settings from `key=value` strings.

    Raises:
        InputError: for an unknown key (naming the nearest known one) or an unusable value.
    """
    known = [field.alias or name for name, field in kind.model_fields.items()]
    values: dict[str, Any] = {}
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            raise InputError(f"--set {override!r}: reads key=value")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise InputError(f"--set {key!r}: unknown key; did you mean {near[0]}? (known: {', '.join(known)})")
        values[key] = value
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"--set {key}={first['input']!r}: {message}" if key else f"--set: {message}") from error
