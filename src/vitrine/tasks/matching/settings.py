"""Settings of matching."""

from pydantic import Field, field_validator

from vitrine.settings import Settings, Words


class MatchingSettings(Settings):
    """The siamese nets and what they are compared with (matching paper, Sections 3 and 4.1.2)."""

    epochs: int = Field(0, ge=0, description="passes over the training user photos, each with its pairs; 0 = by start")
    identity: str = Field("", description="column that names the product; empty = product, else item")
    background: Words = Field((), description="labelled catalogs for the softmax, comma separated; empty = the own one")
    pretraining: int = Field(10, ge=0, description="passes over the background set before, where weights=none")
    pairs: str = Field("1:1:4", description="positive : hard negative : background negative pairs, the first 1")
    margin: float = Field(0.0, ge=0, description="in units of the features; 0 = by the non-matching pairs")
    margin_scale: float = Field(1.0, gt=0, description="margin over the median distance of non-matching pairs")
    softmax_weight: float = Field(0.1, ge=0, description="of the softmax loss beside that of pairs, in units of m²")
    hard: int = Field(10, ge=1, description="nearest false positives that hard negatives are drawn from")
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
