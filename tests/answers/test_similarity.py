"""Near duplicates are told from problems that only share a subject."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from prismenv.answers.similarity import THRESHOLD, is_near_duplicate, near_duplicate, normalise, similarity
from prismenv.simulated.bank import load_bank

WORDS = st.lists(st.sampled_from(["a", "list", "of", "numbers", "gives", "the", "sum", "3", "7"]), max_size=30).map(
    " ".join
)


def test_punctuation_case_and_space_count_for_nothing_and_numbers_do():
    assert normalise("  Sum:  the\n(3) numbers!") == "sum the 3 numbers"
    assert similarity("Sum the 3 numbers.", "sum THE 3 -- numbers") == 1.0
    assert similarity("add 3", "add 4") == 0.0


def test_no_two_challenges_of_the_bank_are_near_duplicates():
    statements = [challenge.statement for challenge in load_bank().challenges]
    worst = max(similarity(one, other) for one, other in itertools.combinations(statements, 2))
    assert worst < THRESHOLD / 2


def test_a_challenge_with_a_few_words_changed_is_a_near_duplicate():
    statements = [challenge.statement for challenge in load_bank().challenges]
    for statement in statements:
        edited = f"# Challenge\n\n{statement.upper()}".replace("RETURN", "GIVE BACK", 1) + "\nGood luck!"
        assert near_duplicate(edited, statements) == statement


def test_nothing_is_a_duplicate_of_nothing():
    assert not is_near_duplicate("", ["", "a"])
    assert not is_near_duplicate("sum", [])
    assert is_near_duplicate("sum", ["Sum!"])


@given(WORDS, WORDS)
def test_similarity_is_symmetric_and_within_its_bounds(one, other):
    assert similarity(one, other) == similarity(other, one)
    assert 0.0 <= similarity(one, other) <= 1.0


@given(st.text())
def test_every_text_is_like_itself(text):
    assert similarity(text, text) == 1.0


@given(st.text(), st.lists(st.text(), max_size=4))
def test_what_is_found_is_one_of_the_earlier_and_as_like_as_said(text, previous):
    found = near_duplicate(text, previous)
    if found is None:
        assert all(similarity(text, other) < THRESHOLD for other in previous) or not normalise(text)
    else:
        assert found in previous
        assert similarity(text, found) >= THRESHOLD
