"""Secrets that a recipe should not hold are not kept either."""

import re
from typing import Any

MASK = "***"
_SECRET_KEY = re.compile(
    r"(^|[_-])(api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key|secret|password|passwd|passphrase"
    r"|credentials?|authorization|bearer|token)$"
)
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_URL_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]+@")
_DATABASE_PASSWORD = re.compile(r"(\bpostgres(?:ql)?(?:\+\w+)?://[^/@:\s]*):\S+@")  # such may hold / and @
_QUERY_PASSWORD = re.compile(r"([?&]\w*password=)[^&\s]+")


def mask_secrets(value: Any) -> Any:
    """A copy of plain data where texts under key-like names (`api_key`, `token`, …) and passwords in URLs are masked.

    A number is never masked: `tokens` and the like are budgets. A key that names an environment variable
    (`token_variable`) holds no secret.
    """
    if isinstance(value, str):
        value = _DATABASE_PASSWORD.sub(rf"\1:{MASK}@", value)
        return _QUERY_PASSWORD.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1:{MASK}@", value))
    if isinstance(value, dict):
        return {key: _masked_entry(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_secrets(item) for item in value]
    return value


def _masked_entry(key: object, value: Any) -> Any:
    if isinstance(value, str) and value and isinstance(key, str):
        name = _WORD_START.sub("_", key).lower()
        if _SECRET_KEY.search(name):
            return MASK
    return mask_secrets(value)
