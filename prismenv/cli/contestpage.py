"""A comparison of runs as a page, regressions first."""

from collections.abc import Iterator, Sequence

from prismenv.cli.page import Section
from prismenv.cli.reporting import SIMULATED
from prismenv.cli.surveypage import counted
from prismenv.engine.comparison import Contender, Contest
from prismenv.engine.survey import Survey
from prismenv.scoring.comparing import Contrast, Method, Status
from prismenv.scoring.measures import measure
from prismenv.scoring.tables import TextTable

SHOWN_NODES = 8
WORDS: dict[Status, str] = {
    "regression": "WORSE",
    "perhaps_worse": "perhaps worse",
    "no_difference_shown": "no difference shown",
    "too_few": "too few to tell",
    "perhaps_better": "perhaps better",
    "improvement": "BETTER",
}
METHODS: dict[Method, tuple[str, str]] = {
    "newcombe_paired": ("Newcombe's interval for pairs", "exact McNemar test"),
    "paired_bootstrap": ("bootstrap by problem", "sign-flip test"),
    "newcombe": ("Newcombe's interval", "Fisher's exact test"),
    "mantel_haenszel": ("Mantel-Haenszel with Sato's variance", "Cochran-Mantel-Haenszel test"),
    "none": ("", ""),
}
NOTE = (
    "WORSE and BETTER: p adjusted for the number of areas (Holm) is below 0.05. Perhaps: only the area's own 95 % "
    "interval leaves out 0, which one in twenty does by chance. Too few: under 6 problems can show nothing."
)


def contest_page(contest: Contest, top: int) -> list[Section]:
    """The sections of a comparison; `top` areas of each run are shown where not all of them tell something."""
    sections = [Section("Runs", tables=[[_overview(contest)]], notes=_simulated(contest))]
    for other in contest.others:
        names = f"{other.label} against {contest.first.label}"
        sections.append(Section(names, list(_verdict(other)), _tables(other, top), list(_notes(other, top))))
    return sections


def _simulated(contest: Contest) -> list[str]:
    return [SIMULATED] if contest.first.simulated or any(other.survey.simulated for other in contest.others) else []


def _overview(contest: Contest) -> TextTable:
    surveys = [contest.first, *(other.survey for other in contest.others)]
    header = ("run", "models", "solved", "95 % interval", "calls", "tokens", "cost")
    return TextTable("", header, tuple(map(_run_row, surveys)), ("models",))


def _run_row(survey: Survey) -> tuple[str, ...]:
    found, usage = measure(survey.whole.scores), survey.whole.total_usage
    rate = "" if found.rate is None else f" {found.rate:.0%}"
    return (
        survey.label,
        ", ".join(sorted(survey.models)),
        f"{found.solved}/{found.measured}{rate}",
        f"{100 * found.low:.0f}-{100 * found.high:.0f} %" if found.measured else "",
        f"{usage.calls:,}",
        f"{usage.tokens:,}",
        "unknown" if usage.cost_usd is None else f"${usage.cost_usd:.2f}",
    )


def _verdict(other: Contender) -> Iterator[str]:
    total = other.comparison.total
    how = "measured by both" if other.comparison.mode == "paired" else "in the same cells"
    n = f"{total.first_n}" if total.first_n == total.second_n else f"{total.first_n} and {total.second_n}"
    interval, test = METHODS[total.method]
    p = "" if total.p is None else f"; p = {total.p:.2g}, {test}"
    yield (
        f"{WORDS[total.status]}: {total.first_rate:.1%} before, {total.second_rate:.1%} now, {_points(total.value)} "
        f"points (95 % interval {_points(total.low)} to {_points(total.high)}, {interval}{p}; {n} problems {how})"
    )
    if total.lost or total.gained:
        worse = counted(len(total.lost), "node")
        yield f"{worse} with a problem that went worse, {len(total.gained)} with one that went better"
    for key, (first, second) in other.differs.items():
        if key != "seed":
            yield f"differs: {key}: {_shown(first)} -> {_shown(second)}"
    for remark in other.remarks:
        yield f"note: {remark}"


def _shown(value: object) -> str:
    return "unset" if value is None else str(value)


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _tables(other: Contender, top: int) -> list[list[TextTable]]:
    shown = _shown_areas(other.comparison.areas, top)
    header = ("area", "before", "now", "difference", "95 % interval", "problems", "adjusted p", "")
    rows = tuple(_row(item) for item in shown)
    narrow = tuple((row[0], row[1], row[2], row[4], row[7]) for row in rows)
    forms = [
        TextTable("", header, rows, ("",)),
        TextTable("", (*header[:3], header[4], header[7]), narrow, ("",)),
    ]
    lost = TextTable("", ("went worse", "went better"), tuple(_changed(other.comparison.total)), ("went better",))
    return [forms, [lost]]


def _shown_areas(areas: Sequence[Contrast], top: int) -> list[Contrast]:
    """All that tell something, and as many of the others as there is room for: the largest differences."""
    telling = [item for item in areas if item.status not in ("no_difference_shown", "too_few")]
    rest = [item for item in areas if item.status in ("no_difference_shown", "too_few")]
    rest.sort(key=lambda item: (item.status == "too_few", -abs(item.value), item.area.label))
    chosen = {item.area for item in (*telling, *rest[: max(top - len(telling), 0)])}
    return [item for item in areas if item.area in chosen]


def _row(item: Contrast) -> tuple[str, ...]:
    n = str(item.first_n) if item.first_n == item.second_n else f"{item.first_n}, {item.second_n}"
    return (
        item.area.label,
        f"{item.first_rate:.0%}",
        f"{item.second_rate:.0%}",
        _points(item.value),
        f"{_points(item.low)} to {_points(item.high)}",
        n,
        "" if item.adjusted is None else f"{item.adjusted:.2g}",
        WORDS[item.status],
    )


def _changed(total: Contrast) -> Iterator[tuple[str, ...]]:
    lost, gained = total.lost[:SHOWN_NODES], total.gained[:SHOWN_NODES]
    for place in range(max(len(lost), len(gained))):
        yield (lost[place] if place < len(lost) else "", gained[place] if place < len(gained) else "")


def _notes(other: Contender, top: int) -> Iterator[str]:
    hidden = len(other.comparison.areas) - len(_shown_areas(other.comparison.areas, top))
    if hidden:
        yield f"{hidden} further areas show no difference (--top shows more; JSON and CSV hold all)"
    yield NOTE
