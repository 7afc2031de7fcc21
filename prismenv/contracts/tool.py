"""Tools: methods of an environment that an agent calls by name, with arguments as JSON has them.

What an agent is told of a tool is read from its signature, once, when the environment is registered: the schema of its
arguments, and its docstring. Arguments are validated strictly before the author's code sees them.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, Field, PydanticSchemaGenerationError, PydanticUserError, ValidationError
from pydantic import create_model as make_model
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from prismenv.contracts.environment import KNOWN_METHODS, MARK
from prismenv.words.errors import ActionException, RegistryException

MAX_NAME = 64
MAX_PARAMETERS = 64
MAX_DESCRIPTION = 8_192  # characters
MAX_SCHEMA_BYTES = 65_536
MAX_ARGUMENT_BYTES = 8 * 2**20
MAX_TOOLS = 256  # of one environment
ERRORS_SHOWN = 20

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_SELF = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=False)

FaultKind = Literal["execution_error", "invalid_args", "tool_not_found", "timeout"]  # OpenEnv's words
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


@overload
def tool(function: FunctionT) -> FunctionT: ...
@overload
def tool() -> Callable[[FunctionT], FunctionT]: ...
def tool(function: Any = None) -> Any:
    """Mark a method of an environment as a tool: `@tool` above it.

    Its parameters need types, and are given by name; its docstring is what agents read. It may be async or plain, and
    returns anything that JSON can hold, or a StepResult where it gives a reward or ends the episode. What is wrong with
    its signature is an error when the environment is registered; RegistryException at once for what is no function.
    """
    if function is None:
        return tool
    if not inspect.isfunction(function):
        raise RegistryException(
            f"@tool stands above a function, found {type(function).__name__}",
            code="bad_tool",
            hint="Put @tool directly above `def` or `async def`, below any other decorator.",
        )
    setattr(function, MARK, "tool")
    return function


@dataclass(frozen=True, slots=True)
class ToolFault:
    """Why a call of a tool gave no result."""

    error_type: FaultKind
    message: str


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a call of a tool came to: a result as JSON has it, or `error`, and then no result."""

    tool_name: str
    result: Any = None
    error: ToolFault | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as it is registered. `schema` is the JSON Schema of its arguments."""

    name: str
    description: str
    schema: Mapping[str, Any]
    arguments: type[BaseModel]

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the author's method takes them; those that were not given are left out.

        ActionException says what is wrong with them, and nothing happened.
        """
        try:
            text = json.dumps(given, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ActionException(f"the arguments of {self.name!r} cannot be written as JSON: {error}") from error
        if len(text) > MAX_ARGUMENT_BYTES:
            raise ActionException(f"the arguments of {self.name!r} are longer than {MAX_ARGUMENT_BYTES:,} bytes")
        try:
            read = self.arguments.model_validate_json(text)
        except ValidationError as error:
            raise _refused(self.name, error) from error
        fields = type(read).model_fields
        return {str(fields[key].alias): getattr(read, key) for key in read.model_fields_set}


@cache
def tools_of(cls: type[Any]) -> Mapping[str, Tool]:
    """The tools of an environment's class by name, those of its bases first. RegistryException for a bad one."""
    names = dict.fromkeys(name for klass in reversed(cls.__mro__) for name in vars(klass))
    members = {name: inspect.getattr_static(cls, name, None) for name in names}
    return MappingProxyType(read_tools(members, cls.__qualname__))


def read_tools(members: Mapping[str, Any], where: str) -> dict[str, Tool]:
    """The tools among what an author wrote. RegistryException that says what is wrong with one, and where."""
    marked = {name: member for name, member in members.items() if is_tool(member)}
    if len(marked) > MAX_TOOLS:
        raise RegistryException(f"{where}: {len(marked)} tools, and at most {MAX_TOOLS} are taken", code="bad_tool")
    return {name: _read_tool(name, member, where) for name, member in marked.items()}


def is_tool(member: object) -> bool:
    """Whether a member of a class was marked; also through a property, staticmethod or classmethod above the mark."""
    inner = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
    return callable(inner) and getattr(inspect.unwrap(inner), MARK, None) == "tool"


def _read_tool(name: str, member: Any, where: str) -> Tool:
    bad = _Complaint(name, where)
    if isinstance(member, property | staticmethod | classmethod):
        raise bad(f"a tool is a method that takes 'self', found a {type(member).__name__}")
    if name in KNOWN_METHODS or name.startswith("_") or len(name) > MAX_NAME:
        raise bad(
            f"a tool's name has at most {MAX_NAME} characters, does not begin with an underscore, and is none of the "
            f"engine's own: {', '.join(KNOWN_METHODS)}"
        )
    function = inspect.unwrap(member)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise bad("it is a generator; a tool returns what it has to say")
    description = inspect.cleandoc(function.__doc__ or "")
    if len(description) > MAX_DESCRIPTION:
        raise bad(f"its docstring is longer than {MAX_DESCRIPTION:,} characters")
    model = _model(function, bad)
    return Tool(name, description, MappingProxyType(_schema(model, bad)), model)


class _Complaint:
    """Makes the exceptions that speak of one tool."""

    def __init__(self, name: str, where: str) -> None:
        self._name = name
        self._where = where

    def __call__(self, what: str) -> RegistryException:
        return RegistryException(
            f"{self._where}: bad tool {self._name!r}: {what}", code="bad_signature", subject=self._name
        )


def _model(function: Callable[..., Any], bad: _Complaint) -> type[BaseModel]:
    """A model of the arguments. Its fields have names of ours, for an author's may be those of a model's methods."""
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].name != "self" or parameters[0].kind not in _SELF:
        raise bad("a method takes 'self' first")
    own = parameters[1:]
    if len(own) > MAX_PARAMETERS:
        raise bad(f"it has {len(own)} parameters, and at most {MAX_PARAMETERS} are taken")
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise bad(f"its types cannot be read: {error}") from error
    fields: dict[str, Any] = {}
    for number, item in enumerate(own):
        if item.kind not in _BY_NAME:
            raise bad(f"{str(item)!r} is not given by name; an agent gives each argument by its name")
        if item.name not in hints:
            raise bad(f"the parameter {item.name!r} has no type; write one, such as `{item.name}: str`")
        default = {} if item.default is item.empty else {"default": item.default}
        fields[f"argument_{number}"] = (hints[item.name], Field(alias=item.name, **default))
    try:
        return make_model(function.__name__, __config__=_CONFIG, **fields)
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError, ValueError) as error:
        raise bad(f"its parameters have types that cannot be read from JSON: {_first_line(error)}") from error


class _QuietSchema(GenerateJsonSchema):
    """A default that JSON cannot hold is left out without a warning."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - the library's own name


def _schema(model: type[BaseModel], bad: _Complaint) -> dict[str, Any]:
    try:
        schema = model.model_json_schema(by_alias=True, schema_generator=_QuietSchema)
        size = len(json.dumps(schema))
    except (PydanticInvalidForJsonSchema, PydanticUserError, TypeError, ValueError) as error:
        raise bad(f"its parameters have types that no schema can tell: {_first_line(error)}") from error
    if size > MAX_SCHEMA_BYTES:
        raise bad(f"the schema of its arguments is longer than {MAX_SCHEMA_BYTES:,} bytes")
    schema.pop("title", None)  # the method's name once more
    schema.pop("description", None)
    return {**schema, "properties": schema.get("properties", {})}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _refused(name: str, error: ValidationError) -> ActionException:
    found = error.errors(include_url=False, include_context=False, include_input=False)[:ERRORS_SHOWN]
    told = [{"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]} for item in found]
    said = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'they'}: {str(item['msg']).lower()}" for item in told)
    refusal = ActionException(f"the arguments of {name!r}: {said}")
    refusal.errors = told
    return refusal
