"""How numpy's arrays, scalars and types cross: by value, as a type's text, a shape and bytes.

numpy is found only where it is loaded already; what comes is checked against a list of types before numpy hears of it:
no objects, no structures, nothing of the sender's but bytes. Arrays of a class of their own (masked ones, matrices, a
solution's) are the data that they hold.
"""

import sys
from binascii import a2b_base64, b2a_base64
from typing import Any

NUMBERS = frozenset(
    {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "f16", "c8", "c16", "c32", "M8", "m8"}
)
UNITS = frozenset({"Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"})
TYPE_CHARACTERS = 16
MOST_DIMENSIONS = 32
BYTES_OF_ITEM = 8


class Held:
    """What an array held. Its length is what it costs to keep, in items; `data` None: it cannot be written to."""

    def __init__(self, plain: Any) -> None:
        self.form = (plain.dtype.str, plain.shape)
        self.data = plain.tobytes() if plain.flags.writeable else None

    def __len__(self) -> int:
        return 1 + len(self.data or b"") // BYTES_OF_ITEM


def loaded() -> Any:
    """numpy where it is loaded, None where it is not."""
    return sys.modules.get("numpy")


def is_array(kind: type) -> bool:
    """Whether a class is that of arrays, or derived from it."""
    numpy = loaded()
    return numpy is not None and issubclass(kind, getattr(numpy, "ndarray", ()))


def kind_of(kind: type) -> str:
    """The tag under which values of a class cross; empty for what is not numpy's."""
    numpy = loaded()
    if numpy is None or not hasattr(numpy, "dtype"):  # as long as it is being imported it has nothing
        return ""
    if issubclass(kind, numpy.ndarray):
        return "A"
    if issubclass(kind, numpy.generic):
        return "G"
    return "Y" if issubclass(kind, numpy.dtype) else ""


def pack_array(array: Any) -> dict[str, Any]:
    """An array in a frame. TypeError for one that holds objects or structures."""
    plain = _plain(array)
    packed = {"A": _named(plain.dtype), "s": list(plain.shape), "b": _text(plain.tobytes())}
    if not plain.flags.writeable:
        packed["r"] = True
    return packed


def pack_scalar(scalar: Any) -> dict[str, Any]:
    """A scalar in a frame."""
    dtype = scalar.dtype
    return {"G": _named(dtype), "b": _text(scalar.tobytes() if dtype.itemsize else b"")}  # an empty text has one


def pack_dtype(dtype: Any) -> dict[str, Any]:
    """A type in a frame."""
    return {"Y": _named(dtype)}


def scalar_type(value: Any) -> dict[str, Any] | None:
    """A class of scalars (`numpy.int32`) in a frame; None for anything else, and for one that no type leads back to."""
    numpy = loaded()
    if numpy is None or type(value) is not type or value.__module__ != "numpy" or not issubclass(value, numpy.generic):
        return None
    if value in (numpy.str_, numpy.bytes_):
        return {"Y": numpy.dtype(value).str, "k": True}
    try:
        dtype = numpy.dtype(value)
    except TypeError:  # an abstract one
        return None
    return {"Y": dtype.str, "k": True} if dtype.type is value and is_type(dtype.str) else None


def array_of(name: Any, content: dict[str, Any]) -> Any:
    """The array of a frame, with memory of its own. ValueError for what does not fit together."""
    dtype, shape, data = _dtype(name), content["s"], _bytes(content["b"])
    if type(shape) is not list or len(shape) > MOST_DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError("an array of no shape")
    size = dtype.itemsize
    for number in shape:
        size *= number
    if not dtype.itemsize or size != len(data):
        raise ValueError("an array of other bytes than its shape and type say")
    numpy = sys.modules["numpy"]
    made = numpy.frombuffer(data, dtype).reshape(shape).copy() if data else numpy.empty(shape, dtype)
    if content.get("r") is True:
        made.flags.writeable = False
    return made


def scalar_of(name: Any, content: dict[str, Any]) -> Any:
    """The scalar of a frame."""
    dtype, data = _dtype(name), _bytes(content["b"])
    if len(data) != dtype.itemsize:
        raise ValueError("a scalar of other bytes than its type says")
    return sys.modules["numpy"].frombuffer(data, dtype)[0] if data else dtype.type()


def dtype_of(name: Any, content: dict[str, Any]) -> Any:
    """The type of a frame, or the class of its scalars."""
    dtype = _dtype(name)
    return dtype.type if content.get("k") is True else dtype


def snapshot(array: Any) -> Held:
    """What an array holds, to compare with."""
    return Held(_plain(array))


def differs(array: Any, before: Held) -> bool:
    """Whether an array holds something else. One that cannot be written to, or has another shape by now, does not."""
    now = Held(_plain(array))
    return now.form == before.form and None not in (now.data, before.data) and now.data != before.data


def refill(array: Any, content: Any) -> None:
    """Make an array hold what another one does. ValueError where that does not fit."""
    plain = _plain(array)
    if type(content) is not type(plain) or (content.dtype, content.shape) != (plain.dtype, plain.shape):
        raise ValueError("it does not fit into the array")
    plain[...] = content


def copied(array: Any) -> Any:
    """A copy, which can be written to where the array can."""
    plain = _plain(array)
    copy = plain.copy()
    copy.flags.writeable = plain.flags.writeable
    return copy


def is_type(name: Any) -> bool:
    """Whether a type is one of booleans, numbers, texts of a fixed length, points or lengths of time."""
    if type(name) is not str or not name.isascii() or len(name) > TYPE_CHARACTERS or name[:1] not in ("<", ">", "|"):
        return False
    kind, rest = name[1:2], name[2:]
    if name[1:] in NUMBERS:
        return True
    if kind in ("S", "U"):
        return rest.isdecimal()
    unit = rest[2:-1].lstrip("0123456789")
    return kind in ("M", "m") and rest[:2] == "8[" and rest[-1:] == "]" and unit in UNITS


def _plain(array: Any) -> Any:
    """The array's data as an array of numpy's own class, in the same memory."""
    plain = sys.modules["numpy"].ndarray
    return array if type(array) is plain else plain.view(array, plain)


def _named(dtype: Any) -> str:
    name = dtype.str
    if dtype.hasobject or dtype.names is not None or not is_type(name):
        raise TypeError(
            f"numpy data of the type {dtype} does not cross between tests and solution, "
            "only numbers, booleans, texts and times do: convert it, or judge with `verdict: shared`"
        )
    return name


def _dtype(name: Any) -> Any:
    if not is_type(name):
        raise ValueError("no type of numbers, booleans, texts or times")
    try:
        __import__("numpy")  # the other side has it: a suite that never names it may still be given an array
    except ImportError:
        raise ValueError("an array where numpy is not offered") from None
    return sys.modules["numpy"].dtype(name)


def _text(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


def _bytes(content: Any) -> bytes:
    if type(content) is not str:
        raise ValueError("bytes that are none")
    return a2b_base64(content, strict_mode=True)


PACKERS = {"A": pack_array, "G": pack_scalar, "Y": pack_dtype}
