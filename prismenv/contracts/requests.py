"""What a call of an environment may ask for, checked."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from prismenv.words.errors import ConfigurationException
from prismenv.words.limits import Limits
from prismenv.words.nearness import did_you_mean


def positive_option(options: Mapping[str, Any], name: str) -> float | None:
    """An option that is a finite number above 0; None where it is not given."""
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigurationException(
            f"option {name!r} must be a number above 0, found {value!r:.80}", code="bad_option", subject=name
        )
    return value


def whole_option(options: Mapping[str, Any], name: str, *, least: int = 1) -> int | None:
    """An option that is a whole number, `least` or more; None where it is not given."""
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationException(
            f"option {name!r} must be a whole number, {least} or more, found {value!r:.80}",
            code="bad_option",
            subject=name,
        )
    return value


def concepts_of(concept: object) -> tuple[Any, ...]:
    """The concepts that a call is about, for labels: one text, or several."""
    if isinstance(concept, str):
        return (concept,)
    return tuple(concept) if isinstance(concept, list | tuple) else ()


def asked_limits(asked: Mapping[str, Any]) -> Limits | None:
    """Limits of a call; None when none were named. ConfigurationException for an unknown or impossible one."""
    if not asked:
        return None
    try:
        return Limits(**asked)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        what = f"limit {name!r}: {first['msg'].lower()}, found {first['input']!r:.80}"
        if first["type"] == "extra_forbidden":
            what = f"there is no limit {name!r}{did_you_mean(name, Limits.model_fields)}"
        raise ConfigurationException(
            what,
            code="bad_limits",
            subject=name,
            hint=f"Limits are {', '.join(Limits.model_fields)}.",
        ) from error
