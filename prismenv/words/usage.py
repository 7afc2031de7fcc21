"""What model calls used."""

from pydantic import Field

from prismenv.words.mapping import FrozenModel


class Usage(FrozenModel):
    """Tokens and money of one or more calls to one model.

    `cost_usd` None means that the price is unknown, which is not zero: a sum with an unknown part is unknown.
    `estimated` is true when a provider gave no figures and they were counted here. `cached` of the calls were answered
    from the cache: they use no tokens and cost nothing.
    """

    model: str | None = None  # None: several models, or none yet
    calls: int = Field(default=0, ge=0)
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    cost_usd: float | None = Field(default=0.0, ge=0)
    estimated: bool = False
    cached: int = Field(default=0, ge=0)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: "Usage") -> "Usage":
        """The sum of both; the model's name is kept only while there is one."""
        unknown = self.cost_usd is None or other.cost_usd is None
        if not self.calls:
            model = other.model
        else:
            model = self.model if not other.calls or self.model == other.model else None
        return Usage(
            model=model,
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cost_usd=None if unknown else (self.cost_usd or 0.0) + (other.cost_usd or 0.0),
            estimated=self.estimated or other.estimated,
            cached=self.cached + other.cached,
        )
