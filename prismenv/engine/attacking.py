"""The attack suite against the sandbox that is in force: the facts behind `prismenv doctor --attack`."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from prismenv.contracts.jail import Sandbox
from prismenv.contracts.recipe import SandboxSettings
from prismenv.isolation.attacks import Attack, filled, load_attacks
from prismenv.isolation.baits import Baits, laid_baits, processes_with
from prismenv.isolation.choice import open_sandbox
from prismenv.isolation.kinds import best_form
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean
from prismenv.words.verdict import Isolation, Verdict, VerdictMode

Status = Literal["held", "not held", "left out"]
NO_BAITS = Baits({})


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one attack. `detail` is the verdict that it got, or why it was left out."""

    attack: Attack
    status: Status
    detail: str


@dataclass(frozen=True, slots=True)
class Siege:
    """What became of all of them, and in which isolation."""

    isolation: Isolation
    form: str
    mode: VerdictMode
    tried: tuple[Tried, ...]

    @property
    def is_held(self) -> bool:
        """Whether nothing that was tried succeeded."""
        return all(each.status != "not held" for each in self.tried)

    def by_class(self) -> dict[str, list[Tried]]:
        """The attacks of each class, in the order of the suite."""
        found: dict[str, list[Tried]] = {}
        for each in self.tried:
            found.setdefault(each.attack.group, []).append(each)
        return found


def choose_attacks(group: str | None) -> list[Attack]:
    """The harm and the forging attacks, of one class or of all for None. Raises ConfigurationException."""
    attacks = load_attacks("harm", "forge")
    groups = list(dict.fromkeys(attack.group for attack in attacks))
    if group is not None and group not in groups:
        raise ConfigurationException(
            f"there is no class of attacks {group!r}{did_you_mean(group, groups)}",
            code="unknown_class",
            subject=group,
            hint=f"There are: {', '.join(groups)}.",
        )
    return [attack for attack in attacks if group in (None, attack.group)]


async def attack_sandbox(
    settings: SandboxSettings, mode: VerdictMode, attacks: Sequence[Attack], tell: Callable[[Tried], None]
) -> Siege:
    """Try the attacks one after the other; `tell` is called after each.

    What an attack that works could take or break are baits, laid for the purpose. SandboxException when there is no
    such sandbox.
    """
    tried = []
    async with open_sandbox(settings, 1) as sandbox:
        form = best_form(sandbox.isolation) or sandbox.isolation
        with ExitStack() as stack:
            harms = any(attack.family == "harm" and not attack.why_not(form, mode) for attack in attacks)
            baits = stack.enter_context(laid_baits()) if harms else NO_BAITS
            for attack in attacks:
                reason = attack.why_not(form, mode)
                result = Tried(attack, "left out", reason) if reason else await _try(sandbox, attack, form, mode, baits)
                tried.append(result)
                tell(result)
    return Siege(sandbox.isolation, form, mode, tuple(tried))


async def _try(sandbox: Sandbox, attack: Attack, form: str, mode: VerdictMode, baits: Baits) -> Tried:
    detail = ""
    for _ in range(attack.times):
        source, limits = attack.source(baits.words), attack.allowed()
        verdict = await sandbox.judge(source, attack.tests, limits=limits, module=attack.module, verdict=mode)
        detail = _words(verdict)
        if not attack.is_held(verdict, form):
            return Tried(attack, "not held", detail)
    damage = baits.damage() if baits.words else ""
    if attack.survivor is not None and processes_with(filled(attack.survivor, baits.words)):
        damage = "a process outlived its run"
    return Tried(attack, "not held", damage) if damage else Tried(attack, "held", detail)


def _words(verdict: Verdict) -> str:
    message = verdict.message or next((case.message for case in verdict.cases if case.message), "")
    return f"{verdict.outcome}: {message}".removesuffix(": ")
