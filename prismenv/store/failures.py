"""The boundary of the store: what SQLAlchemy raises becomes a StorageException that names the file or URL."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from prismenv.store.backend import Backend
from prismenv.words.errors import StorageException


@contextmanager
def storage_errors(backend: Backend, doing: str) -> Iterator[None]:
    """Classify the failures of the block; `doing` says what it does, as in `could not <doing>`."""
    location = backend.location
    try:
        yield
    except DBAPIError as error:
        code, what, hint = backend.explain(error.orig or error)
        message = f"The store {location} could not {doing}: {what}."
        raise StorageException(message, code=code, subject=location, hint=hint) from error
    except (SQLAlchemyError, OSError) as error:
        if isinstance(error, StorageException):
            raise
        raise StorageException(f"The store {location} could not {doing}: {error}.", subject=location) from error
