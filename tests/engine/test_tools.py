"""Tools of an environment: what their signatures say, what the registry refuses, and what they may do in an episode."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from prismenv import (
    Action,
    ActionException,
    BaseEnvironment,
    EnvironmentClient,
    EnvironmentExecutionException,
    RegistryException,
    StepResult,
    environment_registry,
    tool,
)
from prismenv.contracts.services import Services
from prismenv.contracts.tool import MAX_DESCRIPTION, MAX_TOOLS, tools_of
from prismenv.engine.host.instance import Instance
from prismenv.sessions.local import InProcessInterface
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox
from prismenv.testing.transport import ScriptedTransport
from prismenv.words.errors import DeadlineException

pytestmark = pytest.mark.anyio
NAME = "environment_tried"


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    with environment_registry.isolated():
        yield


def services() -> Services:
    clock = ManualClock()
    interface = InProcessInterface({}, lambda _role: ScriptedTransport({}), clock)
    return Services(interface=interface, sandbox=ScriptedSandbox(), clock=clock)


def instance_of(cls: type[BaseEnvironment]) -> Instance:
    environment_registry.register(NAME)(cls)
    given = services()
    return Instance("one", cls(NAME, services=given, seed=1), given.clock, seed=1, lease_seconds=60.0)


class Point(BaseModel):
    x: int
    y: int = 0


class Act(Action):
    number: int


class Desk(BaseEnvironment):
    """Has steps and tools."""

    async def reset(self) -> dict[str, int]:
        self._drawer: list[str] = []
        return {"drawer": 0}

    async def step(self, action: Act) -> dict[str, int]:
        return {"number": action.number}

    @tool
    async def put(self, thing: str, times: Annotated[int, Field(ge=1, le=3, description="how often")] = 1) -> int:
        """Put a thing into the drawer.

        It may be looked at later.
        """
        self._drawer += [thing] * times
        return len(self._drawer)

    @tool()
    def look(self) -> list[str]:
        return self._drawer

    @tool
    async def submit(self, right: bool) -> StepResult[str]:
        """Say that you are done."""
        return StepResult("thank you", reward=1.0 if right else 0.0, done=True)

    @tool
    def misuse(self, how: str) -> Any:
        """Misbehave."""
        if how == "refuse":
            raise ActionException("not now")
        if how == "long":
            return "a" * 9 * 2**20
        if how == "odd":
            return object()
        raise ValueError("no such thing")

    @tool
    async def hang(self) -> None:
        """Never end."""
        await anyio.sleep_forever()


class Lookup(BaseEnvironment):
    """Has tools alone."""

    @tool
    def define(self, word: str) -> str:
        """Define a word."""
        return f"{word} is a word, found in thread {threading.current_thread() is not threading.main_thread()}"


class Quiz(BaseEnvironment):
    """Begins with a question; tools are all one can do."""

    async def reset(self) -> str:
        return "What is it?"

    @tool
    async def answer(self, text: str) -> StepResult[bool]:
        """Answer."""
        return StepResult(text == "it", reward=1.0, done=True)


def test_a_schema_is_read_from_the_signature_and_the_description_from_the_docstring() -> None:
    put = tools_of(Desk)["put"]
    assert put.description == "Put a thing into the drawer.\n\nIt may be looked at later."
    schema = dict(put.schema)
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["thing"], False)
    times = schema["properties"]["times"]
    assert (times["minimum"], times["maximum"], times["default"], times["description"]) == (1, 3, 1, "how often")
    assert tools_of(Desk)["look"].description == ""
    assert list(tools_of(Desk)) == ["put", "look", "submit", "misuse", "hang"]


def test_parameters_may_have_the_names_of_a_models_own_methods_and_any_type_that_json_can_give() -> None:
    class Odd(BaseEnvironment):
        @tool
        def do(
            self,
            copy: Point,
            schema: tuple[int, str],
            model_config: dt.date | None = None,
            *,
            json: Literal["a", "b"] = "a",
            left_out: object = object(),
        ) -> None: ...

    do = tools_of(Odd)["do"]
    assert list(do.schema["properties"]) == ["copy", "schema", "model_config", "json", "left_out"]
    read = do.read({"copy": {"x": 1}, "schema": [1, "a"], "model_config": "2026-01-02"})
    assert read == {"copy": Point(x=1), "schema": (1, "a"), "model_config": dt.date(2026, 1, 2)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "thing: field required"),
        ({"thing": 1}, "thing: input should be a valid string"),
        ({"thing": "a", "times": "2"}, "times: input should be a valid integer"),
        ({"thing": "a", "times": 9}, "times: input should be less than or equal to 3"),
        ({"thing": "a", "more": 1}, "more: extra inputs are not permitted"),
        ({"thing": float("nan")}, "cannot be written as JSON"),
        ({"thing": b"a"}, "cannot be written as JSON"),
        ({"thing": "a" * 9 * 2**20}, "longer than"),
    ],
    ids=["nothing", "no-text", "text-for-number", "too-many", "unknown", "nan", "bytes", "too-long"],
)
def test_arguments_are_taken_strictly(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ActionException, match="the arguments of 'put'") as refused:
        tools_of(Desk)["put"].read(given)
    assert said in str(refused.value)


VALUES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9)


@given(st.dictionaries(st.sampled_from(["thing", "times", "more"]), VALUES))
def test_whatever_is_given_is_read_or_refused(arguments: dict[str, Any]) -> None:
    try:
        read = tools_of(Desk)["put"].read(arguments)
    except ActionException:
        return
    assert isinstance(read["thing"], str)


def unnamed(self: Any, thing) -> None: ...  # type: ignore[no-untyped-def]
def rest(self: Any, *things: str) -> None: ...
def anything(self: Any, **things: str) -> None: ...
def by_place(self: Any, thing: str, /) -> None: ...
def selfless(thing: str) -> None: ...
def unknown_type(self: Any, thing: "NoSuchType") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def no_json(self: Any, thing: threading.Thread) -> None: ...
def no_schema(self: Any, thing: Callable[[], int]) -> None: ...
def generator(self: Any) -> Iterator[int]:
    yield 1


async def stream(self: Any) -> Any:
    yield 1


def talkative(self: Any) -> None: ...


talkative.__doc__ = "a" * (MAX_DESCRIPTION + 1)
BAD = [
    (unnamed, "'thing' has no type"),
    (rest, "not given by name"),
    (anything, "not given by name"),
    (by_place, "not given by name"),
    (selfless, "takes 'self' first"),
    (unknown_type, "its types cannot be read"),
    (no_json, "cannot be read from JSON"),
    (no_schema, "no schema can tell"),
    (generator, "a generator"),
    (stream, "a generator"),
    (talkative, "its docstring is longer"),
]


@pytest.mark.parametrize(("function", "said"), BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_a_tool_with_a_bad_signature_is_refused_in_both_forms_with_its_place(function: Any, said: str) -> None:
    with pytest.raises(RegistryException) as as_function:
        environment_registry.register_environment_method(NAME, "do")(tool(function))
    with pytest.raises(RegistryException) as as_class:
        environment_registry.register(NAME)(type("Made", (BaseEnvironment,), {"do": tool(function)}))
    for refused in (as_function.value, as_class.value):
        assert said in str(refused)
        assert "test_tools.py:" in str(refused)
    assert NAME not in environment_registry


def test_a_tool_may_not_stand_where_it_cannot_be_called_nor_have_a_name_of_the_engines() -> None:
    for wrap in (property, staticmethod, classmethod):
        with pytest.raises(RegistryException, match=wrap.__name__):
            environment_registry.register(NAME)(type("Made", (BaseEnvironment,), {"do": wrap(tool(Desk.look))}))
    for name in ("close", "step", "reset", "state", "_do", "a" * 65):
        with pytest.raises(RegistryException, match="a tool's name"):
            environment_registry.register(NAME)(type("Made", (BaseEnvironment,), {name: tool(Desk.look)}))
    many = {f"do_{number}": Desk.look for number in range(MAX_TOOLS + 1)}
    with pytest.raises(RegistryException, match="at most"):
        environment_registry.register(NAME)(type("Made", (BaseEnvironment,), many))
    for wrong in (property(lambda _self: 1), 5, Desk):
        with pytest.raises(RegistryException, match="above a function"):
            tool(wrong)  # type: ignore[type-var]


async def test_tools_in_function_form_are_called_as_any_other() -> None:
    @environment_registry.register_environment_method(NAME, "add")
    @tool
    async def add(self: Any, one: int, other: int) -> int:
        """Add."""
        return one + other

    assert environment_registry.faces(NAME) == ("tools",)
    async with EnvironmentClient.local(NAME, services=services()) as env:
        assert await env.call_tool("add", one=1, other=2) == 3
        assert [each["name"] for each in await env.list_tools()] == ["add"]


async def test_a_call_of_a_tool_is_a_step_of_the_episode() -> None:
    desk = instance_of(Desk)
    await desk.reset()
    called = await desk.step({"type": "call_tool", "tool_name": "put", "arguments": {"thing": "pen"}})
    assert (called.observation.tool_name, called.observation.result, called.observation.error) == ("put", 1, None)
    assert (called.reward, called.done) == (None, False)
    assert (await desk.step({"number": 4})).observation == {"number": 4}
    assert (await desk.state())["step_count"] == 2
    ended = await desk.call_tool("submit", {"right": True})
    assert (ended.observation.result, ended.reward, ended.done) == ("thank you", 1.0, True)
    assert await desk.compute_reward() == 1.0
    with pytest.raises(EnvironmentExecutionException) as over:
        await desk.call_tool("look", {})
    assert over.value.code == "episode_over"


async def test_tools_are_listed_at_any_time_and_called_within_an_episode_alone() -> None:
    desk = instance_of(Desk)
    listed = (await desk.step({"type": "list_tools"})).observation["tools"]
    assert listed[0]["name"] == "put"
    assert listed[0]["input_schema"] == dict(tools_of(Desk)["put"].schema)
    with pytest.raises(EnvironmentExecutionException) as early:
        await desk.call_tool("look", {})
    assert early.value.code == "no_episode"


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "said"),
    [
        ("puf", {}, "tool_not_found", "did you mean 'put'"),
        ("step", {}, "tool_not_found", "there is no tool 'step'"),
        ("__init__", {}, "tool_not_found", "there is no tool"),
        ("put", {"thing": 1}, "invalid_args", "thing: input should be a valid string"),
        ("misuse", {"how": "refuse"}, "invalid_args", "not now"),
        ("misuse", {"how": "raise"}, "execution_error", "ValueError: no such thing"),
        ("misuse", {"how": "long"}, "execution_error", "is longer than"),
        ("misuse", {"how": "odd"}, "execution_error", "cannot be written as JSON"),
    ],
)
async def test_what_goes_wrong_in_a_tool_is_an_answer_and_the_episode_goes_on(
    name: str, arguments: dict[str, Any], kind: str, said: str
) -> None:
    desk = instance_of(Desk)
    await desk.reset()
    called = await desk.step({"type": "call_tool", "tool_name": name, "arguments": arguments})
    assert called.observation.error.error_type == kind
    assert said in called.observation.error.message
    assert (called.observation.result, called.done) == (None, False)
    assert "test_tools.py" not in called.observation.error.message
    assert (await desk.state())["step_count"] == (1 if kind == "execution_error" else 0)
    assert (await desk.call_tool("look", {})).observation.result == []


async def test_a_call_that_is_cut_off_ends_the_episode_and_one_with_a_name_is_done_once() -> None:
    desk = instance_of(Desk)
    await desk.reset()
    once = [await desk.call_tool("put", {"thing": "pen"}, request_id="r") for _ in range(3)]
    assert [each.observation.result for each in once] == [1, 1, 1]
    late = await desk.call_tool("hang", {}, timeout_seconds=0.05)
    assert (late.observation.error.error_type, late.done, late.truncated) == ("timeout", True, True)
    with pytest.raises(EnvironmentExecutionException, match="did not end within"):
        await desk.call_tool("look", {})
    await desk.reset()
    assert (await desk.call_tool("look", {})).observation.result == []


async def test_an_environment_with_tools_alone_needs_no_reset() -> None:
    lookup = instance_of(Lookup)
    assert (await lookup.call_tool("define", {"word": "it"})).observation.result.endswith("thread True")
    assert (await lookup.reset()).observation == {}
    with pytest.raises(ActionException, match="list_tools or call_tool"):
        await lookup.step({"word": "it"})
    for wrong in ({}, {"tool_name": 1}, {"tool_name": "define", "arguments": []}, {"tool_name": "define", "more": 1}):
        with pytest.raises(ActionException, match="call_tool"):
            await lookup.step({"type": "call_tool", **wrong})


async def test_a_reset_beside_tools_begins_an_episode() -> None:
    quiz = instance_of(Quiz)
    with pytest.raises(EnvironmentExecutionException):
        await quiz.call_tool("answer", {"text": "it"})
    assert (await quiz.reset()).observation == "What is it?"
    assert (await quiz.call_tool("answer", {"text": "it"})).observation.result is True


async def test_the_client_raises_what_a_tool_answers() -> None:
    environment_registry.register(NAME)(Desk)
    async with EnvironmentClient.local(NAME, services=services(), config={"timeout": 0.2}) as env:
        await env.reset()
        assert await env.call_tool("put", thing="pen", times=2) == 2
        with pytest.raises(ActionException, match="did you mean 'put'"):
            await env.call_tool("puf")
        with pytest.raises(ActionException, match="thing"):
            await env.call_tool("put", thing=1)
        with pytest.raises(EnvironmentExecutionException, match="ValueError: no such thing"):
            await env.call_tool("misuse", how="raise")
        with pytest.raises(DeadlineException):
            await env.call_tool("hang")
    with EnvironmentClient.local(NAME, services=services()).sync() as env:
        env.reset()
        assert env.call_tool("submit", right=True) == "thank you"
        assert env.list_tools()[0]["name"] == "put"


def test_the_schema_of_actions_names_the_calls_of_tools() -> None:
    from prismenv.contracts.face import EpisodeTypes

    with_steps = EpisodeTypes(Desk).schemas()["action"]["anyOf"]
    alone = EpisodeTypes(Lookup).schemas()["action"]["anyOf"]
    assert [each["properties"].get("type", {}).get("const") for each in with_steps] == [None, "list_tools", "call_tool"]
    assert [each["properties"]["type"]["const"] for each in alone] == ["list_tools", "call_tool"]
