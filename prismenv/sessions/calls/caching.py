"""`cache: true`: a question that was answered before is answered from the store.

A question is found by everything that its answer may depend on: provider, address, model, and the question as it is
recorded (role, messages, parameters, seed, and labels with the sample's number). Questions without a seed are drawn
anew each time, so they are counted: the second one of a run is answered as the second one of the run before was. Only
answers are kept, no failures. A cached answer uses no tokens and costs nothing; its usage says that it was cached.
"""

import json
from collections import Counter

import anyio.to_thread
from loguru import logger

from prismenv.contracts.archive import AnswerCache
from prismenv.contracts.clock import Clock
from prismenv.contracts.transport import ChatTransport, ModelReference
from prismenv.sessions.calls.exchange import (
    Malformed,
    digest_of,
    question_of,
    reply_of,
    reply_values,
    shown_by_pieces,
)
from prismenv.sessions.calls.wrapper import Wrapper
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.usage import Usage


class Cached(Wrapper):
    """Answers from the cache where it can."""

    def __init__(self, inner: ChatTransport, cache: AnswerCache, reference: ModelReference, clock: Clock) -> None:
        super().__init__(inner)
        self._cache = cache
        self._reference = reference
        self._clock = clock
        self._unseeded: Counter[str] = Counter()

    async def complete(self, request: ChatRequest) -> ChatReply:
        key = self._key(request)
        known = await anyio.to_thread.run_sync(self._cache.find, key)
        reply = None if known is None else self._read(key, known)
        if reply is not None:
            shown_by_pieces(reply, request)
            return reply
        reply = await self._inner.complete(request)
        text = json.dumps(reply_values(reply))
        await anyio.to_thread.run_sync(self._cache.keep, key, str(self._reference), text, self._clock.now())
        return reply

    def _key(self, request: ChatRequest) -> str:
        model = self._reference
        asked = {"provider": model.provider, "address": model.url, "model": model.model, **question_of(request)}
        key = digest_of(asked)
        if request.seed is not None:
            return key
        number = self._unseeded[key]
        self._unseeded[key] += 1
        return digest_of({**asked, "number": number})

    def _read(self, key: str, known: str) -> ChatReply | None:
        try:
            reply = reply_of(json.loads(known))
        except (Malformed, ValueError) as error:
            logger.warning("the cached answer {} cannot be read, and is asked for again: {}", key, error)
            return None
        usage = Usage(model=reply.usage.model, calls=1, cached=1)
        return ChatReply(reply.text, usage, reply.finish_reason, reply.remaining, reply.details)
