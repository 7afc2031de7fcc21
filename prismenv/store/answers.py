"""Cached answers of models, in the store's database."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection, delete, func, insert, select, update

from prismenv.contracts.archive import AnswerCache
from prismenv.store.tables import answers

Connect = Callable[[str], AbstractContextManager[Connection]]


class StoredAnswers(AnswerCache):
    """Over the store's own connections; `reading` and `writing` are told what is being done, for messages."""

    def __init__(self, reading: Connect, writing: Connect) -> None:
        self._reading = reading
        self._writing = writing

    def find(self, key: str) -> str | None:
        with self._reading("look for a cached answer") as connection:
            return connection.execute(select(answers.c.answer).where(answers.c.key == key)).scalar()

    def keep(self, key: str, model: str, answer: str, at: float) -> None:
        values = {"model": model, "answer": answer, "at": at}
        with self._writing("keep an answer") as connection:
            changed = connection.execute(update(answers).where(answers.c.key == key).values(values))
            if not changed.rowcount:
                connection.execute(insert(answers).values(key=key, **values))

    def count(self, before: float) -> int:
        with self._reading("count its cached answers") as connection:
            query = select(func.count()).select_from(answers).where(answers.c.at < before)
            return int(connection.execute(query).scalar_one())

    def remove(self, before: float) -> int:
        with self._writing("remove cached answers") as connection:
            return connection.execute(delete(answers).where(answers.c.at < before)).rowcount
