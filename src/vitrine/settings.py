"""Training settings: frozen, typed, with defaults that work on a laptop; a run overlays some with `--set k=v`."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from vitrine.errors import InputError, nearest
from vitrine.words import comma_separated

Trunk = Literal["auto", "frozen", "upper", "tuned", "scratch"]


def _parts(value: object) -> object:
    return comma_separated(value) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_parts)]  # written a,b
Numbers = Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(_parts)]  # written 0,0.5


class Recipe(NamedTuple):
    """Passes, AdamW's peak learning rate of the heads, and the trunk's share of it."""

    epochs: int
    learning_rate: float
    trunk_rate: float


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

    @property
    def makes_photos_anew(self) -> bool:
        """Whether each pass changes photos in ways that cannot be kept, so that a net must see pixels."""
        return False

    def by_start(self, from_nothing: bool) -> dict[str, object]:
        """What 0 means of settings that depend on what training starts from."""
        return {}


AnySettings = TypeVar("AnySettings", bound=Settings)


def parse_settings(kind: type[AnySettings], overrides: Iterable[str]) -> AnySettings:
    """Settings from `key=value` strings.

    Raises:
        InputError: for an unknown key (naming the nearest known one) or an unusable value.
    """
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    names = list(fields)
    values: dict[str, Any] = {}
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            raise InputError(f"--set {override!r}: reads key=value")
        if key not in names:
            meant = nearest(key, names)
            question = f"; did you mean {meant}? ({fields[meant].description}; " if meant else " ("
            raise InputError(f"--set {key!r}: unknown key{question}known: {', '.join(names)})")
        values[key] = value
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"--set {key}={first['input']!r}: {message}" if key else f"--set: {message}") from error
