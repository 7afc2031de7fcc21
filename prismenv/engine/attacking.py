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
from prismenv.isolation.programattacks import ProgramAttack, load_program_attacks
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean
from prismenv.words.verdict import Isolation, Verdict, VerdictMode

AnyAttack = Attack | ProgramAttack
Status = Literal["held", "not held", "left out"]
NO_BAITS = Baits({})
UNUSABLE = ("tool_missing", "isolation_unavailable")  # why a language may be left out, in codes of errors


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one attack. `detail` is the verdict that it got, how it ended, or why it was left out."""

    attack: AnyAttack
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


def choose_attacks(group: str | None, language: str | None = None) -> list[AnyAttack]:
    """The harm and the forging attacks, of one class and in one language, or all for None.

    Raises ConfigurationException, where there is none, too.
    """
    attacks: list[AnyAttack] = [*load_attacks("harm", "forge"), *load_program_attacks()]
    languages = list(dict.fromkeys(attack.language for attack in attacks))
    chosen = [attack for attack in attacks if language in (None, attack.language)]
    if not chosen:
        raise _none_of("language", "attacks in", language or "", languages)
    groups = list(dict.fromkeys(attack.group for attack in chosen))
    if group is not None and group not in groups:
        raise _none_of("class", "class of attacks", group, groups)
    return [attack for attack in chosen if group in (None, attack.group)]


def _none_of(what: str, said: str, name: str, known: Sequence[str]) -> ConfigurationException:
    return ConfigurationException(
        f"there {'are' if what == 'language' else 'is'} no {said} {name!r}{did_you_mean(name, known)}",
        code=f"unknown_{what}",
        subject=name,
        hint=f"There are: {', '.join(known)}.",
    )


async def attack_sandbox(
    settings: SandboxSettings, mode: VerdictMode, attacks: Sequence[AnyAttack], tell: Callable[[Tried], None]
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
                if reason := attack.why_not(form, mode):
                    result = Tried(attack, "left out", reason)
                elif isinstance(attack, ProgramAttack):
                    result = await _try_program(sandbox, attack, baits)
                else:
                    result = await _try(sandbox, attack, form, mode, baits)
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
    return _after(attack, detail, baits)


async def _try_program(sandbox: Sandbox, attack: ProgramAttack, baits: Baits) -> Tried:
    try:
        source, limits = attack.source(baits.words), attack.allowed()
        done = await sandbox.run(source, language=attack.language, limits=limits)
    except ConfigurationException as error:
        if error.code not in UNUSABLE:
            raise
        return Tried(attack, "left out", error.message)
    detail = f"{done.outcome}: {done.message or ' '.join(done.stdout.split())[:200]}".removesuffix(": ")
    return _after(attack, detail, baits) if attack.is_held(done) else Tried(attack, "not held", detail)


def _after(attack: AnyAttack, detail: str, baits: Baits) -> Tried:
    """What became of one whose end was as it may be: whether it left anything behind, or took anything."""
    damage = baits.damage() if baits.words else ""
    if attack.survivor is not None and processes_with(filled(attack.survivor, baits.words)):
        damage = "a process outlived its run"
    return Tried(attack, "not held", damage) if damage else Tried(attack, "held", detail)


def _words(verdict: Verdict) -> str:
    message = verdict.message or next((case.message for case in verdict.cases if case.message), "")
    return f"{verdict.outcome}: {message}".removesuffix(": ")
