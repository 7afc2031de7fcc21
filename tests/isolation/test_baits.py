"""Baits for attacks: several may be laid at the same time, each goes with its own block."""

import os
import sys

import pytest

from prismenv.isolation.baits import SECRET, VARIABLE, laid_baits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="baits are Linux's")


def test_two_may_be_laid_and_either_may_go_first() -> None:
    before = os.environ.get(VARIABLE)
    first, second = laid_baits(), laid_baits()
    one, other = first.__enter__(), second.__enter__()
    try:
        assert one.words["ABSTRACT"] != other.words["ABSTRACT"]
        assert not one.damage()
        assert os.environ[VARIABLE] == SECRET
    finally:
        first.__exit__(None, None, None)
    assert not other.damage()
    assert os.environ[VARIABLE] == SECRET
    second.__exit__(None, None, None)
    assert os.environ.get(VARIABLE) == before
