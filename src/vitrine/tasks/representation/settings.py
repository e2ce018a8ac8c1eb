"""Settings of fine-grained representation."""

from pydantic import Field

from vitrine.settings import Settings


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
