"""The judge's end of the bridge: asks the solution's process, and serves what that may ask in return.

One request is under way at a time; while it is, the other side may call functions of the tests, and these may ask
again. A frame that does not belong there, or that is none, ends the run at once: `end` says why to the parent and never
returns. So a test that swallows every exception cannot swallow that.
"""

import builtins
import sys
from _thread import RLock
from collections.abc import Callable
from contextlib import suppress
from types import CoroutineType
from typing import Any

from split_codec import MalformedError, is_flat, wants
from split_containers import MOST_CONTAINERS, Found, SharedContainers, detached, walked
from split_control import is_let_through, ordinary, wants_exception
from split_files import Lender
from split_grants import Begun, Grants, RefusedError, begun, is_record
from split_hints import shown_annotations
from split_imports import Imports
from split_judge_codec import JudgeCodec
from split_library import is_plain
from split_notices import Listener, warned
from split_proxies import Proxies
from split_remote import RemoteClass, number_of, waiting
from split_rewrites import Rewrite, place_of, place_of_records
from split_texts import Texts
from split_wire import ClosedError, Wire

Ending = Callable[[str, str], Any]  # tells the parent why the run is over; never returns


class JudgeLink:
    """The judge's view of one solution: the wire to it, and how to end the run, are attached."""

    end: Ending
    restore: Callable[[bytes], Any]
    _wire: Wire

    def __init__(self) -> None:
        self.grants = Grants()
        self.proxies = Proxies(self)
        self.codec = JudgeCodec(self.grants, self.proxies)
        self.pack = self.codec.pack
        self.shared = SharedContainers(self.codec)
        self.overrides: dict[type, frozenset[str]] = {}
        self.named: set[int] = set()
        self.names_class: Callable[[str], bool] = lambda name: name[:1].isupper()
        self.expected: list[Any] = []  # what the running assertRaises wait for
        self.decided = False  # the solution decided about something since this was last set
        self.failures: list[BaseException] = []  # of callbacks, those that have not come back
        self.rewrites: list[Rewrite] = []  # arguments that were changed in place
        self.read_only = False  # whether it gets copies of them
        self.lender: Lender | None = None  # of files, where the suite speaks of any
        self.imports, self.texts = Imports(), Texts()
        self._listener = Listener()
        self._set: list[Rewrite] = []  # attributes of the tests' records that the running call has set
        self._printed = self._most_printed = 0
        self._turn = RLock()
        self._next_shared = 1
        self._fresh: list[int] = []
        self.codec.number = self._take_numbered  # type: ignore[method-assign]
        self.codec.shared_container = self._shared_container  # type: ignore[method-assign]

    def attach(self, wire: Wire, end: Ending, most_printed: int, *, read_only: bool) -> None:
        """Speak to this solution; `most_printed` is how much it may print in characters.

        `read_only`: what it changes in place of what the tests hand over is seen by itself alone.
        """
        self._wire, self.end, self._most_printed = wire, end, most_printed
        self.read_only = self.grants.read_only = read_only

    # ---- asking

    def request(self, word: str, *parts: Any, stops: bool = False) -> Any:
        """Ask for something; `parts` are packed. What the solution raises is raised, with `stops` StopIteration."""
        with self._turn:
            self._send([word, self._extras(), *parts])
            return self._answer(stops=stops)

    def call(self, target: Any, arguments: Any, named: dict[str, Any]) -> Any:
        """Call an object of the solution's."""
        return self.watched_request("C", target, arguments, named)

    def call_method(self, instance: Any, owner: int, name: str, arguments: Any, named: dict[str, Any]) -> Any:
        """Call a method; on an object of a class of the tests' as the class `owner` has it."""
        if type(instance).prism_defined:
            return self.watched_request("U", owner, name, self.target(instance), arguments, named)
        return self.watched_request("M", self.target(instance), name, arguments, named)

    def watched_request(self, word: str, *parts: Any, stops: bool = False) -> Any:
        """A request whose arguments the solution may change in place; the last one or two parts are not packed yet."""
        if self.lender is None:
            return self._watched(word, *parts, stops=stops)
        self.lender.lend(*parts[-2:])
        try:
            return self._watched(word, *parts, stops=stops)
        finally:
            self.lender.take_back()

    def _watched(self, word: str, *parts: Any, stops: bool) -> Any:
        *head, arguments, named = parts
        if not named and is_flat(arguments):
            return self.request(word, *head, list(arguments), stops=stops)
        with self._turn:
            if self.read_only:
                arguments, named = detached((list(arguments), named))
            found = Found(walked((arguments, named)))
            pack = self.pack
            extras = self._extras()
            numbers = self._numbered(found)
            try:
                packed = [pack(argument) for argument in arguments]
                packed_named = {"d": list(named), "v": [pack(value) for value in named.values()]}
                for number, container in numbers:
                    self.shared.add(number, container)
                self._send([word, extras, *head, packed, packed_named])
            except Exception:  # nothing was sent: the other side has not counted these
                self._forget_numbers(numbers)
                raise
            try:
                return self._answer(stops=stops)
            finally:
                for number, _ in numbers:
                    if number not in self._fresh:
                        self.shared.drop(number)
                self._fresh.clear()

    def operate(self, name: str, value: Any, *arguments: Any, stops: bool = False) -> Any:
        """An operation of the data model on a stand-in; that of the base where the tests' class overrides it."""
        target = self.target(value)
        if name in self.overrides.get(type(value), ()):
            owner = next(base.prism_number for base in type(value).__mro__ if not getattr(base, "prism_defined", True))
            return self.watched_request("U", owner, name, target, arguments, {}, stops=stops)
        if name in CHANGING:
            return self.watched_request("O", name, target, arguments, {}, stops=stops)
        packed = [self.pack(argument) for argument in arguments]
        return self.request("O", name, target, packed, stops=stops)

    def read(self, target: Any, name: str) -> Any:
        """Read an attribute; a class that is found by a name that the suite uses for classes counts as named."""
        value = self.request("G", target, name)
        if name == "__annotations__":
            return shown_annotations(value)
        if type(value) is RemoteClass and self.names_class(name):
            self.named.add(value.prism_number)
        return value

    def has(self, kind: type, name: str) -> bool:
        """Whether a class of the solution's that `kind` derives from has an attribute."""
        for base in kind.__bases__:
            if type(base) is RemoteClass:
                try:
                    self.read(base.prism_number, name)
                except AttributeError:
                    continue
                return True
        return False

    def signature(self, target: int) -> Any:
        """What inspect.signature says of a function there."""
        import inspect  # noqa: PLC0415 - only who asks pays

        parameters = [
            inspect.Parameter(
                wants(name, str),
                getattr(inspect.Parameter, wants(kind, str)),
                default=default if optional else inspect.Parameter.empty,
            )
            for name, kind, optional, default in self.request("I", target)
        ]
        return inspect.Signature(parameters)

    def target(self, value: Any) -> Any:
        """How an object is spoken of in a request: by its number, or as the data that it is."""
        return number_of(value) or self.pack(value)

    # ---- what the rules ask

    @staticmethod
    def is_remote(value: Any) -> bool:
        """Whether a value stands for an object of the solution's."""
        return number_of(value) != 0 or type(type(value)) is RemoteClass

    is_plain = staticmethod(is_plain)

    def wait(self, awaitable: Any, *, stops: bool = False) -> Any:
        """What awaits an awaitable of the solution's; with `stops` it may raise StopAsyncIteration."""
        return waiting(self, self.target(awaitable), kept=awaitable, stops=stops)

    def is_named(self, kind: Any) -> bool:
        """Whether the suite names a class, or one that it derives from."""
        return any(getattr(base, "prism_number", 0) in self.named for base in kind.__mro__ if type(base) is RemoteClass)

    def watch_failure(self, error: BaseException | None) -> None:
        """An exception of the tests goes to the solution: one that means failure must come back."""
        if error is not None and (isinstance(error, AssertionError) or not isinstance(error, Exception)):
            self.failures.append(error)

    def failure_came_back(self, error: BaseException | None) -> None:
        """It did."""
        if self.failures:
            self.failures[:] = [each for each in self.failures if each is not error]

    # ---- frames

    def _extras(self) -> Any:
        dead = self.proxies.told_dead() if self.proxies.dead else []
        shared = self.shared
        if not dead and not shared.known:
            return 0
        changes = shared.changes()  # also of those that the tests have changed and let go
        dropped = shared.unused()
        for number in dropped:
            shared.drop(number)
        return [dead, changes, dropped] if dead or changes or dropped else 0

    def _numbered(self, found: Found) -> list[tuple[int, Any]]:
        """Numbers for the containers among arguments, as the other side counts them."""
        if len(found.containers) > MOST_CONTAINERS:
            return []
        new = [container for container in found.containers if id(container) not in self.codec.shared]
        first, self._next_shared = self._next_shared, self._next_shared + len(new)
        numbers = list(enumerate(new, first))
        if found.aliased:
            self.codec.numbered = {id(container): number for number, container in numbers}
        return numbers

    def _forget_numbers(self, numbers: list[tuple[int, Any]]) -> None:
        self._next_shared -= len(numbers)
        self.codec.numbered.clear()
        for number, container in numbers:
            self.shared.drop(number)
            self.codec.shared.pop(id(container), None)

    def _send(self, frame: list[Any]) -> None:
        try:
            self._wire.send(self.codec.encode(frame))
        except ClosedError:
            self.end("lost", "")
        except MalformedError as error:
            raise OverflowError(str(error)) from None

    def _receive(self) -> list[Any]:
        try:
            return self.codec.decode(self._wire.receive())
        except ClosedError:
            return self.end("lost", "")  # type: ignore[no-any-return]
        except MalformedError as error:
            return self.end("forgery", str(error))  # type: ignore[no-any-return]

    def _answer(self, *, stops: bool) -> Any:
        while True:
            frame = self._receive()
            word = frame[0]
            try:
                if word == "r":
                    _, extras, value = frame
                    if extras != 0:
                        self._take_extras(extras)
                    if self._set:
                        self._weigh_what_was_set(value)
                    return value
                if word == "x":
                    _, extras, error = frame
                    self._take_extras(extras)
                    wants_exception(error)
                else:
                    self._serve(word, frame)
                    continue
            except (MalformedError, ValueError, TypeError) as error:
                self.end("forgery", f"a frame {word[:20]!r} is not of the agreed shape: {error}")
            self._raise(error, stops=stops)

    def _weigh_what_was_set(self, answer: Any) -> None:
        """A call that answers with data may have made what it is compared with; one that gives records back has not."""
        if answer is not None and is_plain(answer):
            self.rewrites += self._set
        self._set.clear()

    def _take_extras(self, extras: Any) -> None:
        if extras == 0:
            return
        changes, kept = wants(extras, list)
        for number, content in wants(changes, list):
            # Of the tests' own containers, whatever frame says so: of this call, or kept from an earlier one.
            if wants(number, int) > 0 and number in self.shared.known:
                self.rewrites.append(place_of(self.shared.known[number]))
            self.shared.take(number, content)
        self._fresh = [wants(number, int) for number in wants(kept, list)]

    def _raise(self, error: BaseException, *, stops: bool) -> None:
        self.failure_came_back(error)
        raise error if is_let_through(error, self.expected, stops=stops) else ordinary(error)

    # ---- serving

    def _serve(self, word: str, frame: list[Any]) -> None:
        if word == "o":
            _, stream, text = frame
            self._replay(wants(stream, int), wants(text, str))
            return
        if word == "!":
            _, category, text, line = frame
            error = warned(category, wants(text, str), wants(line, int))
            self.failures += [error] if error is not None else []
            return
        _, changes, *parts = frame
        if changes:
            self._take_extras([changes, []])
        if word not in SERVED:
            raise MalformedError("an unknown word")
        work = getattr(self, SERVED[word])
        kept, self._fresh = self._fresh, []
        try:
            answer = ["R", 0, self.pack(work(*parts))]
        except RefusedError as refused:
            answer = ["F", 0, refused.kind, str(refused)]
        except MalformedError:
            raise
        except BaseException as error:  # whatever a function of the tests raises, the solution is told that it did
            self.watch_failure(error)
            answer = ["E", 0, self.pack(error)]
        self._fresh = kept
        answer[1] = self._extras()
        try:
            self._send(answer)
        except OverflowError as error:  # too large to cross: the one that waits for it is told so
            self._send(["F", 0, "OverflowError", str(error)])

    def _replay(self, stream: int, text: str) -> None:
        self._printed += len(text)
        if self._printed > self._most_printed:
            self.end("flooded", "")
        target = sys.stdout if stream == 1 else sys.stderr
        with suppress(Exception):  # the tests have closed their stream, or put up one that breaks: it is theirs
            target.write(text)

    def _call_back(self, number: Any, arguments: Any, named: Any) -> Any:
        found = self.grants.call(number, wants(arguments, list), wants(named, dict))
        own = type(found) is CoroutineType and not self.proxies.native_number(found)
        return begun(found) if own else found

    def _notice(self, *parts: Any) -> bool:
        return self._listener.take(*parts)

    def _set_back(self, number: Any, name: Any, value: Any) -> None:
        self.grants.set(number, name, value)
        self._set.append(place_of_records(is_record))

    def _outcome_back(self, number: Any) -> Any:
        found = self.grants.objects.get(number) if type(number) is int else None
        return wants(found, Begun).outcome()

    def _operate_back(self, number: Any, name: Any, arguments: Any) -> Any:
        return self.grants.operate(number, name, wants(arguments, list))

    def _attribute_back(self, number: Any, name: Any) -> Any:
        return self.grants.attribute(number, name)

    def _override(self, value: Any, name: Any, arguments: Any, named: Any) -> Any:
        if name not in self.overrides.get(type(value), ()):
            raise RefusedError("AttributeError", "the tests' class does not override that")
        found = getattr(type(value), name)
        if type(found) is property:
            return found.__get__(value, type(value))
        return getattr(value, name)(*wants(arguments, list), **wants(named, dict))

    def _input(self, kind: Any, text: Any) -> Any:
        if kind == "input":
            return builtins.input(wants(text, str))
        size = int(text) if wants(text, str) else -1
        return sys.stdin.readline(size) if kind == "readline" else sys.stdin.read(size)

    def _take_numbered(self, number: Any, container: Any) -> Any:
        if wants(number, int) >= 0 or number in self.shared.known or self.shared.is_full():
            raise MalformedError("a container under a number that it cannot have")
        self.shared.add(number, container)
        return container

    def _shared_container(self, number: Any) -> Any:
        if type(number) is not int or number not in self.shared.known:
            raise MalformedError("a container that nobody handed over")
        return self.shared.known[number]


CHANGING = frozenset({"__setitem__", "__call__", "__enter__", "__iadd__", "__add__", "__getitem__", "__contains__"})
SERVED = {
    "c": "_call_back",
    "m": "_operate_back",
    "g": "_attribute_back",
    "s": "_set_back",
    "a": "_outcome_back",
    "w": "_override",
    "i": "_input",
    "n": "_notice",
}
