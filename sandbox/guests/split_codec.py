"""The format in which values cross between the two processes of a split verdict: data as it is, the rest by handle.

A value is JSON. Numbers, strings, true, false, null and arrays stand for themselves (an array is a list); whatever else
there is is an object whose first key is its tag, and the values below a tag are decoded before it is. So plain data
goes through the scanner of the standard library at its speed, and nothing in a frame can name code: a tag is looked up
in a table of functions, each of which makes one kind of value of parts that are checked.

Handles are the business of each side: a subclass gives `refer` (encode what is no data) and its own tags. Sizes are
checked before anything is built: bytes of a frame by whoever reads it, then the number of items and of tags, the depth
by the scanner's own recursion limit, the bits of an int (they travel in hexadecimal where decimal text ends), and the
exponent of a Decimal.
"""

import sys
from _json import encode_basestring_ascii, make_encoder, make_scanner
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import split_arrays
from split_library import NAMED_DATA, MalformedError, named_of, parts_of, wants

FRAME_BYTES = 32 * 2**20
MOST_ITEMS = 4_000_000
MOST_TAGS = 1_000_000
MOST_DEPTH = 200
HEX_CHARACTERS = 2 * 2**20
LONGEST_INT = 2**8000  # decimal text ends at 4,300 digits
SIZED = frozenset({list, tuple, set, frozenset})
SCALARS = frozenset({int, float, str, bool, type(None)})
CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
# SystemError is what the scanner says of a frame that is cut short where the json package was never loaded.
UNREADABLE = (ValueError, TypeError, LookupError, RecursionError, ArithmeticError, AttributeError, SystemError)
VIEWS = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}


class CyclicError(Exception):
    """Data that holds itself has no end: it goes by handle."""


class _Scanning:
    """What the scanner of the standard library reads its settings from."""

    strict = True
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(CONSTANTS.__getitem__)

    def __init__(self, hook: Callable[[dict[str, Any]], Any]) -> None:
        self.object_hook = hook
        self.memo: dict[str, str] = {}


class Codec:
    """Encodes frames to bytes and back. `shared` maps the id of a container that both sides know to its number."""

    def __init__(self) -> None:
        self.shared: dict[int, int] = {}
        self.numbered: dict[int, int] = {}  # containers that go out with a number, from then on they are shared
        self._open: set[int] = set()
        # No marker of cycles, no indent, no sorting or skipping of keys; what is not a number may pass.
        self._encode = make_encoder(None, _no_default, encode_basestring_ascii, None, ":", ",", *(False, False, True))
        self._scan = make_scanner(_Scanning(self._unpack))
        self._contents: dict[type, Callable[[Any, int], Any]] = {
            list: self._pack_list, dict: self._pairs, set: self._pack_set, bytearray: self._pack_bytearray,
        }  # fmt: skip
        self._packers: dict[type, Callable[[Any, int], Any]] = {
            **dict.fromkeys((list, dict, set, bytearray), self._pack_mutable),
            tuple: self._pack_tuple, frozenset: self._pack_frozenset, bytes: self._pack_bytes,
            complex: self._pack_complex, range: self._pack_range, slice: self._pack_slice,
            type(...): lambda *_: {"e": "..."}, type(NotImplemented): lambda *_: {"e": "no"},
            **dict.fromkeys(VIEWS, self._pack_view),
        }  # fmt: skip
        self.tags: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
            "t": lambda content, _: tuple(wants(content, list)),
            "T": lambda content, _: [tuple(wants(item, list)) for item in wants(content, list)],
            "d": _dict_of,
            "s": lambda content, _: set(wants(content, list)),
            "f": lambda content, _: frozenset(wants(content, list)),
            "b": lambda content, _: a2b_base64(wants(content, str), strict_mode=True),
            "B": lambda content, _: bytearray(a2b_base64(wants(content, str), strict_mode=True)),
            "i": _int_of,
            "c": lambda content, _: complex(*(wants(part, float) for part in wants(content, list))),
            "r": lambda content, _: range(*(wants(part, int, bool) for part in wants(content, list))),
            "S": lambda content, _: slice(*wants(content, list)),
            "e": lambda content, _: {"...": ..., "no": NotImplemented}[content],
            "v": _view_of,
            "n": named_of,
            "A": split_arrays.array_of,
            "G": split_arrays.scalar_of,
            "Y": split_arrays.dtype_of,
            "a": lambda content, _: self.shared_container(content),
            "k": lambda content, parts: self.number(content, parts["l"]),
        }

    # ---- to bytes

    def encode(self, frame: list[Any]) -> bytes:
        """A frame whose parts went through pack()."""
        return "".join(self._encode(frame, 0)).encode("ascii")

    def pack(self, value: Any) -> Any:
        """What stands for `value` in a frame."""
        kind = type(value)
        if kind in SCALARS:
            return value if kind is not int else self._pack_int(value)
        try:
            return self._pack(value, 0)
        except CyclicError:
            return self.refer(value)
        finally:
            self._open.clear()

    def refer(self, value: Any) -> Any:
        """What stands for a value that is no data."""
        raise NotImplementedError

    def number(self, number: Any, container: Any) -> Any:
        """Told of a container that came with a number; gives it."""
        raise NotImplementedError

    def shared_container(self, number: Any) -> Any:
        """The container of that number. MalformedError when there is none."""
        raise NotImplementedError

    def pack_content(self, container: Any) -> Any:
        """What a container holds, for the other side to refill its own with."""
        kind = type(container)
        try:
            if kind is dict:
                return self._pairs(container, 0)
            if kind is bytearray:
                return self._pack_bytes(bytes(container), 0)
            if split_arrays.is_array(kind):
                return split_arrays.pack_array(container)
            return self._items(container, 0)
        except CyclicError:
            raise MalformedError("a shared container came to hold itself") from None
        finally:
            self._open.clear()

    def _pack(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in SCALARS:
            return value if kind is not int else self._pack_int(value)
        packer = self._packers.get(kind)
        if packer is None:
            packer = self._packer_by_name(kind)
            if packer is None:
                return self.refer(value)
        if depth >= MOST_DEPTH:
            raise CyclicError
        return packer(value, depth + 1)

    @staticmethod
    def _pack_int(value: int) -> Any:
        return value if -LONGEST_INT < value < LONGEST_INT else {"i": hex(value)}

    def _inside(self, value: Any, items: Any, depth: int) -> list[Any]:
        """Items that are not all scalars."""
        mark = id(value)
        if mark in self._open:
            raise CyclicError
        self._open.add(mark)
        pack = self._pack
        packed = [pack(item, depth) for item in items]
        self._open.discard(mark)
        return packed

    def _items(self, value: Any, depth: int) -> list[Any]:
        if is_flat(value):
            return value if type(value) is list else list(value)
        return self._inside(value, value, depth)

    def _pack_mutable(self, value: Any, depth: int) -> Any:
        """A container as it is, as the number that both sides know it by, or with a number that is new to the other."""
        mark, packer = id(value), self._contents[type(value)]
        if mark in self.shared:
            return {"a": self.shared[mark]}
        if mark not in self.numbered:
            return packer(value, depth)
        number = self.numbered.pop(mark)
        packed = {"k": number, "l": packer(value, depth)}
        self.shared[mark] = number
        return packed

    def _pack_list(self, value: list[Any], depth: int) -> Any:
        kinds = set(map(type, value))
        if kinds == {tuple} and is_flat(chain.from_iterable(value)):
            return {"T": value}
        if kinds == {list} and not self.shared and not self.numbered and is_flat(chain.from_iterable(value)):
            return value
        return self._items(value, depth)

    def _pack_tuple(self, value: tuple[Any, ...], depth: int) -> Any:
        return {"t": self._items(value, depth)}

    def _pairs(self, value: Any, depth: int) -> dict[str, Any]:
        mark = id(value)
        if mark in self._open:
            raise CyclicError
        self._open.add(mark)
        packed = {"d": self._items(list(value.keys()), depth), "v": self._items(list(value.values()), depth)}
        self._open.discard(mark)
        return packed

    def _pack_set(self, value: set[Any], depth: int) -> Any:
        return {"s": self._items(value, depth)}

    def _pack_frozenset(self, value: frozenset[Any], depth: int) -> Any:
        return {"f": self._items(value, depth)}

    @staticmethod
    def _pack_bytes(value: bytes, _: int) -> Any:
        return {"b": b2a_base64(value, newline=False).decode("ascii")}

    def _pack_bytearray(self, value: bytearray, _: int) -> Any:
        return {"B": b2a_base64(value, newline=False).decode("ascii")}

    @staticmethod
    def _pack_complex(value: complex, _: int) -> Any:
        return {"c": [value.real, value.imag]}

    def _pack_range(self, value: range, _: int) -> Any:
        return {"r": [self._pack_int(part) for part in (value.start, value.stop, value.step)]}

    def _pack_slice(self, value: slice, depth: int) -> Any:
        return {"S": [self._pack(part, depth) for part in (value.start, value.stop, value.step)]}

    def _pack_view(self, value: Any, depth: int) -> Any:
        which = VIEWS[type(value)]
        items = self._inside(value, value, depth)
        return {"v": which, "w": items}

    def _packer_by_name(self, kind: type) -> Callable[[Any, int], Any] | None:
        """Data of the standard library or numpy, recognised without loading the modules that it comes from."""
        tag = split_arrays.kind_of(kind)
        if tag:
            pack = split_arrays.PACKERS[tag]
            self._packers[kind] = self._contents[kind] = lambda value, _: pack(value)
            if tag == "A":
                self._packers[kind] = self._pack_mutable
            return self._packers[kind]
        name = (kind.__module__, kind.__qualname__)
        if name not in NAMED_DATA or getattr(sys.modules.get(name[0]), name[1], None) is not kind:
            return None
        self._packers[kind] = lambda value, depth: self._pack_named(name[1], value, depth)
        return self._packers[kind]

    def _pack_named(self, name: str, value: Any, depth: int) -> Any:
        parts = parts_of(name, value)
        if parts is None:
            return self.refer(value)
        return {"n": name, "p": self._inside(value, parts, depth)}

    # ---- from bytes

    def decode(self, body: bytes) -> list[Any]:
        """The frame that `body` is. MalformedError for anything else."""
        if body.count(b",") > MOST_ITEMS or body.count(b"{") > MOST_TAGS:
            raise MalformedError("a frame holds too many items")
        try:
            text = body.decode("ascii")
            frame, end = self._scan(text, 0)
        except MalformedError:
            raise
        except StopIteration:
            raise MalformedError("a frame ends too early") from None
        except UNREADABLE as error:
            raise MalformedError(f"a frame cannot be read: {type(error).__name__}: {error}"[:300]) from None
        if end != len(text) or type(frame) is not list or not frame or type(frame[0]) is not str:
            raise MalformedError("a frame is no array that begins with a word")
        return frame

    def _unpack(self, content: dict[str, Any]) -> Any:
        tag = next(iter(content), "")
        if not tag:
            raise MalformedError("an object without a tag")
        return self.tags[tag](content[tag], content)


def _no_default(value: Any) -> Any:
    raise MalformedError(f"{type(value).__name__} was not packed")


def is_flat(values: Iterable[Any]) -> bool:
    """Whether all of `values` stand for themselves in a frame: scalars, no int too long for decimal text."""
    values = values if type(values) in SIZED else list(values)
    kinds = set(map(type, values))
    if not kinds <= SCALARS:
        return False
    if int not in kinds:
        return True
    numbers: Any = values if kinds == {int} else [value for value in values if type(value) is int]
    return bool(min(numbers) > -LONGEST_INT and max(numbers) < LONGEST_INT)


def _dict_of(keys: Any, content: dict[str, Any]) -> dict[Any, Any]:
    return dict(zip(wants(keys, list), wants(content["v"], list), strict=True))


def _int_of(content: Any, _: dict[str, Any]) -> int:
    if len(wants(content, str)) > HEX_CHARACTERS:
        raise MalformedError("an int of too many bits")
    return int(content, 16)


def _view_of(which: Any, content: dict[str, Any]) -> Any:
    items = wants(content["w"], list)
    if which == "keys":
        return dict.fromkeys(items).keys()
    if which == "values":
        return dict(enumerate(items)).values()
    return dict(wants(item, tuple) for item in items).items()
