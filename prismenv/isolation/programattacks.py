"""The attack suite's programs in other languages, `tests/attacks/programs.yaml`: each prints HARM when it did harm."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field

from prismenv.finding.yamlfile import load_yaml, validate
from prismenv.isolation.attacks import NOT_PORTABLE, attacks_folder, filled
from prismenv.words.limits import Limits
from prismenv.words.mapping import FrozenModel
from prismenv.words.verdict import DEFAULT_VERDICT, Execution, ExecutionOutcome, VerdictMode

MARK = "HARM"
ENDS: tuple[ExecutionOutcome, ...] = tuple(
    each for each in get_args(ExecutionOutcome) if each != "infrastructure_error"
)
USUAL_LIMITS: dict[str, Any] = {"wall_seconds": 20}


class ProgramAttack(FrozenModel):
    """One program in one language. `expect` are the ways in which it may end, `left_out` why it is not tried, by form.

    `survivor` is a mark of processes that must be gone. `twin` says why it is not run undefended; empty: the tests do,
    and it must do harm then.
    """

    family: Literal["harm"] = "harm"
    name: str
    group: str = Field(alias="class")
    language: str
    program: str
    limits: dict[str, Any] = Field(default_factory=dict)
    expect: tuple[ExecutionOutcome, ...] = ENDS
    left_out: dict[str, str] = Field(default_factory=dict)
    survivor: str | None = None
    twin: str = ""

    def source(self, words: Mapping[str, str]) -> str:
        """The program, @WORDS@ filled in."""
        return filled(self.program, words)

    def allowed(self) -> Limits:
        """What one run of it may use."""
        return Limits(**{**USUAL_LIMITS, **self.limits})

    def is_held(self, done: Execution) -> bool:
        """Whether it did nothing that it must not, and ended as it may."""
        return MARK not in done.stdout and done.outcome in self.expect

    def why_not(self, form: str, _mode: VerdictMode = DEFAULT_VERDICT) -> str:
        """Why it cannot be tried in that form of isolation; empty when it can. It has no verdict."""
        return NOT_PORTABLE if form == "portable" else self.left_out.get(form, "")


def load_program_attacks() -> list[ProgramAttack]:
    """All of them, in the order of their file, one for each language. Raises ConfigurationException."""
    document = load_yaml(attacks_folder() / "programs.yaml")
    found = []
    for index, data in enumerate(document.data):
        for language in data.get("languages", ()):
            one = {**{key: value for key, value in data.items() if key != "languages"}, "language": language}
            found.append(validate(ProgramAttack, document, one, at=(index,)))
    return found
