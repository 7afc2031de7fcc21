"""The format between the two processes of a split verdict: everything comes back, and nothing else gets through."""

import datetime as dt
import json
import math
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from prismenv.finding.folders import builtin_workspace

GUESTS = builtin_workspace().root / "sandbox" / "guests"


@pytest.fixture(scope="module")
def codec_module() -> Iterator[Any]:
    sys.path.insert(0, str(GUESTS))
    try:
        import split_codec  # type: ignore[import-not-found]

        yield split_codec
    finally:
        sys.path.remove(str(GUESTS))
        sys.modules.pop("split_codec", None)
        sys.modules.pop("split_arrays", None)


def crossed(module: Any, value: Any) -> Any:
    near, far = module.Codec(), module.Codec()
    return far.decode(near.encode(["r", 0, near.pack(value)]))[2]


def same(one: Any, other: Any) -> bool:
    """Equal, of equal types all the way down, not-a-number like itself and minus zero unlike zero."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (one == other and math.copysign(1, one) == math.copysign(1, other)) or (
            math.isnan(one) and math.isnan(other)
        )
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, dict):
        return len(one) == len(other) and all(map(same, one, other)) and all(map(same, one.values(), other.values()))
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


scalars = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.builds(lambda bits, sign: sign * 3**bits, some.integers(0, 30_000), some.sampled_from([1, -1]))
    | some.floats()
    | some.text(alphabet=some.characters(exclude_categories=()))
    | some.binary()
    | some.complex_numbers(allow_nan=False)
)
hashables = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text() | some.binary(),
    lambda inner: some.tuples(inner, inner) | some.frozensets(inner, max_size=4),
    max_leaves=6,
)
moments = some.datetimes(timezones=some.just(dt.UTC) | some.none())
special = (
    some.decimals(allow_nan=False, allow_infinity=False).filter(lambda value: abs(value.as_tuple().exponent) < 20_000)  # type: ignore[arg-type]
    | some.fractions()
    | moments
    | some.dates()
    | some.times()
    | some.timedeltas()
    | some.uuids()
    | some.builds(bytearray, some.binary())
    | some.builds(range, some.integers(), some.integers(), some.integers(min_value=1))
)
values = some.recursive(
    scalars | special | some.sets(hashables, max_size=4) | some.frozensets(hashables, max_size=4),
    lambda inner: (
        some.lists(inner, max_size=5)
        | some.lists(inner, max_size=5).map(tuple)
        | some.dictionaries(hashables, inner, max_size=4)
        | some.lists(inner, max_size=3).map(deque)
    ),
    max_leaves=25,
)


@given(value=values)
@settings(max_examples=300, deadline=None)
def test_data_comes_back_as_it_was(codec_module: Any, value: Any) -> None:
    assert same(crossed(codec_module, value), value)


@pytest.mark.parametrize(
    "value",
    [
        ...,
        NotImplemented,
        slice(1, None, 2),
        Counter("abca"),
        OrderedDict(b=1, a=2),
        defaultdict(list, {"a": [1]}),
        deque([1, 2], maxlen=3),
        dt.timezone(dt.timedelta(hours=2), "here"),
        Decimal("NaN"),
        Fraction(-3, 7),
        UUID(int=5),
        PurePosixPath("/a/b"),
        Path("c"),
        [(1, "a"), (2, "b")],
        [[1, 2], [3]],
        [float("inf"), -0.0],
        {1: {2: {3: (4, [5])}}},
        '\ud800 {}[]:,"\\\0',
    ],
    ids=repr,
)
def test_each_kind_of_data_comes_back(codec_module: Any, value: Any) -> None:
    back = crossed(codec_module, value)
    assert repr(back) == repr(value)
    assert type(back) is type(value)


def test_views_of_a_dictionary_stay_views(codec_module: Any) -> None:
    source = {"a": 1, "b": 2}
    assert crossed(codec_module, source.keys()) == source.keys()
    assert list(crossed(codec_module, source.values())) == [1, 2]
    assert crossed(codec_module, source.items()) == source.items()


def test_what_a_default_dictionary_makes_crosses_with_it(codec_module: Any) -> None:
    assert crossed(codec_module, defaultdict(int))["none"] == 0


@given(body=some.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_frame_are_malformed(codec_module: Any, body: bytes) -> None:
    try:
        frame = codec_module.Codec().decode(body)
    except codec_module.MalformedError:
        return
    assert isinstance(frame, list)
    assert isinstance(frame[0], str)


TAGS = some.sampled_from(
    ["t", "T", "d", "s", "f", "b", "B", "i", "c", "r", "S", "e", "v", "w", "n", "p", "a", "k", "l", "x", ""]
)
trees = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(TAGS, inner, max_size=3),
    max_leaves=20,
)


@given(tree=trees)
@settings(max_examples=500, deadline=None)
def test_tags_that_do_not_fit_are_malformed(codec_module: Any, tree: Any) -> None:
    import json

    codec = codec_module.Codec()
    try:
        codec.decode(json.dumps(["r", 0, tree]).encode("ascii"))
    except (codec_module.MalformedError, NotImplementedError):  # a bare codec knows no containers by number
        return


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'["r",' + b'{"t":[' * 50_000,
        b'["r",0,' + b"9" * 5000 + b"]",
        b'["r",0,{"i":"0x' + b"f" * (3 * 2**20) + b'"}]',
        b'["r",0,{"n":"Decimal","p":["1e999999"]}]',
        b'["r",0,{"n":"Decimal","p":["' + b"1" * 30_000 + b'"]}]',
        b'["r",0,{"n":"Fraction","p":[1,0]}]',
        b'["r",0,{"n":"system","p":["ls"]}]',
        b'["r",0,{"n":"datetime","p":[1,2]}]',
        b'["r",0,{"d":[1],"v":[]}]',
        b'["r",0,{"d":[[]],"v":[1]}]',
        b'["r",0,{"b":"%%%"}]',
        b'["r",0,{}]',
        b'["r",0]x',
        b"{}",
        b"[]",
        b"[1]",
        b"\xff",
        b"",
    ],
    ids=range(19),
)
def test_a_hostile_frame_is_malformed(codec_module: Any, body: bytes) -> None:
    with pytest.raises(codec_module.MalformedError):
        codec_module.Codec().decode(body)


def test_too_many_items_are_refused_before_they_are_built(codec_module: Any) -> None:
    with pytest.raises(codec_module.MalformedError, match="too many"):
        codec_module.Codec().decode(b"[" + b"1," * 5_000_000 + b"1]")
    with pytest.raises(codec_module.MalformedError, match="too many"):
        codec_module.Codec().decode(b'["r"' + b",{}" * 1_500_000 + b"]")


def test_data_without_end_goes_by_handle(codec_module: Any) -> None:
    class Referring(codec_module.Codec):  # type: ignore[misc, name-defined]
        def refer(self, value: Any) -> Any:
            return {"h": [id(value)]}

    endless: list[Any] = [1]
    endless.append(endless)
    assert Referring().pack(endless) == {"h": [id(endless)]}
    assert Referring().pack({"inner": endless}).keys() == {"h"}
    shared = [1]
    assert Referring().pack([shared, shared]) == [[1], [1]]


ONE = "AAAAAAAAAAA="  # eight zeros
FLAT = some.sampled_from(["<f8", ">f8", "|b1", "<i2", "<u8", "<c16", "<U3", "|S2", "<M8[ns]", "<m8[10s]", "<f16"])


@given(FLAT, some.lists(some.integers(0, 4), max_size=4), some.randoms(use_true_random=False))
def test_arrays_come_back_byte_for_byte(codec_module: Any, name: str, shape: list[int], chance: Any) -> None:
    dtype = np.dtype(name)
    size = math.prod(shape) * dtype.itemsize
    data = bytes(chance.choice((0, 1)) for _ in range(size))
    array = np.ndarray(shape, dtype, bytearray(data) or bytearray(1))
    for sent in (array, array.T, array[::-1] if shape else array):
        found = crossed(codec_module, sent)
        assert type(found) is np.ndarray
        assert (found.dtype.str, found.shape, found.tobytes()) == (name, sent.shape, sent.tobytes())
        assert found.flags.owndata
        assert found.flags.writeable


@pytest.mark.parametrize(
    "name", ["|O", "O", "<f3", "|V8", "i4,f8", "<i4(2,)", "float64", "<U", "<U1e9", "<U\u0663", "<M8[x]", 8, None]
)
def test_types_that_are_not_on_the_list_are_malformed(codec_module: Any, name: Any) -> None:
    codec = codec_module.Codec()
    for tag in ({"A": name, "s": [1], "b": ONE}, {"G": name, "b": ONE}, {"Y": name}):
        with pytest.raises(codec_module.MalformedError):
            codec.decode(json.dumps(["r", tag]).encode())


@pytest.mark.parametrize(
    "parts",
    [
        {"s": [2], "b": ONE}, {"s": [-1], "b": ONE}, {"s": [2**62, 4], "b": ""}, {"s": [True], "b": ONE},
        {"s": 1, "b": ONE}, {"s": [1] * 40, "b": ONE}, {"s": [1], "b": "AAA"}, {"s": [1], "b": [0]},
        {"s": [1]}, {"b": ONE}, {"s": [0, 2**70], "b": ""},
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_together_are_malformed(codec_module: Any, parts: dict[str, Any]) -> None:
    codec = codec_module.Codec()
    with pytest.raises(codec_module.MalformedError):
        codec.decode(json.dumps(["r", {"A": "<f8", **parts}]).encode())
