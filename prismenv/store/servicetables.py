"""The tables of an LLM service that several processes offer together, and the step that made them.

`session_exchanges` is the log of a session of the LLM interface; the others are the service's own. `opening` is what
tells a session from a later one of the same name.
"""

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Table, Text, UniqueConstraint

from prismenv.store.tables import FreeText, metadata

session_exchanges = Table(
    "session_exchanges",
    metadata,
    Column("session_id", FreeText, ForeignKey("sessions.session_id", ondelete="CASCADE"), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("inputs", Text, nullable=False),
    Column("response", FreeText, nullable=False),
)

service_sessions = Table(
    "service_sessions",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("session_id", FreeText, primary_key=True),
    Column("opening", Text, nullable=False, unique=True),
    Column("role", FreeText),
    Column("used_at", Double, nullable=False),
)

service_conversations = Table(
    "service_conversations",
    metadata,
    Column("opening", Text, ForeignKey("service_sessions.opening", ondelete="CASCADE"), primary_key=True),
    Column("role", FreeText, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("inner_id", Text, nullable=False),
)

service_tasks = Table(
    "service_tasks",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("session_id", FreeText, nullable=False),
    Column("question", FreeText),  # the client's key; NULL: it has none, or the question may be asked again
    Column("worker", Text, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("ending", Text),
    UniqueConstraint("owner", "session_id", "question"),
)

service_workers = Table(
    "service_workers",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("samples", Text, nullable=False),
)

STATEMENTS = (
    "ALTER TABLE sessions ADD COLUMN exchanges BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN last_key TEXT",
    "ALTER TABLE sessions ADD COLUMN last_outcome TEXT",
    """
    CREATE TABLE session_exchanges (
        session_id TEXT NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
        position BIGINT NOT NULL,
        inputs TEXT NOT NULL,
        response TEXT NOT NULL,
        PRIMARY KEY (session_id, position)
    )
    """,
    """
    CREATE TABLE service_sessions (
        owner TEXT NOT NULL,
        session_id TEXT NOT NULL,
        opening TEXT NOT NULL UNIQUE,
        role TEXT,
        used_at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (owner, session_id)
    )
    """,
    """
    CREATE TABLE service_conversations (
        opening TEXT NOT NULL REFERENCES service_sessions (opening) ON DELETE CASCADE,
        role TEXT NOT NULL,
        position BIGINT NOT NULL,
        inner_id TEXT NOT NULL,
        PRIMARY KEY (opening, role)
    )
    """,
    """
    CREATE TABLE service_tasks (
        task_id TEXT NOT NULL PRIMARY KEY,
        owner TEXT NOT NULL,
        session_id TEXT NOT NULL,
        question TEXT,
        worker TEXT NOT NULL,
        asked_at DOUBLE PRECISION NOT NULL,
        ended_at DOUBLE PRECISION,
        ending TEXT,
        UNIQUE (owner, session_id, question)
    )
    """,
    """
    CREATE TABLE service_workers (
        worker TEXT NOT NULL PRIMARY KEY,
        state TEXT NOT NULL,
        lease_until DOUBLE PRECISION NOT NULL,
        samples TEXT NOT NULL
    )
    """,
)
