"""What a search itself believes of the cells: kept at the end of a run, and shown by reports beside the counts."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Gap = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
MAP = "map"  # the key of a policy's state that holds it
_FORM = ConfigDict(frozen=True, extra="forbid")


class Estimate(BaseModel):
    """A success rate with its credible interval."""

    model_config = _FORM

    rate: Share
    low: Share
    high: Share

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"the interval's low end {self.low} lies above its high end {self.high}")
        return self


class Difference(BaseModel):
    """How much higher the success rate is than the reference's, with its credible interval."""

    model_config = _FORM

    rate: Gap
    low: Gap
    high: Gap


class BelievedCell(Estimate):
    """A set of concepts at one difficulty. `solved` of `measured` answers are its own; other cells' speak of it too.

    `under` is the chance that its rate lies under the threshold. `difference` None: there is no reference.
    """

    concepts: tuple[str, ...] = Field(min_length=1)
    difficulty: str
    solved: int = Field(ge=0)
    measured: int = Field(ge=0)
    under: Share
    difference: Difference | None = None

    @property
    def name(self) -> str:
        """The concepts as areas are named: `a + b`."""
        return " + ".join(self.concepts)


class AbilityMap(BaseModel):
    """The whole belief after `told` outcomes.

    `stopped_by` is the policy's own word for why it asks for no more, None while it does. `held` says whether what
    `search.stop` asks for is true of this map, None where it asks for nothing (`interval` null). `known` is the share
    of cells that are known as it asks, `share` the one that has to be. `ability` is the mean over all cells.
    """

    model_config = _FORM

    objective: Literal["threshold", "ability", "difference"]
    threshold: Share
    confidence: Share
    interval: Share | None
    share: Share
    told: int = Field(ge=0)
    stopped_by: str | None
    held: bool | None
    known: Share | None
    ability: Estimate
    cells: tuple[BelievedCell, ...]
