"""The tables, as queries see them: the newest version of what `migrations.py` makes.

Records and verdicts are JSON text (portable, and SQLite's JSON functions read it); what one asks for by value has a
column of its own beside it. `position` counts from 0 within a node. Seeds are decimal text: a user's seed may be any
integer. Events of the run itself have RUN_EVENTS in place of a node's index.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from prismenv.store.jsontext import encodable

RUN_EVENTS = -1

metadata = MetaData()


class FreeText(TypeDecorator[str]):
    """Text that nobody checked: lone surrogates, which no database takes, become the replacement character."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - fixed signature
        return None if value is None else encodable(value)


class ordered(FunctionElement[str]):  # noqa: N801 - it reads as a function of SQL
    """A text column to order by: by its code points, wherever a database would order as some language does."""

    inherit_cache = True
    type = Text()


@compiles(ordered)
def _ordered(element: ordered, compiler: SQLCompiler, **options: Any) -> str:
    """SQLite orders so by itself."""
    return compiler.process(element.clauses, **options)


@compiles(ordered, "postgresql")
def _ordered_by_bytes(element: ordered, compiler: SQLCompiler, **options: Any) -> str:
    return f'{compiler.process(element.clauses, **options)} COLLATE "C"'


schema_version = Table("schema_version", metadata, Column("version", BigInteger, primary_key=True, autoincrement=False))

runs = Table(
    "runs",
    metadata,
    Column("run_id", FreeText, primary_key=True),
    Column("name", FreeText, nullable=False),
    Column("environment", FreeText, nullable=False),
    Column("status", Text, nullable=False),
    Column("seed", Text, nullable=False),
    Column("recipe", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("note", FreeText, nullable=False),
)

nodes = Table(
    "nodes",
    metadata,
    Column("run_id", FreeText, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("node_index", BigInteger, primary_key=True, autoincrement=False),
    Column("node_id", FreeText, nullable=False),
    Column("concepts", Text, nullable=False),
    Column("difficulty", FreeText, nullable=False),
    Column("seed", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("success", Boolean, nullable=False),
    Column("fault", Text, nullable=False),
    Column("error", FreeText),
    Column("attempts", BigInteger, nullable=False),
    Column("success_rate", Double),
    Column("wall_seconds", Double),
    Column("result", Text),
    Column("phase", FreeText),
    Column("environment", FreeText),
)


def _of_node() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(("run_id", "node_index"), ("nodes.run_id", "nodes.node_index"), ondelete="CASCADE")


attempts = Table(
    "attempts",
    metadata,
    Column("run_id", FreeText, primary_key=True),
    Column("node_index", BigInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("problem_index", BigInteger, nullable=False),
    Column("attempt_num", BigInteger, nullable=False),
    Column("success", Boolean, nullable=False),
    Column("fault", Text, nullable=False),
    Column("outcome", Text),
    Column("tests_passed_num", BigInteger, nullable=False),
    Column("tests_failed_num", BigInteger, nullable=False),
    Column("tests_errored_num", BigInteger, nullable=False),
    Column("fixed_by_problem_fixer", Boolean, nullable=False),
    Column("wall_seconds", Double),
    Column("cpu_seconds", Double),
    Column("record", Text, nullable=False),
    _of_node(),
)

model_calls = Table(
    "model_calls",
    metadata,
    Column("run_id", FreeText, primary_key=True),
    Column("node_index", BigInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("role", FreeText, nullable=False),
    Column("model", FreeText, nullable=False),
    Column("prompt", FreeText, nullable=False),
    Column("answer", FreeText, nullable=False),
    Column("error", FreeText),
    Column("wall_seconds", Double),
    Column("usage_model", FreeText),
    Column("calls", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost_usd", Double),
    Column("estimated", Boolean, nullable=False),
    Column("cached", BigInteger, nullable=False),
    _of_node(),
)

answers = Table(
    "answers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("model", FreeText, nullable=False),
    Column("answer", Text, nullable=False),
    Column("at", Double, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("run_id", FreeText, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("node_index", BigInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("data", Text, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", FreeText, primary_key=True),
    Column("role", FreeText, nullable=False),
    Column("seed", Text),
    Column("labels", Text, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("used_at", Double, nullable=False),
    Column("exchanges", BigInteger, nullable=False),
    Column("last_key", FreeText),
    Column("last_outcome", Text),
)

session_messages = Table(
    "session_messages",
    metadata,
    Column("session_id", FreeText, ForeignKey("sessions.session_id", ondelete="CASCADE"), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("role", Text, nullable=False),
    Column("content", FreeText, nullable=False),
)
