"""Steps that pass data on, and agents that are asked at once."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio

from prismenv.contracts.handle import Crew
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
AskApart = Callable[[str, Mapping[str, Any], str], Awaitable[Any]]
_NAME = re.compile(r"\{([A-Za-z_]\w*)\}")


def format_template(template: Any, context: Mapping[str, Any]) -> Any:
    """`template` with each `{name}` replaced from `context`, in strings anywhere inside it.

    Replaced literally and once: braces in a value mean nothing. A string that is one name and nothing else becomes the
    value itself, whatever its type. An unknown name is a ConfigurationException.
    """
    if isinstance(template, str):
        whole = _NAME.fullmatch(template)
        if whole:
            return _value(whole[1], context)
        return _NAME.sub(lambda match: str(_value(match[1], context)), template)
    if isinstance(template, Mapping):
        return {key: format_template(value, context) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return type(template)(format_template(value, context) for value in template)
    return template


def _value(name: str, context: Mapping[str, Any]) -> Any:
    if name not in context:
        known = ", ".join(sorted(map(str, context))) or "nothing yet"
        raise ConfigurationException(
            f"the template names {{{name}}}, which no earlier step gives{did_you_mean(name, map(str, context))}",
            code="unknown_template_name",
            subject=name,
            hint=f"Known at that point: {known}.",
        )
    return context[name]


def _keys(step: Mapping[str, Any], needed: Sequence[str], what: str) -> list[Any]:
    missing = [key for key in needed if key not in step]
    if missing:
        slip = did_you_mean(missing[0], map(str, step))
        raise ConfigurationException(
            f"{what} needs {', '.join(repr(key) for key in needed)}; {missing[0]!r} is missing, "
            f"found {', '.join(map(str, step)) or 'nothing'}{slip}",
            code="bad_step",
        )
    return [step[key] for key in needed]


async def run_sequence(steps: Sequence[Mapping[str, Any]], ask: Ask) -> dict[str, Any]:
    """The answers by `output_key`, each step filled from the ones before it. The first that fails ends the sequence."""
    context: dict[str, Any] = {}
    for number, step in enumerate(steps):
        agent, template, output_key = _keys(step, ("agent", "input_template", "output_key"), f"step {number}")
        context[output_key] = await ask(agent, format_template(template, context))
    return context


async def run_parallel(tasks: Sequence[Mapping[str, Any]], ask: Ask, ask_apart: AskApart) -> dict[str, Any]:
    """The answers by `output_key`, all asked at once, in the order of `tasks`.

    A task that failed has its exception as its value and does not cost the others theirs. Cancellation cancels all. A
    role that stands several times is asked apart, so that no task sees what another one was told.
    """
    read = [_keys(task, ("agent", "input_data", "output_key"), f"task {n}") for n, task in enumerate(tasks)]
    counts = Counter(agent for agent, _, _ in read)
    results: dict[str, Any] = dict.fromkeys(str(output_key) for _, _, output_key in read)

    async def work(agent: str, inputs: Mapping[str, Any], output_key: str) -> None:
        try:
            alone = counts[agent] == 1
            results[output_key] = await (ask(agent, inputs) if alone else ask_apart(agent, inputs, output_key))
        except Exception as error:  # noqa: BLE001 - boundary: one failure must not lose the others' answers
            results[output_key] = error

    async with anyio.create_task_group() as group:
        for agent, inputs, output_key in read:
            group.start_soon(work, agent, inputs, output_key)
    return results


class Workflow(ABC):
    """The part of an environment that lets several agents work together."""

    @property
    @abstractmethod
    def agents(self) -> Crew:
        """A handle for each configured role."""

    @abstractmethod
    def open_agents(self, scope: object, **labels: Any) -> AbstractAsyncContextManager[Crew]:
        """Fresh handles for one part of the work."""

    def _format_template(self, template: Any, context: Mapping[str, Any]) -> Any:
        return format_template(template, context)

    async def _execute_agent(self, agent: str, inputs: Mapping[str, Any]) -> str:
        return await self.agents[agent].interact(**inputs)

    async def _run_agent_sequence(self, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return await run_sequence(steps, self._execute_agent)

    async def _run_parallel_agents(self, tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return await run_parallel(tasks, self._execute_agent, self._execute_apart)

    async def _execute_apart(self, agent: str, inputs: Mapping[str, Any], output_key: str) -> str:
        """The answer of an agent in a session for this question alone."""
        async with self.open_agents(("parallel", output_key)) as crew:
            return await crew[agent].interact(**inputs)
