"""The wrong answers of the simulated model: bugs that were seen to fail the suite when the bank was built.

`bank/mutants.json` holds, for each challenge, the digest of what was run and the edits that survived. A challenge that
was changed since has another digest, and asking for its mutants is an error that says to build the bank again.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from prismenv.simulated.bank import FOLDER, Challenge
from prismenv.simulated.mutation import Edit, candidates
from prismenv.words.errors import ConfigurationException
from prismenv.words.seeding import derive_random

LEAST = 4  # mutants of each challenge
MOST = 8
FILE = FOLDER / "mutants.json"


def digest_of(challenge: Challenge) -> str:
    """A digest of solution and suite: what decides whether an edit is a bug."""
    content = f"{challenge.entry_point}\x1f{challenge.solution}\x1f{challenge.tests}"
    return blake2b(content.encode(), digest_size=8).hexdigest()


def candidates_of(challenge: Challenge) -> list[Edit]:
    """All candidate bugs, in the order in which they are tried: a seeded shuffle, each operator in its turn."""
    edits = candidates(challenge.solution)
    derive_random(0, "mutants", challenge.id).shuffle(edits)
    turns: dict[str, int] = {}
    ranks = []
    for edit in edits:
        turns[edit.operator] = turns.get(edit.operator, 0) + 1
        ranks.append(turns[edit.operator])
    return [edit for _, edit in sorted(zip(ranks, edits, strict=True), key=lambda pair: pair[0])]


def dump_mutants(chosen: Mapping[Challenge, Iterable[Edit]]) -> str:
    """The text of `mutants.json`: sorted, one line for each challenge."""
    lines = []
    for challenge in sorted(chosen, key=lambda challenge: challenge.id):
        edits = sorted((edit.operator, edit.start, edit.stop, edit.text) for edit in chosen[challenge])
        entry = {"digest": digest_of(challenge), "edits": edits}
        lines.append(f"{json.dumps(challenge.id)}: {json.dumps(entry, separators=(',', ':'))}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


@cache
def read_mutants(path: Path = FILE) -> Mapping[str, tuple[str, tuple[Edit, ...]]]:
    """For each challenge's id the digest of what was run, and its bugs."""
    try:
        entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: (
                str(entry["digest"]),
                tuple(Edit(str(op), int(start), int(stop), str(text)) for op, start, stop, text in entry["edits"]),
            )
            for name, entry in entries.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationException(f"{path} cannot be read: {error}; run scripts/build-bank") from error


@cache
def mutants_of(challenge: Challenge) -> tuple[str, ...]:
    """The sources of the challenge's bugs; ConfigurationException where they were built for another version of it."""
    digest, edits = read_mutants().get(challenge.id, ("", ()))
    if digest != digest_of(challenge) or not edits:
        raise ConfigurationException(
            f"{FILE.name} does not fit the challenge {challenge.id!r}: the bank was changed after it was built;"
            " run scripts/build-bank"
        )
    return tuple(edit.apply(challenge.solution) for edit in edits)
