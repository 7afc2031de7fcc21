"""What a store's name may be, told without the store's own library."""

import re

from prismenv.words.errors import StorageException

FORMS = "Write a path, sqlite:///FOLDER/FILE.db, or postgresql://USER@HOST/DATABASE."
# A scheme (of two letters at least: C:/ is a drive) with too little before its slashes: postgres//x, postgresql:/x.
_NEARLY_URL = re.compile(r"[A-Za-z][A-Za-z0-9+]+(//|:/(?!/))")


def check_name(text: str) -> None:
    """StorageException (`store_url`) for a path that looks like a URL in which a colon or a slash is missing."""
    found = None if "://" in text else _NEARLY_URL.match(text)
    if found is None:
        return
    raise StorageException(  # what follows is not shown: there may be a password in it
        f"The store's name begins with {found[0]!r}: it looks like a URL, but has no :// behind its first word.",
        code="store_url",
        hint=f"{FORMS} A path that is meant so begins with ./",
    )
