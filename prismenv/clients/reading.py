"""What a client makes of documents: actions into objects of JSON, and answers into results."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, TypeAdapter

from prismenv.answers.fences import fenced_blocks, without_thoughts
from prismenv.contracts.episode import OWN_KEYS, StepResult, plain
from prismenv.contracts.face import TEXT_ACTION, text_field
from prismenv.contracts.media import TEXT_KEY
from prismenv.words.errors import ActionException, ConfigurationException, ProtocolException

ObservationT = TypeVar("ObservationT")
T = TypeVar("T")


class ResultReader(Generic[ObservationT]):
    """Reads results. `observation` is the type of what is seen; None: mappings as they come."""

    def __init__(self, observation: Any) -> None:
        self._type = observation
        self._adapter = None if observation in (None, str) else TypeAdapter(observation)

    def read(self, payload: Mapping[str, Any]) -> StepResult[ObservationT]:
        """A result of `{"observation", "reward", "done", "metadata"?}`."""
        seen, metadata = payload.get("observation"), payload.get("metadata") or {}
        done, reward = payload.get("done") is True, payload.get("reward")
        truncated = metadata.get("truncated") is True
        if self._type is str and isinstance(seen, dict) and isinstance(seen.get(TEXT_KEY), str):
            seen = seen[TEXT_KEY]
        elif self._adapter is not None:
            own = {"done": done, "reward": reward, "truncated": truncated}
            wanted = _fields(self._type)
            seen = self._adapter.validate_python(
                {**cast(dict[str, Any], seen), **{key: value for key, value in own.items() if key in wanted}}
            )
        info = {key: value for key, value in metadata.items() if key != "truncated"}
        number = None if reward is None else float(reward)
        return StepResult(cast(ObservationT, seen), number, done, truncated, info)


def read_by(read: Callable[[dict[str, Any]], T], payload: dict[str, Any]) -> T:
    """What `read` makes of an answer; ProtocolException where it cannot be read."""
    try:
        return read(payload)
    except (ValueError, TypeError, AttributeError) as error:
        raise ProtocolException(f"the result cannot be read: {error}", code="bad_result") from error


def action_document(action: Any) -> dict[str, Any]:
    """An action as an object of JSON: a mapping, text, a pydantic model or a dataclass."""
    if isinstance(action, str):
        return {TEXT_ACTION: action}
    if isinstance(action, BaseModel) or (dataclasses.is_dataclass(action) and not isinstance(action, type)):
        made = plain(action, "an action")
        return {key: value for key, value in made.items() if key != "metadata" or value}
    if isinstance(action, Mapping):
        return dict(action)
    raise ConfigurationException(
        f"an action is a mapping, text, a pydantic model or a dataclass, found {type(action).__name__}",
        code="bad_option",
        subject="action",
    )


def _fields(kind: Any) -> set[str]:
    """Which of the engine's keys a type of observations has."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return set(kind.model_fields) & set(OWN_KEYS)
    return {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()


def read_action(answer: str, schema: Mapping[str, Any]) -> Any:
    """A model's answer as an action of that JSON Schema.

    An object of JSON, alone or in a block, is the action itself. Where the action needs one text and nothing else, any
    other answer is that text: the last block of it, else all of it. Thoughts are left out. ActionException where it
    is neither.
    """
    said = without_thoughts(answer)
    blocks = [block.text for block in fenced_blocks(said)]
    field = text_field(schema)
    for text in (*reversed(blocks), said):
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(read, dict) and (field is None or field in read):
            return read
    if field is None:
        raise ActionException("the answer holds no object of JSON, which the action has to be")
    return {field: blocks[-1] if blocks else said.strip()}
