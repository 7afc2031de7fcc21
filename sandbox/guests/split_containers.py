"""Containers that both processes hold: what one changes in place, the other sees before it goes on.

A list, dict, set, bytearray or array crosses as a copy. Each side finds the same containers in the same arguments by
walking them alike, so they need no names in a frame; only where one object stands in two places, or where a container
stays in use after the call, its number travels with it. A container is compared with a shallow copy of itself, item by
item and by identity, an array by its bytes: what changed goes with the next frame.
"""

from _operator import is_
from sys import getrefcount
from typing import Any

import split_arrays
from split_codec import SCALARS, Codec, MalformedError, wants

MOST_CONTAINERS = 20_000  # in one call
MOST_WATCHED_ITEMS = 50_000  # of those that stay: a larger one is a copy from then on
MUTABLE = (list, dict, set, bytearray)


def walked(parts: Any) -> Any:
    """The values in the arguments of a call: both sides look at the same ones, in the same order."""
    for part in parts:
        if type(part) is dict:
            yield from part.values()
        elif type(part) is list or type(part) is tuple:
            yield from part


def is_mutable(kind: type) -> bool:
    """Whether both sides hold values of a class: what one changes in place, the other sees."""
    return kind in MUTABLE or split_arrays.is_array(kind)


def weight(container: Any) -> int:
    """How many items a container holds."""
    return container.size if split_arrays.is_array(type(container)) else len(container)


def walkable(container: Any) -> Any:
    """What a list or dict holds that may be a container."""
    return container.values() if type(container) is dict else container


class Found:
    """The mutable containers in some values, each once, in the order of the walk."""

    def __init__(self, values: Any) -> None:
        self.containers: list[Any] = []
        self.aliased = False
        self._seen: set[int] = set()
        self._walk(values, depth=0)

    def _walk(self, values: Any, depth: int) -> None:
        for value in values:
            kind = type(value)
            if kind in SCALARS:
                continue
            if is_mutable(kind):
                if id(value) in self._seen:
                    self.aliased = True
                    continue
                self._seen.add(id(value))
                self.containers.append(value)
            if (kind is list or kind is tuple) and depth < 100 and not set(map(type, value)) <= SCALARS:  # noqa: PLR2004
                self._walk(value, depth + 1)
            elif kind is dict and depth < 100:  # noqa: PLR2004 - deeper ones are not followed
                self._walk(value.values(), depth + 1)


def detached(value: Any, made: dict[int, Any] | None = None) -> Any:
    """A value with copies of all containers in it; one that stands in two places does so in the copy."""
    made = {} if made is None else made
    kind = type(value)
    if id(value) in made:
        return made[id(value)]
    if kind is tuple:
        return tuple(detached(item, made) for item in value)
    if split_arrays.is_array(kind):
        made[id(value)] = split_arrays.copied(value)
        return made[id(value)]
    if kind not in MUTABLE:
        return value
    made[id(value)] = copy = kind()
    if kind is dict:
        copy.update((key, detached(item, made)) for key, item in value.items())
    elif kind is list:
        copy.extend(detached(item, made) for item in value)
    elif kind is set:
        copy.update(value)
    else:
        copy.extend(value)
    return copy


def snapshot(container: Any) -> Any:
    """A shallow copy to compare with."""
    if split_arrays.is_array(type(container)):
        return split_arrays.snapshot(container)
    return list(container.items()) if type(container) is dict else list(container)


def differs(container: Any, before: Any) -> bool:
    """Whether the container holds other items than it did, or in another order."""
    if split_arrays.is_array(type(container)):
        return split_arrays.differs(container, before)
    if len(container) != len(before):
        return True
    if type(container) is dict:
        items = zip(container.items(), before, strict=True)
        return not all(new[0] is old[0] and new[1] is old[1] for new, old in items)
    if type(container) is bytearray:
        return list(container) != before
    return not all(map(is_, container, before))


def refill(container: Any, content: Any) -> None:
    """Make the container hold `content`, in place. MalformedError when that does not fit."""
    kind = type(container)
    if split_arrays.is_array(kind):
        split_arrays.refill(container, content)
        return
    wants(content, list if kind is set else bytes if kind is bytearray else kind)
    if kind in (list, bytearray):
        container[:] = content
    else:
        container.clear()
        container.update(content)


def _references(container: Any) -> int:
    return getrefcount(container)


_probe: dict[int, Any] = {0: []}
ALONE = _references(_probe[0])  # what it says of a container that nothing but a table holds


class SharedContainers:
    """The containers of one side that the other one knows, by number, with what they held when both agreed."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.known: dict[int, Any] = {}
        self._before: dict[int, Any] = {}
        self._items = 0

    def add(self, number: int, container: Any) -> None:
        """Watch a container from now on."""
        self.known[number] = container
        self._before[number] = before = snapshot(container)
        self._items += len(before)
        self._codec.shared[id(container)] = number

    def drop(self, number: int) -> None:
        """Let go of one; unknown numbers are ignored."""
        container = self.known.pop(number, None)
        if container is not None:
            self._codec.shared.pop(id(container), None)
            self._items -= len(self._before.pop(number))

    def changes(self) -> list[Any]:
        """(number, content) of those that changed since both agreed; they agree again."""
        changed = [number for number, container in self.known.items() if differs(container, self._before[number])]
        for number in changed:
            before = self._before[number]
            self._before[number] = now = snapshot(self.known[number])
            self._items += len(now) - len(before)
        return [[number, content] for number in changed if (content := self._content(number)) is not None]

    def _content(self, number: int) -> Any:
        """What one holds; None, and nobody watches it any more, where it came to hold itself."""
        try:
            return self._codec.pack_content(self.known[number])
        except MalformedError:
            self.drop(number)
            return None

    def take(self, number: int, content: Any) -> Any:
        """Make one hold what the other side says, and give it. MalformedError for one that nobody knows."""
        if type(number) is not int or number not in self.known:
            raise MalformedError("a container that nobody handed over")
        container = self.known[number]
        refill(container, content)
        before = self._before[number]
        self._before[number] = now = snapshot(container)
        self._items += len(now) - len(before)
        return container

    def unused(self) -> list[int]:
        """Numbers of those that nobody but this table holds."""
        known = self.known
        return [number for number in known if _references(known[number]) <= ALONE]

    def is_full(self) -> bool:
        """Whether no more are watched."""
        return self._items > MOST_WATCHED_ITEMS
