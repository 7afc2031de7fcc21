"""The decoder of what guests send takes frames however they are cut, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.isolation.frames import FRAME_BYTES, FrameDecoder
from prismenv.isolation.transcript import Transcript
from prismenv.words.errors import ProtocolException

NONCE = "0123456789abcdef"
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=10,
)
FRAMES = st.lists(st.tuples(st.text(min_size=1, max_size=8), st.lists(PLAIN, max_size=4)), max_size=6)


def encoded(*fields: Any, nonce: str = NONCE) -> bytes:
    body = nonce.encode() + json.dumps(fields).encode("ascii")
    return len(body).to_bytes(4, "big") + body


@given(FRAMES, st.lists(st.integers(1, 40), min_size=1))
def test_frames_arrive_whole_however_the_stream_is_cut(frames: list[tuple[str, list[Any]]], cuts: list[int]) -> None:
    stream = b"".join(encoded(word, *fields) for word, fields in frames)
    decoder, turn = FrameDecoder(NONCE), 0
    got: list[list[Any]] = []
    while stream:
        size = cuts[turn % len(cuts)]
        got += decoder.feed(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert got == [[word, *fields] for word, fields in frames]


@given(st.binary(max_size=300))
def test_noise_is_a_protocol_error_or_waits_for_more_and_never_a_frame(noise: bytes) -> None:
    try:
        assert list(FrameDecoder(NONCE).feed(noise)) == []
    except ProtocolException:
        return


@pytest.mark.parametrize(
    "data",
    [
        encoded("done", nonce="f" * 16),
        (FRAME_BYTES + 1).to_bytes(4, "big"),
        (5).to_bytes(4, "big"),
        (len(NONCE) + 3).to_bytes(4, "big") + NONCE.encode() + b"{}x",
        (len(NONCE) + 2).to_bytes(4, "big") + NONCE.encode() + b"[]",
        (len(NONCE) + 5).to_bytes(4, "big") + NONCE.encode() + b"[NaN]",
        (len(NONCE) + 9000).to_bytes(4, "big") + NONCE.encode() + b"[" * 9000,
    ],
)
def test_what_is_no_frame_of_this_run_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolException):
        list(FrameDecoder(NONCE).feed(data))


GOOD: list[list[Any]] = [["ready"], ["parsed", ["a", "b"]], ["loading"], ["collected", ["a", "b"], []]]


@pytest.mark.parametrize(
    "frames",
    [
        [["done"]],
        [["ready"], ["ready"]],
        [*GOOD, ["end", 0, "passed", "", "", False, 0.1, False]],
        [*GOOD, ["start", 2]],
        [*GOOD, ["start", -1]],
        [*GOOD, ["start", True]],
        [*GOOD, ["start", 0], ["start", 1]],
        [*GOOD, ["start", 0], ["end", 1, "passed", "", "", False, 0.1, False]],
        [*GOOD, ["start", 0], ["end", 0, "perfect", "", "", False, 0.1, False]],
        [*GOOD, ["start", 0], ["end", 0, "passed", "", "", False, 0.1]],
        [*GOOD, ["start", 0], ["end", 0, "passed", "", "", False, 0.1, False], ["start", 0]],
        [*GOOD, ["start", 0], ["done"]],
        [*GOOD, ["done"], ["start", 0]],
        [*GOOD, ["_take", 0]],
        [*GOOD, ["start", 0], ["end", 0, "passed", "", "", False, 0.1, "solution"]],
        [["ready"], ["lost"]],
        [["ready"], ["parsed", ["a"]], ["forgery", "before the solution was loaded"]],
        [["ready"], ["parsed", ["a"]], ["flooded"]],
        [["unsplit", "before it was ready"]],
        [*GOOD, ["lost"], ["start", 0]],
        [*GOOD, ["forgery"], ["done"]],
        [["ready"], ["parsed", [1]]],
        [["ready"], ["parsed", ["a"] * 10_001]],
        [*GOOD, ["start", 10**30]],
    ],
)
def test_frames_out_of_order_or_shape_are_refused(frames: list[list[Any]]) -> None:
    stream = b"".join(encoded(*frame) for frame in frames)
    with pytest.raises(ProtocolException):
        Transcript(NONCE).hear(stream, 0.0)


def test_a_run_in_order_is_heard_to_its_end() -> None:
    transcript = Transcript(NONCE)
    ends: list[list[Any]] = [
        ["start", 0],
        ["end", 0, "passed", "", "", False, 0.1, False],
        ["end", 1, "errored", "m", "d", False, None, False],
        ["done"],
    ]
    frames: list[list[Any]] = [*GOOD, *ends]
    for at, frame in enumerate(frames):
        transcript.hear(encoded(*frame), float(at))
    assert transcript.finished
    assert [transcript.reports[index].outcome for index in (0, 1)] == ["passed", "errored"]
    assert transcript.reports[1].wall_seconds is None


def test_frames_before_a_bad_one_in_the_same_bytes_are_heard() -> None:
    transcript = Transcript(NONCE)
    stream = b"".join(encoded(*frame) for frame in GOOD) + b"\0\0\0\0garbage"
    with pytest.raises(ProtocolException):
        transcript.hear(stream, 0.0)
    assert transcript.solution_begun
