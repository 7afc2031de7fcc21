"""`prismenv doctor --attack`: the attack suite, its progress and its table."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from prismenv.cli.drawing import console, table
from prismenv.cli.output import print_error, print_json
from prismenv.contracts.recipe import IsolationChoice, SandboxSettings
from prismenv.engine.attacking import AnyAttack, Siege, Status, Tried, attack_sandbox, choose_attacks
from prismenv.isolation.attacks import Attack
from prismenv.words.verdict import VerdictMode

HELD, NOT_HELD = 0, 1
LINE_EVERY = 50  # attacks, where progress is lines
STATUSES: tuple[Status, ...] = ("held", "not held", "left out")


@dataclass(frozen=True, slots=True)
class SiegeOptions:
    """What the command line asks for. `group`, `language` None: attacks of every class, in all languages."""

    group: str | None
    language: str | None
    isolation: IsolationChoice
    mode: VerdictMode
    as_json: bool


async def besiege(options: SiegeOptions) -> int:
    """Run the suite, show what came of it, give the exit code."""
    attacks = choose_attacks(options.group, options.language)
    with _Progress(attacks) as progress:
        settings = SandboxSettings(isolation=options.isolation)
        siege = await attack_sandbox(settings, options.mode, attacks, progress.told)
    if options.as_json:
        print_json(_document(siege))
    else:
        _show(siege)
    return HELD if siege.is_held else NOT_HELD


class _Progress:
    """A bar on a terminal, lines elsewhere; on standard error."""

    def __init__(self, attacks: Sequence[AnyAttack]) -> None:
        self._total = len(attacks)
        self._done = 0
        columns = (TextColumn("attacks"), BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
        self._task = self._bar.add_task("", total=self._total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def told(self, tried: Tried) -> None:
        """Take what became of the next attack."""
        self._done += 1
        self._bar.update(self._task, completed=self._done, description=tried.attack.group)
        if tried.status == "not held":
            print_error(f"not held: {_named(tried.attack)}: {tried.detail}")
        if self._bar.disable and (self._done % LINE_EVERY == 0 or self._done == self._total):
            print_error(f"{self._done} of {self._total} attacks")


def _named(attack: AnyAttack) -> str:
    language = "" if isinstance(attack, Attack) else f"{attack.language}: "
    return f"{attack.group}: {language}{attack.name}"


def _counts(tried: Sequence[Tried]) -> dict[Status, int]:
    return {status: sum(each.status == status for each in tried) for status in STATUSES}


def _document(siege: Siege) -> dict[str, Any]:
    return {
        "isolation": siege.isolation,
        "form": siege.form,
        "verdict_mode": siege.mode,
        "held": siege.is_held,
        "classes": [
            {"class": group, **{status.replace(" ", "_"): count for status, count in _counts(tried).items()}}
            for group, tried in siege.by_class().items()
        ],
        "attacks": [
            {
                "class": each.attack.group,
                "language": each.attack.language,
                "name": each.attack.name,
                "status": each.status.replace(" ", "_"),
                "detail": each.detail,
            }
            for each in siege.tried
        ],
    }


def _show(siege: Siege) -> None:
    screen = console()
    rows = []
    for group, tried in siege.by_class().items():
        reasons = dict.fromkeys(each.detail for each in tried if each.status == "left out")
        rows.append((group, *_counts(tried).values(), "; ".join(reasons)))
    screen.draw(table("attacks", ("class", *STATUSES, "why it was left out"), rows, numeric=STATUSES))
    broken = [
        (each.attack.group, each.attack.language, each.attack.name, each.detail)
        for each in siege.tried
        if each.status == "not held"
    ]
    if broken:
        screen.draw(table("not held", ("class", "language", "attack", "found"), broken))
    counts = _counts(siege.tried)
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    place = f"isolation {siege.isolation} ({siege.form}), verdict {siege.mode}"
    screen.say(f"{said}; {place}", style="bold green" if siege.is_held else "bold red")
