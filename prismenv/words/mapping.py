"""Frozen records that read both ways: `record.key` and `record["key"]`."""

from collections.abc import ItemsView, KeysView, ValuesView
from functools import cache
from typing import Any, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class FrozenModel(BaseModel):
    """A frozen record whose unknown keys are errors: the edge of the system.

    No field is NaN or infinite: JSON has no such numbers, and a record must be read back as it was written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class MappingModel(BaseModel):
    """A frozen record that also reads as a mapping, unknown keys included; dict(record) gives its top level."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, defer_build=True)

    def _fields(self) -> dict[str, Any]:
        return {**self.__dict__, **(self.__pydantic_extra__ or {})}

    def __getitem__(self, key: str) -> Any:
        fields = self.__dict__
        if key in fields:
            return fields[key]
        return (self.__pydantic_extra__ or {})[key]

    def __contains__(self, key: object) -> bool:
        return key in self.__dict__ or key in (self.__pydantic_extra__ or {})

    def __len__(self) -> int:
        return len(self._fields())

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, or `default` where there is no such key."""
        return self._fields().get(key, default)

    def keys(self) -> KeysView[str]:
        """All keys, declared ones first."""
        return self._fields().keys()

    def values(self) -> ValuesView[Any]:
        """All values, in the order of keys()."""
        return self._fields().values()

    def items(self) -> ItemsView[str, Any]:
        """All pairs, in the order of keys()."""
        return self._fields().items()


def number_only(value: Any) -> Any:
    """`value`, unless it is true or false, which Python would take for 1 and 0; a ValueError then."""
    if isinstance(value, bool):
        raise ValueError("expected a number, not true or false")  # noqa: TRY004 - pydantic's kind of complaint
    return value


class PlainNumbers(BaseModel):
    """What people write into files: true and false are no numbers there."""

    @field_validator("*", mode="before")
    @classmethod
    def _only_numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        numeric = info.field_name and _is_numeric(cast(Any, cls.model_fields[info.field_name].annotation))
        return number_only(value) if numeric else value


@cache
def _is_numeric(annotation: Any) -> bool:
    kinds = get_args(annotation) or (annotation,)
    return (int in kinds or float in kinds) and bool not in kinds
