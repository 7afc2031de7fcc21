"""The answer of a session to a call: whatever stands on the channel is an answer or a violation, and nothing runs."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.isolation.frames import FrameDecoder
from prismenv.isolation.launch import Exit
from prismenv.isolation.sessioncall import TOLD_OUTCOMES, CallEnd, checked_answer
from prismenv.isolation.sessionresult import OUTCOME_OF, code_result
from prismenv.words.coderesult import CodeResult
from prismenv.words.errors import ProtocolException
from prismenv.words.limits import Limits

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
TEXT = st.text(max_size=20)
ERRORS = st.none() | st.tuples(TEXT, TEXT, st.none() | TEXT, st.none() | st.integers(0, 255)).map(list)
ANSWERS = st.tuples(st.just(7), st.sampled_from(sorted(TOLD_OUTCOMES)), st.none() | TEXT, ERRORS).map(list)


@given(PLAIN | st.lists(PLAIN, max_size=5) | ANSWERS)
def test_only_answers_are_taken(said: Any) -> None:
    fields = said if isinstance(said, list) else [said]
    try:
        outcome, result, error = checked_answer(fields, 7)
    except ProtocolException:
        return
    assert fields[0] == 7
    assert (error is None) == (outcome == "finished")
    made = code_result(CallEnd(told=[outcome, result, error]), Limits())
    assert CodeResult.model_validate_json(made.model_dump_json()) == made


@given(ANSWERS.filter(lambda answer: (answer[3] is None) == (answer[1] == "finished")))
def test_answers_are_taken_as_they_are(answer: list[Any]) -> None:
    assert checked_answer(answer, 7) == answer[1:]
    with pytest.raises(ProtocolException):
        checked_answer(answer, 8)


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_bytes_are_frames_or_a_violation(parts: list[bytes]) -> None:
    decoder = FrameDecoder("n" * 8)
    with suppress(ProtocolException):
        for part in parts:
            for frame in decoder.feed(part):
                json.dumps(frame)


@pytest.mark.parametrize("reason", [None, *OUTCOME_OF])
@pytest.mark.parametrize("told", [None, ["finished", "1", None], ["raised", None, ["E", "m", None, None]]])
@pytest.mark.parametrize("exit_", [None, Exit(0), Exit(9), Exit(-9), Exit(-11), Exit(None, message="lost")])
@pytest.mark.parametrize("broken", ["", "no descriptors"])
def test_every_end_is_a_record_of_one_class(
    reason: str | None, told: list[Any] | None, exit_: Exit | None, broken: str
) -> None:
    made = code_result(CallEnd(told=told, reason=reason, exit=exit_, broken=broken), Limits())
    assert (made.error is None) == (made.outcome == "finished")
    assert made.session_ended == (exit_ is not None or bool(broken))
    if broken:
        assert made.outcome == "infrastructure_error" or told is not None
