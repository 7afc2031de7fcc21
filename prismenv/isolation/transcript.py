"""What the guest of a judged run told, held to the order in which it may tell it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast, get_args

from prismenv.isolation.frames import FrameDecoder
from prismenv.isolation.launch import Conversation
from prismenv.words.errors import ProtocolException
from prismenv.words.verdict import CaseOutcome

MOST_TESTS = 10_000
MOST_NUMBER = 2**53
OUTCOMES = get_args(CaseOutcome)

# From which phases each frame may come, and the phase that it leads to.
ORDER: dict[str, tuple[frozenset[str], str]] = {
    "ready": (frozenset({"started"}), "ready"),
    "invalid": (frozenset({"ready"}), "invalid"),
    "unsplit": (frozenset({"ready", "parsed", "loading", "collected", "running"}), "unsplit"),
    "parsed": (frozenset({"ready"}), "parsed"),
    "loading": (frozenset({"parsed"}), "loading"),
    "unloaded": (frozenset({"loading"}), "unloaded"),
    "tampered": (frozenset({"loading"}), "tampered"),
    "unimported": (frozenset({"parsed", "loading"}), "unimported"),
    "collected": (frozenset({"parsed", "loading"}), "collected"),
    "start": (frozenset({"collected"}), "running"),
    "suspect": (frozenset({"running"}), "running"),
    "end": (frozenset({"collected", "running"}), "collected"),
    "extra": (frozenset({"collected"}), "collected"),
    "lost": (frozenset({"parsed", "loading", "collected", "running"}), "lost"),
    "forgery": (frozenset({"loading", "collected", "running"}), "forgery"),
    "flooded": (frozenset({"loading", "collected", "running"}), "flooded"),
    "done": (
        frozenset(
            {"invalid", "parsed", "unloaded", "tampered", "unimported", "collected"}
            | {"unsplit", "lost", "forgery", "flooded"}
        ),
        "done",
    ),
}
SHAPES: dict[str, tuple[type | tuple[type, ...], ...]] = {
    "ready": (),
    "invalid": (str,),
    "parsed": (list,),
    "loading": (),
    "unloaded": (str, str, bool),
    "tampered": (str,),
    "unimported": (str, str, bool),
    "collected": (list, list),
    "start": (int,),
    "end": (int, str, str, str, bool, (float, int, type(None)), bool),
    "suspect": (int,),
    "extra": (str, str, str),
    "unsplit": (str,),
    "lost": (),
    "forgery": (str,),
    "flooded": (),
    "done": (),
}

NEVER: tuple[frozenset[str], str] = (frozenset(), "")
# The frames that most runs are made of, by the types of their fields: these fit, but for indexes, which are looked up.
PLAIN: frozenset[tuple[Any, ...]] = frozenset(
    {("ready",), ("loading",), ("start", int), ("end", int, str, str, str, bool, float, bool), ("done",)}
)


@dataclass(frozen=True, slots=True)
class CaseReport:
    """One test as the guest told it. `wall_seconds` None: it never ran.

    `decided_by_solution`: the solution's own comparison had a say in it.
    """

    outcome: CaseOutcome
    message: str
    detail: str
    out_of_memory: bool
    wall_seconds: float | None
    decided_by_solution: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the solution or the suite could not be loaded, or the run not go on."""

    message: str
    detail: str = ""
    out_of_memory: bool = False


class Transcript(Conversation):
    """The record of one guest's run; ProtocolException for anything out of order or of the wrong shape.

    `ended_as` is the phase in which it stopped talking (before `done`): where it was when it died.
    """

    def __init__(self, nonce: str) -> None:
        self._decoder = FrameDecoder(nonce)
        self.phase = "started"
        self.ended_as = "started"
        self.expected: list[str] = []
        self.names: list[str] = []
        self.notes: list[str] = []
        self.reports: dict[int, CaseReport] = {}
        self.suspects: list[int] = []  # tests that may have passed by an argument that was changed in place
        self.extras: list[tuple[str, Failure]] = []
        self.failure = Failure("")
        self.running: int | None = None
        self.solution_begun = False

    def hear(self, data: bytes, now: float) -> None:
        for kind, *fields in self._decoder.feed(data):
            self._take(kind, fields, now)

    def _take(self, kind: str, fields: list[Any], now: float) -> None:
        before, after = ORDER.get(kind, NEVER)
        if self.phase not in before:
            raise ProtocolException(f"the guest said {kind[:40]!r} when it was {self.phase}")
        if (kind, *map(type, fields)) not in PLAIN:
            shape = SHAPES[kind]
            if len(fields) != len(shape) or not all(map(self._fits, fields, shape)):
                raise ProtocolException(f"the guest's {kind!r} has not the agreed fields")
        handler = HANDLERS[kind]
        if handler is not None:
            handler(self, now, *fields)
        self.phase = after
        if kind != "done":
            self.ended_as = after
        self.finished = kind == "done"

    @staticmethod
    def _fits(value: Any, wanted: type | tuple[type, ...]) -> bool:
        if type(value) is wanted is str:
            return True
        if isinstance(value, bool):
            return wanted is bool
        if isinstance(value, int) and abs(value) > MOST_NUMBER:
            return False
        if isinstance(value, list):
            return wanted is list and len(value) <= MOST_TESTS and set(map(type, value)) <= {str}
        return isinstance(value, wanted)

    def _take_ready(self, now: float) -> None:
        self.begun_at = now

    def _take_invalid(self, _: float, message: str) -> None:
        self.failure = Failure(message)

    def _take_parsed(self, _: float, expected: list[str]) -> None:
        self.expected = expected

    def _take_loading(self, _: float) -> None:
        self.solution_begun = True

    def _take_unloaded(self, _: float, message: str, detail: str, out_of_memory: bool) -> None:  # noqa: FBT001 - a frame
        self.failure = Failure(message, detail, out_of_memory)

    _take_unimported = _take_unloaded

    def _take_tampered(self, _: float, what: str) -> None:
        self.failure = Failure(what, what)

    _take_unsplit = _take_forgery = _take_invalid

    def _take_lost(self, _: float) -> None:
        self.lost = True

    def _take_collected(self, _: float, names: list[str], notes: list[str]) -> None:
        self.names = names
        self.notes = notes

    def _take_start(self, now: float, index: int) -> None:
        self._check(index)
        self.running = index
        self.test_begun_at = now

    def _take_suspect(self, _: float, index: int) -> None:
        if index != self.running:
            raise ProtocolException("a test is suspected that does not run")
        self.suspects.append(index)

    def _take_end(self, now: float, index: int, *rest: Any) -> None:
        self._check(index)
        outcome, message, detail, out_of_memory, wall, decided_by_solution = rest
        if outcome not in OUTCOMES:
            raise ProtocolException(f"no test ends as {outcome[:40]!r}")
        if self.running != index and (self.running is not None or outcome == "passed"):
            raise ProtocolException("a test ended that was not running")
        if wall is not None:
            wall = min(max(float(wall), 0.0), now - (self.begun_at or now))
        kind = cast(CaseOutcome, outcome)
        self.reports[index] = CaseReport(kind, message, detail, out_of_memory, wall, decided_by_solution)
        self.running = None
        self.test_begun_at = None

    def _take_extra(self, _: float, name: str, message: str, detail: str) -> None:
        self.extras.append((name, Failure(message, detail)))

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self.names) or index in self.reports:
            raise ProtocolException(f"there is no test {index} that could end now")


HANDLERS: dict[str, Callable[..., None] | None] = {kind: getattr(Transcript, f"_take_{kind}", None) for kind in ORDER}


class SolutionTalk(Conversation):
    """What the guest that holds a solution may tell its parent: that it is ready, and nothing else, ever."""

    def __init__(self, nonce: str) -> None:
        self._decoder = FrameDecoder(nonce)

    def hear(self, data: bytes, now: float) -> None:
        if self.begun_at is not None:
            raise ProtocolException("the solution's process wrote to the harness after it was ready")
        for frame in self._decoder.feed(data):
            if frame != ["ready"] or self.begun_at is not None:
                raise ProtocolException(f"the solution's process said {frame[0][:40]!r}")
            self.begun_at = now
        if self.begun_at is not None and self._decoder.holds_part:
            raise ProtocolException("the solution's process wrote to the harness after it was ready")


class ProgramTalk(Conversation):
    """What the guest of a plain program tells before it becomes the program."""

    def __init__(self, nonce: str) -> None:
        self._decoder = FrameDecoder(nonce)
        self.unstarted = ""

    def hear(self, data: bytes, now: float) -> None:
        for frame in self._decoder.feed(data):
            if frame == ["ready"] and self.begun_at is None:
                self.begun_at = now
            elif frame[0] == "unstarted" and len(frame) == 2 and isinstance(frame[1], str):  # noqa: PLR2004 - word, reason
                self.unstarted = frame[1]
            else:
                raise ProtocolException(f"the guest said {frame[0][:40]!r} instead of starting the program")
