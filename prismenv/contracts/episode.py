"""What goes into a step of an episode and what comes out of it: the types that authors and clients share.

An author's own types may derive from these, be any other pydantic model or dataclass, or be plain text and mappings.
Keys `done`, `reward`, `truncated` and `metadata` of an observation are the engine's, in whatever form it comes.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from prismenv.contracts.media import MEDIA_KEY, TEXT_KEY, check_media, media_document, media_of
from prismenv.words.errors import EnvironmentException, EnvironmentExecutionException

ObservationT = TypeVar("ObservationT")
OWN_KEYS = ("done", "reward", "truncated", "metadata")
_EMPTY_INFO = 2  # parts of what `reset` may return: an observation and its info
_CLASSIC, _MODERN = 4, 5  # parts of a step in Gym's older form, and in Gymnasium's
MOST_DIGITS = 4300  # of an integer: Python's own limit when it reads one
_LARGEST = 10**MOST_DIGITS
_LOOKED_INTO = frozenset({int, dict, list})
_anything: TypeAdapter[Any] = TypeAdapter(Any)


class Action(BaseModel):
    """The base of typed actions. A key that it does not name is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    metadata: dict[str, Any] = Field(default_factory=dict)


class Observation(BaseModel):
    """The base of typed observations. `reward` None: nothing was measured. `truncated`: it ended before its end."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    done: bool = False
    reward: float | None = None
    truncated: bool = False
    metadata: dict[str, Any] = Field(default_factory=dict)


class State(BaseModel):
    """The base of typed states, which an author changes as the episode goes on: `self._state.step_count += 1`.

    `episode_id` None: filled by the engine where it is shown.
    """

    model_config = ConfigDict(extra="allow", validate_assignment=True)

    episode_id: str | None = None
    step_count: int = Field(default=0, ge=0)


@dataclass(frozen=True, slots=True)
class StepResult(Generic[ObservationT]):
    """What `reset` and `step` come to.

    `reward` None: nothing was measured; `reset` has none. `done`: the episode is over, because it came to its end
    (`terminated`) or was cut off before (`truncated`). `info` is what an author told beside the observation.
    """

    observation: ObservationT
    reward: float | None = None
    done: bool = False
    truncated: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def terminated(self) -> bool:
        """Whether the episode came to its own end."""
        return self.done and not self.truncated


def as_step(returned: object, environment_name: str, method: str) -> StepResult[Any]:
    """What an author returned, in the one shape that everybody reads.

    A StepResult; `(observation, info)` of reset; `(observation, reward, done, info)` or `(observation, reward,
    terminated, truncated, info)` of step; or the observation alone, with `done`, `reward` and `truncated` in it.
    EnvironmentExecutionException for anything else.
    """
    try:
        if isinstance(returned, StepResult):
            return _checked(returned)
        if isinstance(returned, tuple):
            return _checked(_of_tuple(returned, method))
        if isinstance(returned, Observation):
            return _checked(StepResult(returned, returned.reward, returned.done, returned.truncated, returned.metadata))
        own = _own_of(returned)
        return _checked(
            StepResult(
                returned,
                own.get("reward"),
                own.get("done", False),
                own.get("truncated", False),
                own.get("metadata") or {},
            )
        )
    except ValueError as error:
        raise EnvironmentExecutionException(
            f"{method} of {environment_name!r} returned what is no step: {error}",
            code="bad_step",
            subject=environment_name,
        ) from error


def _of_tuple(parts: tuple[Any, ...], method: str) -> StepResult[Any]:
    if method == "reset":
        if len(parts) != _EMPTY_INFO:
            raise ValueError(f"a tuple of reset is (observation, info), found {len(parts)} parts")
        return StepResult(parts[0], info=parts[1])
    if len(parts) == _CLASSIC:
        observation, reward, done, info = parts
        info = {} if info is None else info
        cut = isinstance(info, Mapping) and info.get("TimeLimit.truncated") is True  # Gym's own word for it
        return StepResult(observation, reward, done, cut and done is True, info)
    if len(parts) == _MODERN:
        observation, reward, terminated, truncated, info = parts
        if not isinstance(terminated, bool) or not isinstance(truncated, bool):
            raise ValueError(f"terminated and truncated must be true or false, found {terminated!r}, {truncated!r:.80}")
        return StepResult(observation, reward, terminated or truncated, truncated and not terminated, info)
    raise ValueError(f"a tuple has 4 or 5 parts, found {len(parts)}")


def _own_of(observation: object) -> Mapping[str, Any]:
    """The engine's keys of an observation."""
    if isinstance(observation, Mapping):
        return observation
    return {key: getattr(observation, key) for key in OWN_KEYS if hasattr(observation, key)}


def _checked(step: StepResult[Any]) -> StepResult[Any]:
    reward = step.reward
    if hasattr(reward, "item") and not isinstance(reward, int | float):
        reward = cast(Any, reward).item()  # a number of numpy's
    if reward is not None:
        if not isinstance(reward, int | float) or not _is_finite(reward):
            found = f"{reward!r:.80}" if isinstance(reward, float) else type(reward).__name__
            raise ValueError(f"the reward must be a finite number or None, found {found}")
        reward = float(reward)
    if not isinstance(step.done, bool) or not isinstance(step.truncated, bool):
        raise ValueError(f"done and truncated must be true or false, found {step.done!r:.60}, {step.truncated!r:.60}")  # noqa: TRY004
    if step.truncated and not step.done:
        step = dataclasses.replace(step, done=True)
    if not isinstance(step.info, Mapping):
        raise ValueError(f"the info must be a mapping, found {type(step.info).__name__}")  # noqa: TRY004 - caught above
    if step.observation is None:
        raise ValueError("there is no observation")
    check_media(step.observation)
    return step if reward is step.reward else dataclasses.replace(step, reward=reward)


def _is_finite(number: float) -> bool:
    """Whether it is a number that a float can be; an integer may be larger than any."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _check_integers(value: Any) -> None:
    """ValueError for an integer with more digits than Python and others read. Strings and the like cost nothing."""
    kind = type(value)
    if kind is int:
        if not -_LARGEST < value < _LARGEST:
            raise ValueError(f"it holds an integer of more than {MOST_DIGITS:,} digits")
    elif kind is dict:
        for each in value.values():
            if type(each) in _LOOKED_INTO:
                _check_integers(each)
    elif kind is list and not _LOOKED_INTO.isdisjoint(map(type, value)):
        for each in value:
            _check_integers(each)


def plain(value: object, what: str) -> Any:
    """`value` as JSON has it; EnvironmentExecutionException where it cannot be."""
    try:
        made = _anything.dump_python(value, mode="json")
        _check_integers(made)
    except (ValueError, RecursionError) as error:
        raise EnvironmentExecutionException(f"{what} cannot be written as JSON: {error}", code="not_json") from error
    return made


def _without_media(observation: Any) -> dict[str, Any]:
    """An observation's own fields, as mappings or objects have them."""
    if isinstance(observation, Mapping | BaseModel):
        fields = dict(observation)
    elif dataclasses.is_dataclass(observation):
        fields = {each.name: getattr(observation, each.name) for each in dataclasses.fields(observation)}
    else:
        fields = {key: value for key, value in vars(observation).items() if not key.startswith("_")}
    return {key: value for key, value in fields.items() if key != MEDIA_KEY}


def observation_document(observation: object) -> dict[str, Any]:
    """An observation as an object of JSON, without the engine's keys but for metadata that says something.

    Text stands under `obs_str`, anything else that is no object under `value`.
    """
    if isinstance(observation, str):
        return {TEXT_KEY: observation}
    if (media := media_of(observation)) is not None:
        made = plain(_without_media(observation), "an observation")
        made[MEDIA_KEY] = plain(media_document(media), "an observation")
    else:
        made = plain(observation, "an observation")
    if not isinstance(made, dict):
        return {"value": made}
    return {key: value for key, value in made.items() if key not in OWN_KEYS or (key == "metadata" and value)}


def result_document(result: StepResult[Any]) -> dict[str, Any]:
    """`{"observation", "reward", "done"}`, and in `metadata` what stock clients have no place for.

    `metadata` is there only where there is something to say: whether the episode was truncated, and an author's info.
    """
    document: dict[str, Any] = {
        "observation": observation_document(result.observation),
        "reward": result.reward,
        "done": result.done,
    }
    if result.info or result.truncated:
        metadata = {**plain(dict(result.info), "an info"), **({"truncated": True} if result.truncated else {})}
        document["metadata"] = metadata
    return document


def document_of(outcome: StepResult[Any] | EnvironmentException) -> dict[str, Any] | EnvironmentException:
    """A result as JSON has it, or the error that there is: one that cannot be written costs the others nothing."""
    try:
        return outcome if isinstance(outcome, EnvironmentException) else result_document(outcome)
    except EnvironmentException as error:
        return error
