"""What goes into a template of an agent file and what comes out of it. Types are names, and are never evaluated."""

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from prismenv.sessions.patterns import compile_pattern
from prismenv.sessions.schemas import compile_schema
from prismenv.words.mapping import FrozenModel
from prismenv.words.nearness import nearest

Extraction = Literal["text", "code", "json", "fields"]

_JSON_NAMES = {
    "any": "any",
    "array": "array",
    "bool": "boolean",
    "boolean": "boolean",
    "code": "code",
    "dict": "object",
    "float": "number",
    "int": "integer",
    "integer": "integer",
    "json": "json",
    "list": "array",
    "none": "null",
    "null": "null",
    "number": "number",
    "object": "object",
    "str": "string",
    "string": "string",
    "text": "string",
    "tuple": "array",
}
_TYPE = re.compile(r"([A-Za-z]+)(\[[\w\s,.|\[\]]*\])?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def json_name(declared: str) -> str:
    """The JSON type that a declared name stands for: `list[str]` is an array. Raises ValueError for other words."""
    match = _TYPE.fullmatch(declared.strip())
    base = match.group(1).lower() if match else ""
    if base in _JSON_NAMES:
        return _JSON_NAMES[base]
    near = nearest(base, _JSON_NAMES)
    also = f"; did you mean {near}?" if near else ""
    raise ValueError(
        f"{declared!r} names no type; allowed: {', '.join(_JSON_NAMES)} (list[str] and the like too){also}"
    )


class AgentInput(FrozenModel):
    """One input of a template."""

    name: str  # as the environment gives it
    type: str = "str"  # a JSON type, json or code; never evaluated
    description: str = ""  # for readers

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"{value!r} is no name; expected letters, digits and underscores")
        return value

    @field_validator("type")
    @classmethod
    def _is_a_type(cls, value: str) -> str:
        json_name(value)
        return value


class FieldRule(FrozenModel):
    """Where one field of an answer stands: what `pattern` finds, or what is between `start` and `end`."""

    pattern: str | None = None  # in RE2's syntax; its group `value` counts, else its first group, else all of it
    start: str | None = Field(default=None, min_length=1)  # the text before the field, its first place in the answer
    end: str | None = Field(default=None, min_length=1)  # the text after it; nothing: up to the end of the answer
    required: bool = True  # false: null where it is not there

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            compile_pattern(value)
        return value

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if (self.pattern is None) == (self.start is None):
            raise ValueError("a field needs either pattern or start (and end)")
        if self.pattern is not None and self.end is not None:
            raise ValueError("end belongs to start, not to pattern")
        return self


class AgentOutput(AgentInput):
    """One output of a template. `extract` None: by `fields`, `schema`, `language`, the type and the role."""

    extract: Extraction | None = None  # what is taken from the answer
    language: str | None = None  # of code; nothing: python
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")  # a JSON schema that the answer satisfies
    fields: dict[str, FieldRule] | None = Field(default=None, min_length=1)  # by name; the answer is a JSON object

    @field_validator("json_schema")
    @classmethod
    def _is_a_schema(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            compile_schema(value)
        return value

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        given = {
            "fields": self.fields is not None,
            "json": self.json_schema is not None,
            "code": self.language is not None,
        }
        kinds = [kind for kind, there in given.items() if there]
        if len(kinds) > 1:
            raise ValueError("fields, schema and language exclude each other: each says what the answer is")
        if kinds and self.extract not in (None, kinds[0]):
            key = {"fields": "fields", "json": "schema", "code": "language"}[kinds[0]]
            raise ValueError(f"{key} belongs to extract: {kinds[0]}, not to extract: {self.extract}")
        if self.extract == "fields" and self.fields is None:
            raise ValueError("extract: fields needs fields, by name, each with a pattern or with start and end")
        return self

    def extraction(self, *, code: bool) -> tuple[Extraction, str | None]:
        """What is taken, and for `json` the JSON type (None: any). `code` says that a text of this role is code."""
        if self.fields is not None:
            return "fields", None
        kind = json_name(self.type)
        if self.json_schema is not None or self.extract == "json":
            return "json", None if kind in ("any", "json", "string", "code") else kind
        if self.extract is not None:
            return self.extract, None
        if self.language is not None or kind == "code" or (kind == "string" and code):
            return "code", None
        if kind in ("string", "any"):
            return "text", None
        return "json", None if kind == "json" else kind
