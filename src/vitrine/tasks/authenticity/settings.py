"""Settings of the systems that decide listings."""

from pydantic import Field

from vitrine.settings import Settings


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
