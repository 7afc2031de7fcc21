"""Regular expressions of agent files, which are run against whatever a model wrote.

They are RE2's: the time is linear in the length of the text, whatever pattern and text are, and the same pattern finds
the same on every machine. What cannot be had in linear time (look-around, back references) is an error when the file
is read.
"""

from typing import Any

from prismenv.words.errors import ConfigurationException

EXTRA_HINT = "Install it: pip install 'prismenv[outputs]'"
_LONGEST = 2_000


def compile_pattern(pattern: str) -> Any:
    """The compiled pattern. Raises ValueError with RE2's own word for what is wrong, or where RE2 is not installed."""
    try:
        import re2  # noqa: PLC0415 - of an extra
    except ImportError as error:
        raise ConfigurationException(f"a pattern needs the extra 'outputs'. {EXTRA_HINT}", code="no_extra") from error
    if len(pattern) > _LONGEST:
        raise ValueError(f"the pattern has {len(pattern):,} characters; at most {_LONGEST:,} are taken")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        why = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise ValueError(
            f"RE2 does not take the pattern: {why} (there are no look-arounds and no back references)"
        ) from error


def found_by(compiled: Any, text: str) -> str | None:
    """What the pattern finds first: its group `value`, else its first group, else all of it. None: nothing."""
    match = compiled.search(text)
    if match is None:
        return None
    group: str | int = "value" if "value" in compiled.groupindex else min(compiled.groups, 1)
    found = match.group(group)
    return found if isinstance(found, str) else None
