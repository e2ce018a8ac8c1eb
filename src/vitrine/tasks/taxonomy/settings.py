"""Settings of the taxonomy nets."""

from pydantic import Field, model_validator

from vitrine.settings import Settings, Words

BALANCED = ("ssmtl-ca",)  # the default, whose rare leaves are to count as much as common ones
MODERN = ("modern", "modern-mtl")  # learn with label smoothing and logit adjustment


class TaxonomySettings(Settings):
    """The systems of the taxonomy paper (Section 4.2)."""

    level: int = Field(0, ge=0, description="learn only the first levels of category, this many; 0 = all")
    hidden: int = Field(256, ge=2, description="nodes of the public fully connected layer")
    salient_stage: int = Field(0, ge=0, description="ss...: the module sits this many stages before the trunk's last")
    attributes: Words = Field((), description="the attribute types to learn, comma separated; empty = all there are")
    attribute_weight: float = Field(1.0, ge=0, description="scales the attributes' task weights (Eq. 5, 7)")
    level_weight: float = Field(1.0, ge=0, description="scales the coarser levels' task weights (Eq. 5)")
    task_weights: Words = Field((), description="single task weights, e.g. level1=0.1,attr:colour=0.5")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the even distribution in the leaves' labels")
    logit_adjustment: float = Field(0.0, ge=0, description="tau: 1 = learn as if all leaves were equally common")
    views: int = Field(1, ge=1, description="how often an epoch shows each photo, augmented")
    mixup: float = Field(0.0, ge=0, description="photos are blended by shares of Beta(mixup, mixup); 0 = not")
    balance: bool = Field(False, description="make up for common leaves as far as it costs at most 1 point of top1")
    start: str = Field("", description="an earlier model folder to go on from, with other leaves or labels")
    nets: Words = Field((), description="mcr: finished nets, one per level, coarse to fine; empty = train them first")
    related: int = Field(3, ge=1, description="mcr: K, the categories of the same level in R_c (Eq. 4)")
    mcr_lambda: float = Field(0.0, ge=0, description="mcr: lambda of Eq. 3; 0 = chosen by cross-validation")

    @model_validator(mode="after")
    def _trunk_as_a_whole_or_not(self) -> "TaxonomySettings":
        if self.salient_stage and (self.trunk == "frozen" or self.head_epochs):
            alone = "trunk=frozen" if self.trunk == "frozen" else "head_epochs"
            raise ValueError(
                f"salient_stage={self.salient_stage} teaches the trunk's last layers, {alone} the heads alone"
            )
        return self


class BalancedTaxonomySettings(TaxonomySettings):
    """ssmtl-ca, the default: chosen for its accuracy on every leaf, rare ones included."""

    views: int = Field(2, ge=1, description="how often an epoch shows each photo, augmented")
    mixup: float = Field(1.0, ge=0, description="photos are blended by shares of Beta(mixup, mixup); 0 = not")
    balance: bool = Field(True, description="make up for common leaves as far as it costs at most 1 point of top1")


class ModernTaxonomySettings(TaxonomySettings):
    """The taxonomy nets with what is customary today."""

    label_smoothing: float = Field(0.1, ge=0, lt=1, description="share of the even distribution in the leaves' labels")
    logit_adjustment: float = Field(1.0, ge=0, description="tau: 1 = learn as if all leaves were equally common")
