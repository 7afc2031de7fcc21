"""What models cost: `configs/prices.yaml` of all workspaces, the user's before the built-in one."""

from pathlib import Path

from pydantic import Field, field_validator

from prismenv.finding.workspace import WorkspaceSet
from prismenv.finding.yamlfile import load_yaml, validate
from prismenv.words.mapping import FrozenModel, PlainNumbers
from prismenv.words.usage import Usage

FILES = "prices.y*ml"
_MILLION = 1_000_000


class Price(PlainNumbers, FrozenModel):
    """What a million tokens of a model cost, in US dollars."""

    prompt: float = Field(ge=0)  # US dollars for a million tokens of prompts
    completion: float = Field(ge=0)  # US dollars for a million tokens of answers
    source: str = Field(min_length=1)  # where it says so
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")  # when it was looked up, such as "2026-11-30"

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / _MILLION

    def applied(self, usage: Usage) -> Usage:
        """The usage with its cost, where the provider named none."""
        if usage.cost_usd is not None:
            return usage
        return usage.model_copy(update={"cost_usd": self.cost_usd(usage.prompt_tokens, usage.completion_tokens)})


class PriceFile(FrozenModel):
    """A table of prices. A model that is in no table has an unknown price, which is not zero."""

    prices: dict[str, Price | None] = Field(default_factory=dict)  # by provider/model, as in recipes; null: unknown

    @field_validator("prices")
    @classmethod
    def _are_models(cls, prices: dict[str, Price | None]) -> dict[str, Price | None]:
        for name in prices:
            provider, separator, model = name.partition("/")
            if not separator or not provider or not model:
                raise ValueError(f"{name!r} names no model; expected provider/model, as in a recipe")
        return prices


def load_prices(workspaces: WorkspaceSet) -> dict[str, Price]:
    """All prices, by model. Raises ConfigurationException with file and line for what is wrong in a table."""
    merged: dict[str, Price | None] = {}
    for _, path in workspaces.files("configs", FILES):
        for name, price in read_prices(path).items():
            merged.setdefault(name, price)
    return {name: price for name, price in merged.items() if price is not None}


def read_prices(path: Path) -> dict[str, Price | None]:
    """The table in one file; empty where the file is."""
    document = load_yaml(path)
    return {} if document.data is None else dict(validate(PriceFile, document).prices)
