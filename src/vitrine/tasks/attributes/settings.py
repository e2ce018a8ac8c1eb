"""Settings of attribute prediction."""

from pydantic import Field, model_validator

from vitrine.settings import Numbers, Settings, Words


class TeacherSettings(Settings):
    """One MTSS teacher (attributes paper, Section 3.2)."""

    type: str = Field("", description="the attribute type to teach, e.g. colour")
    embedding_dim: int = Field(256, ge=2, description="D of the label embeddings")
    gamma: float = Field(1.0, ge=0, description="focal exponent of Eq. 2")
    prior: bool = Field(True, description="apply the training class prior to the logits (off: uniform prior)")
    gammas: Numbers = Field((), description="try these on the validation photos and keep the best, e.g. 0,0.5,1,2,3")
    gamma_epochs: int = Field(0, ge=0, description="passes each of gammas is tried for; 0 = a third of epochs")


class BceSettings(Settings):
    """The compared system: a logistic output per label (attributes paper, Section 4.2)."""

    type: str = Field("", description="the attribute type to learn; empty = all of them, in one net")
    prior: bool = Field(True, description="apply the training class prior to the logits (off: uniform prior)")


class StudentSettings(TeacherSettings):
    """The MTSS student (attributes paper, Section 3.3), and the teachers it trains where none are given."""

    type: str = Field("", description="train only this type's teacher and its student; empty = all types")
    teachers: Words = Field((), description="teachers' model folders, comma separated; empty = train them first")
    teacher_store: str = Field("", description="folder where finished teachers are kept, and found by a later training")
    beta: float = Field(1.0, ge=0, description="exponent of the certainty weight in Eq. 4")
    views: int = Field(3, ge=1, description="how often an epoch shows each photo, augmented")
    mixup: float = Field(1.0, ge=0, description="photos are blended by shares of Beta(mixup, mixup); 0 = not")
    speed: float = Field(
        0.0, ge=0, description="the student's learning rate over learning_rate; 0 = 3 from nothing, else 1"
    )
    labelled: float = Field(0.0, ge=0, lt=1, description="share of photos drawn evenly over the types annotated for")
    unlabelled: Words = Field((), description="further catalogs, comma separated, whose photos the student learns from")
    unlabelled_share: float = Field(0.25, ge=0, lt=1, description="share of photos drawn from these catalogs")
    corrupted: float = Field(0.0, ge=0, lt=1, description="share of photos that are corrupted (15 kinds, 5 severities)")

    @property
    def makes_photos_anew(self) -> bool:
        """Corrupted photos are drawn in each pass."""
        return self.corrupted > 0

    def by_start(self, from_nothing: bool) -> dict[str, object]:
        """A student from nothing has to move faster."""
        return {"speed": self.speed or (3.0 if from_nothing else 1.0)}

    @model_validator(mode="after")
    def _some_photos_are_left(self) -> "StudentSettings":
        if self.labelled + (self.unlabelled_share if self.unlabelled else 0) + self.corrupted >= 1:
            raise ValueError("labelled, unlabelled_share and corrupted must leave some share to the catalog's photos")
        return self
