"""The solution's end of the bridge: answers what the judge asks, and asks the judge in turn.

The judge asks, this side answers; while it works on an answer it may call back, and then it waits for that answer and
serves whatever the judge asks in between. So frames nest like calls. A thread of the solution that calls back takes the
turn for as long as that lasts.
"""

import builtins
import sys
from _thread import RLock
from collections.abc import Callable
from typing import Any

from split_codec import SCALARS, MalformedError, is_flat
from split_containers import MOST_CONTAINERS, Found, SharedContainers, is_mutable, walkable, walked, weight
from split_solution_codec import SolutionCodec
from split_stand_ins import StandIns
from split_streams import Streams
from split_wire import ClosedError, Wire


class GuestError(Exception):
    """What the judge refused; raised where the solution asked for it."""


class SolutionLink:
    """Serves one judge over one wire until it is gone: the wire, what loads the solution, how to end are attached.

    `operations` are what can be asked, by its word.
    """

    load: Callable[["SolutionLink", list[str]], list[Any]]
    _wire: Wire
    _leave: Callable[[int], Any]

    def __init__(self, operations: dict[str, Callable[..., Any]]) -> None:
        self._operations = operations
        self.codec = SolutionCodec()
        self.shared = SharedContainers(self.codec)
        self._stand_ins = StandIns(self)
        self._turn = RLock()
        self._next_shared = 1
        self._next_own = -1
        self._kept: list[int] = []
        self._named: list[Any] = []
        self.codec.number = self._take_numbered  # type: ignore[method-assign]
        self.codec.shared_container = self._shared_container  # type: ignore[method-assign]
        self.codec.tags.update(
            g=lambda number, _: self.codec.objects[number],
            h=lambda parts, _: self._stand_ins.make(*parts),
            j=lambda number, _: self._stand_ins.known(number),
            q=lambda name, _: vars(builtins)[name],
            y=lambda name, _: self._of_library(name),
            N=lambda parts, _: rebuilt(*parts),
            O=lambda parts, _: of_library(f"operator:{parts[0]}")(*parts[1]),
            E=lambda parts, _: self._stand_ins.exception(*parts),
        )
        self._printed = Streams(self)

    def attach(self, wire: Wire, load: Callable[..., list[Any]], leave: Callable[[int], Any]) -> None:
        """Serve this judge; from here on what is printed goes to it."""
        self._wire, self.load, self._leave = wire, load, leave
        self._printed.connect()

    # ---- what the solution's code does

    def call_back(self, number: int, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a function of the tests."""
        return self._ask("c", number, list(arguments), named)

    def operate(self, number: int, name: str, arguments: tuple[Any, ...]) -> Any:
        """Use an operation of an object of the tests, or a method that a class of theirs overrides."""
        return self._ask("m", number, name, list(arguments))

    def override(self, instance: Any, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a method that a test's subclass defines, on an instance of it."""
        return self._ask("w", instance, name, list(arguments), named)

    def attribute_of(self, number: int, name: str) -> Any:
        """Read a public attribute of an object of the tests."""
        return self._ask("g", number, name)

    def set_attribute(self, number: int, name: str, value: Any) -> None:
        """Set an attribute of an object of the tests."""
        self._ask("s", number, name, value)

    def outcome_of(self, number: int) -> Any:
        """(whether it is done, its result) of a coroutine of the tests."""
        return self._ask("a", number)

    def notice(self, *parts: Any) -> Any:
        """Tell of a record or a warning (split_notices)."""
        return self._ask("n", *parts)

    def ask_input(self, kind: str, text: str) -> Any:
        """A line, or all, of the judge's standard input."""
        return self._ask("i", kind, text)

    def tell_printed(self) -> None:
        """Tell what was printed so far."""
        with self._turn:
            for stream, text in self._printed.take():
                self._send(["o", stream, text])

    def tell_warning(self, category: Any, text: str, line: int) -> None:
        """Tell of a warning: whether it is shown is for the judge's filters to say."""
        with self._turn:
            self.tell_printed()
            self._send(["!", self.codec.pack(category), text, line])

    # ---- what the judge asks

    def serve(self) -> None:
        """Answer until the judge is gone."""
        while True:
            with self._turn:
                frame = self._receive()
            self._answer(frame)

    def _ask(self, word: str, *parts: Any) -> Any:
        with self._turn:
            self.tell_printed()
            pack = self.codec.pack
            packed = [self._packed_list(part) if type(part) is list else pack(part) for part in parts]
            self._send([word, self.shared.changes(), *packed])
            while True:
                frame = self._receive()
                if frame[0] == "R":
                    return frame[2]
                if frame[0] == "E":
                    raise frame[2]
                if frame[0] == "F":
                    raise _refusal(frame[2], frame[3])
                self._answer(frame)

    def _answer(self, frame: list[Any]) -> None:
        word, _, *parts = frame
        frame.clear()
        mine: list[int] = []
        try:
            if word in WATCHED:
                with self._turn:
                    mine = self._watch(parts)
            answer = self._operations[word](self, *parts)
        except BaseException as error:  # whatever it is, it is told: nothing of the solution ends this loop
            parts.clear()
            with self._turn:
                self._reply("x", self._told(error), mine)
        else:
            parts.clear()
            with self._turn:
                if type(answer) in SCALARS and not (mine or self._printed.parts or self.shared.known):
                    self._send(["r", 0, self.codec.pack(answer)])
                else:
                    self._reply_with(answer, mine)

    def _reply_with(self, answer: Any, mine: list[int]) -> None:
        try:
            packed = self._packed_answer(answer)
        except BaseException as error:  # an object that cannot be told of, by its own doing
            self._reply("x", self._told(error), mine)
        else:
            del answer
            self._reply("r", packed, mine)

    def _reply(self, word: str, packed: Any, mine: list[int]) -> None:
        if self._printed.parts:
            self.tell_printed()
        changes = self.shared.changes() if self.shared.known else []
        kept = self._keep_used(mine)
        try:
            self._send([word, [changes, kept] if changes or kept else 0, packed])
        except MalformedError as error:
            self._send(["x", 0, self.codec.exception(OverflowError(str(error)))])

    def _told(self, error: BaseException) -> Any:
        mark = id(error)
        if mark in self.codec.stand_ins:
            return {"j": self.codec.stand_ins[mark]}
        try:
            return self.codec.exception(error)
        finally:
            error.__traceback__ = None  # its frames hold what the call used

    def _packed_list(self, arguments: list[Any]) -> list[Any]:
        """Arguments for the tests, which may change them in place."""
        return [self._packed_shared(each) if is_mutable(type(each)) else self.codec.pack(each) for each in arguments]

    def _packed_answer(self, answer: Any) -> Any:
        if not is_mutable(type(answer)) or sys.getrefcount(answer) <= USED_ELSEWHERE:
            return self.codec.pack(answer)
        return self._packed_shared(answer)

    def _packed_shared(self, answer: Any) -> Any:
        if id(answer) in self.codec.shared or self.shared.is_full():
            return self.codec.pack(answer)
        # Somebody here still holds it: a change on either side is one for both.
        numbers = self._own_numbers(answer)
        self.codec.numbered.update({id(container): number for number, container in numbers})
        packed: Any = None
        try:
            packed = self.codec.pack(answer)
        finally:
            told = type(packed) is dict and "k" in packed  # else it went by handle, or not at all
            left = self.codec.numbered.copy()
            self.codec.numbered.clear()
            for number, container in numbers:
                if not told:
                    self.codec.shared.pop(id(container), None)
                elif id(container) not in left:
                    self.shared.add(number, container)
        return packed

    def _own_numbers(self, answer: Any) -> list[tuple[int, Any]]:
        """Numbers for a container of this process and for those within it; for it alone where they are many."""
        inside = [] if type(answer) not in NESTING or is_flat(walkable(answer)) else Found([answer]).containers[1:]
        if len(inside) > MOST_INSIDE or sum(map(weight, inside)) > MOST_INSIDE_ITEMS:
            inside = []
        new = [answer, *(each for each in inside if id(each) not in self.codec.shared)]
        first, self._next_own = self._next_own, self._next_own - len(new)
        return [(first - index, container) for index, container in enumerate(new)]

    def _watch(self, parts: list[Any]) -> list[int]:
        """Number the containers among the arguments, as the judge did."""
        if all(type(part) is not list or is_flat(part) for part in parts) and not self._kept:
            return []
        found = Found(walked(parts))
        if found.aliased or len(found.containers) > MOST_CONTAINERS:
            return self._kept_numbers()
        numbers = []
        for container in found.containers:
            if id(container) not in self.codec.shared:
                self.shared.add(self._next_shared, container)
                numbers.append(self._next_shared)
                self._next_shared += 1
        return [*numbers, *self._kept_numbers()]

    def _kept_numbers(self) -> list[int]:
        numbers, self._kept = self._kept, []
        return numbers

    def _keep_used(self, mine: list[int]) -> list[int]:
        """Of the containers of this call those that the solution holds on to; the others are let go."""
        if not mine:
            return []
        left = set(mine)
        while unused := left.intersection(self.shared.known if self.shared.is_full() else self.shared.unused()):
            for number in unused:  # what stood within one of these may be unused now as well
                self.shared.drop(number)
            left -= unused
        return sorted(left)

    def _take_numbered(self, number: Any, container: Any) -> Any:
        self.shared.add(number, container)
        self._kept.append(number)
        self._next_shared = max(self._next_shared, number + 1)
        return container

    def _shared_container(self, number: Any) -> Any:
        return self.shared.known[number]

    def _of_library(self, name: str) -> Any:
        found = of_library(name)
        if not isinstance(found, type):
            self.codec.library[id(found)] = name
            self._named.append(found)  # so that nothing else gets its id
        return found

    def _send(self, frame: list[Any]) -> None:
        try:
            self._wire.send(self.codec.encode(frame))
        except ClosedError:
            self._leave(0)

    def _receive(self) -> list[Any]:
        try:
            frame = self.codec.decode(self._wire.receive())
        except ClosedError:
            self._leave(0)
            raise
        extras = frame[1]
        if extras:
            dead, changes, dropped = extras
            self.codec.release(dead)
            for number, content in changes:
                self.shared.take(number, content)
            for number in dropped:
                self.shared.drop(number)
        return frame


NESTING = (list, dict)
MOST_INSIDE = 500
MOST_INSIDE_ITEMS = 5000
WATCHED = frozenset({"C", "M", "O", "U", "N"})  # requests whose arguments may be changed in place


def _seen_by_packer(answer: Any) -> int:
    return sys.getrefcount(answer)


def _seen_by_reply(answer: Any) -> int:
    return _seen_by_packer(answer)


def _references_of_harness() -> int:
    """What an answer that nobody else holds counts when it is packed: measured along the way that answers go."""
    answer: list[Any] = []
    return _seen_by_reply(answer)


USED_ELSEWHERE = _references_of_harness()


def rebuilt(kind: type, content: Any, number: int = 0) -> Any:
    """An instance of a class of the solution's from the data that it is."""
    del number
    if hasattr(kind, "_member_map_"):
        return kind(content)
    base = next(base for base in kind.__mro__ if base is type(content))
    return base.__new__(kind, content)


def of_library(name: str) -> Any:
    """A function, class or module of the standard library: `module:path`."""
    module, _, path = name.partition(":")
    __import__(module)
    found: Any = sys.modules[module]
    for part in path.split(".") if path else ():
        found = getattr(found, part)
    return found


def _refusal(kind: str, text: str) -> BaseException:
    return vars(builtins).get(kind, GuestError)(text)
