"""The store's schema, as the numbered steps that made it.

Theory of operation. Step N brings a store of version N-1 to version N; a new file starts at 0 and takes all of them.
Every step runs in the transaction of the whole migration, so a store has the old version or the newest, never half of
one. A step is never edited after a release: it is what older stores were made by. `tables.py` describes the newest
version for queries, and a test compares it with what the steps make. The SQL here is the part that SQLite and
PostgreSQL share.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, func, inspect, select

from prismenv.store.servicetables import STATEMENTS as _SERVICE
from prismenv.store.tables import schema_version
from prismenv.words.errors import StorageException

Step = Callable[[Connection], None]

_VERSION_1 = (
    """
    CREATE TABLE runs (
        run_id TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        environment TEXT NOT NULL,
        status TEXT NOT NULL,
        seed TEXT NOT NULL,
        recipe TEXT NOT NULL,
        started_at DOUBLE PRECISION NOT NULL,
        ended_at DOUBLE PRECISION,
        note TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE nodes (
        run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
        node_index BIGINT NOT NULL,
        node_id TEXT NOT NULL,
        concepts TEXT NOT NULL,
        difficulty TEXT NOT NULL,
        seed TEXT NOT NULL,
        options TEXT NOT NULL,
        success BOOLEAN NOT NULL,
        fault TEXT NOT NULL,
        error TEXT,
        attempts BIGINT NOT NULL,
        success_rate DOUBLE PRECISION,
        wall_seconds DOUBLE PRECISION,
        result TEXT,
        PRIMARY KEY (run_id, node_index)
    )
    """,
    """
    CREATE TABLE attempts (
        run_id TEXT NOT NULL,
        node_index BIGINT NOT NULL,
        position BIGINT NOT NULL,
        problem_index BIGINT NOT NULL,
        attempt_num BIGINT NOT NULL,
        success BOOLEAN NOT NULL,
        fault TEXT NOT NULL,
        outcome TEXT,
        tests_passed_num BIGINT NOT NULL,
        tests_failed_num BIGINT NOT NULL,
        tests_errored_num BIGINT NOT NULL,
        fixed_by_problem_fixer BOOLEAN NOT NULL,
        wall_seconds DOUBLE PRECISION,
        cpu_seconds DOUBLE PRECISION,
        record TEXT NOT NULL,
        PRIMARY KEY (run_id, node_index, position),
        FOREIGN KEY (run_id, node_index) REFERENCES nodes (run_id, node_index) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE model_calls (
        run_id TEXT NOT NULL,
        node_index BIGINT NOT NULL,
        position BIGINT NOT NULL,
        role TEXT NOT NULL,
        model TEXT NOT NULL,
        prompt TEXT NOT NULL,
        answer TEXT NOT NULL,
        error TEXT,
        wall_seconds DOUBLE PRECISION,
        usage_model TEXT,
        calls BIGINT NOT NULL,
        prompt_tokens BIGINT NOT NULL,
        completion_tokens BIGINT NOT NULL,
        cost_usd DOUBLE PRECISION,
        estimated BOOLEAN NOT NULL,
        PRIMARY KEY (run_id, node_index, position),
        FOREIGN KEY (run_id, node_index) REFERENCES nodes (run_id, node_index) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE events (
        run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
        node_index BIGINT NOT NULL,
        position BIGINT NOT NULL,
        type TEXT NOT NULL,
        at DOUBLE PRECISION NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (run_id, node_index, position)
    )
    """,
)


_ANSWERS = (
    """
    CREATE TABLE answers (
        key TEXT NOT NULL PRIMARY KEY,
        model TEXT NOT NULL,
        answer TEXT NOT NULL,
        at DOUBLE PRECISION NOT NULL
    )
    """,
    "ALTER TABLE model_calls ADD COLUMN cached BIGINT NOT NULL DEFAULT 0",
)


def _create(connection: Connection) -> None:
    for statement in _VERSION_1:
        connection.exec_driver_sql(statement)


_SESSIONS = (
    """
    CREATE TABLE sessions (
        session_id TEXT NOT NULL PRIMARY KEY,
        role TEXT NOT NULL,
        seed TEXT,
        labels TEXT NOT NULL,
        calls BIGINT NOT NULL,
        used_at DOUBLE PRECISION NOT NULL
    )
    """,
    """
    CREATE TABLE session_messages (
        session_id TEXT NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
        position BIGINT NOT NULL,
        role TEXT NOT NULL,
        content TEXT NOT NULL,
        PRIMARY KEY (session_id, position)
    )
    """,
)


def _add_sessions(connection: Connection) -> None:
    for statement in _SESSIONS:
        connection.exec_driver_sql(statement)


def _add_answers(connection: Connection) -> None:
    for statement in _ANSWERS:
        connection.exec_driver_sql(statement)


def _add_phases(connection: Connection) -> None:
    for column in ("phase", "environment"):
        connection.exec_driver_sql(f"ALTER TABLE nodes ADD COLUMN {column} TEXT")


def _add_service(connection: Connection) -> None:
    for statement in _SERVICE:
        connection.exec_driver_sql(statement)


STEPS: tuple[Step, ...] = (_create, _add_sessions, _add_answers, _add_phases, _add_service)


def migrate(connection: Connection, location: str, steps: Sequence[Step] = STEPS) -> int:
    """Bring the store to the newest version, within the caller's transaction; gives the version that it had.

    A newer store, or a database that is none of ours, is a StorageException.
    """
    version = _version_of(connection, location)
    newest = len(steps)
    if version > newest:
        raise StorageException(
            f"{location} has schema version {version}; this prismenv knows versions up to {newest}.",
            code="store_too_new",
            subject=location,
            hint="Use the prismenv that wrote it or a later one, or name another file with output.store.",
        )
    for number in range(version, newest):
        steps[number](connection)
        connection.execute(schema_version.insert().values(version=number + 1))
    return version


def _version_of(connection: Connection, location: str) -> int:
    names = inspect(connection).get_table_names()
    if schema_version.name not in names:
        if names:
            raise StorageException(
                f"{location} is a database of something else: it has tables ({', '.join(sorted(names)[:5])}) "
                "but no prismenv schema version.",
                code="store_foreign",
                subject=location,
                hint="Name another file with output.store.",
            )
        schema_version.create(connection)
        return 0
    version = connection.execute(select(func.max(schema_version.c.version))).scalar()
    if not isinstance(version, int) or version < 1:
        raise StorageException(
            f"{location} does not say which schema version it has: found {version!r:.40}.",
            code="store_corrupt",
            subject=location,
            hint="It was changed by hand or by another program; restore the file, or name another with output.store.",
        )
    return version
