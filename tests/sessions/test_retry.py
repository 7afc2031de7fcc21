"""How long is waited before a call is made again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.network.retry import RetryPolicy, retry_after

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),  # that time has come
        (format_datetime(NOW + timedelta(days=400), usegmt=True), 7 * 86400.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sun, 99 Foo 2026", None),
        ("30", 30.0),
        ("", None),
    ],
)
def test_a_date_to_wait_for_is_as_good_as_a_number_of_seconds(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}, NOW.timestamp()) == seconds


@given(st.text(), st.text())
def test_no_header_breaks_the_reading(text: str, milliseconds: str) -> None:
    found = retry_after({"retry-after": text, "retry-after-ms": milliseconds}, NOW.timestamp())
    assert found is None or 0.0 <= found <= 7 * 86400.0


@given(st.integers(1, 20), st.integers(0, 2**63), st.none() | st.floats(0, 1000))
def test_waits_are_bounded_and_the_same_for_the_same_seed(failures: int, seed: int, asked: float | None) -> None:
    policy = RetryPolicy()
    wait = policy.wait_seconds(failures, seed, asked)
    assert 0.0 < wait <= max(policy.longest_seconds, asked or 0.0)
    assert wait >= (asked or 0.0)  # what is asked for is never shortened
    assert wait == policy.wait_seconds(failures, seed, asked)
