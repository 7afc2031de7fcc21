"""What PostgreSQL's errors mean, and what to do. The server's own words are told where they say more."""

from prismenv.words.errors import StorageException

_RESUME = "Nothing finished is lost: `prismenv run --resume RUN` goes on when it is back."
_Found = tuple[str, str, str]
_LOST: _Found = (
    "store_lost",
    "the connection to the server was lost",
    f"Start the server again, or look at its log. {_RESUME}",
)
_FULL: _Found = ("store_full", "the server's disk is full", f"Free some space there. {_RESUME}")
_BUSY: _Found = (
    "store_busy",
    "another process kept it locked, or the server is busy",
    "Try again when the other process has finished.",
)
_STATES: dict[str, _Found] = {
    "08": _LOST,
    "57P": _LOST,
    "53100": _FULL,
    "53300": ("store_busy", "the server takes no more connections", "Raise its max_connections or run fewer at once."),
    "53": _BUSY,
    "55P03": _BUSY,
    "40": _BUSY,
    "57014": _BUSY,
    "42501": (
        "store_unwritable",
        "its user may not do that",
        "Grant the user CREATE on the schema and all rights on its tables.",
    ),
    "25006": ("store_unwritable", "the server is read-only", "Name the primary server, not a standby."),
    "3F000": (
        "store_unwritable",
        "the schema that search_path names does not exist",
        "Make it with CREATE SCHEMA, or correct the URL's options.",
    ),
    "28": ("store_denied", "the server refused user or password", "Check user, password and the server's pg_hba.conf."),
    "3D000": ("store_unknown_database", "there is no such database", "Make it with `createdb NAME`; or correct it."),
    "XX": ("store_corrupt", "the server found damaged data", "See the server's log."),
}
# libpq tells no state of a connection that was refused, only the text.
_TEXTS: tuple[tuple[tuple[str, ...], _Found], ...] = (
    (("password authentication failed", "no password supplied", "pg_hba.conf", "authentication failed"), _STATES["28"]),
    (("role ", "does not exist"), _STATES["28"]),
    (("database ", "does not exist"), _STATES["3D000"]),
    (("too many clients", "remaining connection slots"), _STATES["53300"]),
    (("permission denied for database",), _STATES["42501"]),
    (("starting up", "shutting down", "closed the connection", "terminating connection", "EOF detected"), _LOST),
)
_UNREACHABLE = (
    "store_unreachable",
    "no server could be reached",
    f"Check host and port of the URL, and that the server runs and listens there. {_RESUME}",
)


def explain(error: BaseException) -> _Found:
    """Machine code, what is wrong and what to do, for an error of the driver."""
    state: str = getattr(error, "sqlstate", None) or ""
    words = " ".join(str(error).split()) or type(error).__name__
    for length in (5, 3, 2):
        if found := _STATES.get(state[:length]):
            return _with_words(found, words)
    if state or type(error).__name__ not in ("OperationalError", "ConnectionTimeout"):
        return "storage_failed", words, "See the PostgreSQL documentation for this error."
    for parts, found in _TEXTS:
        matches = all if parts[-1] == "does not exist" else any
        if matches(part in words for part in parts):
            return _with_words(found, words)
    return _with_words(_LOST if "consuming input" in words or "sending" in words else _UNREACHABLE, words)


def too_old(location: str, version: int, oldest: int) -> StorageException:
    """For a server of a major version that is not supported."""
    return StorageException(
        f"The server of the store {location} is PostgreSQL {version}; {oldest} or newer is needed.",
        code="store_too_old",
        subject=location,
        hint="Upgrade the server, or name another store with output.store.",
    )


def foreign_encoding(location: str, encoding: str | None) -> StorageException:
    """For a database that cannot keep every text."""
    return StorageException(
        f"The database of the store {location} has the encoding {encoding}, which cannot keep every text.",
        code="store_encoding",
        subject=location,
        hint="Make one with `createdb --encoding UTF8 --template template0 NAME`.",
    )


def _with_words(found: _Found, words: str) -> _Found:
    code, what, hint = found
    return code, f"{what} ({words:.300})", hint
