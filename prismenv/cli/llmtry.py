"""`prismenv llm try`: one interaction with a role, shown whole."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from prismenv.cli.changes import located_changes
from prismenv.cli.drawing import Screen, console
from prismenv.cli.output import print_error, print_json
from prismenv.cli.places import JsonOption, WorkspaceOption, workspaces_of
from prismenv.engine.interaction import Interaction, Trial, interact_once, model_for, prompts_of
from prismenv.finding.plugins import providers
from prismenv.finding.recipes import bare_recipe, load_recipe
from prismenv.finding.yamltext import parse_yaml
from prismenv.sessions.agentfile import AgentFile, load_agents, unknown_role
from prismenv.sessions.values import json_name
from prismenv.words.errors import ConfigurationException
from prismenv.words.usage import Usage

NOT_USABLE = 1
EPILOG = """A value is text where the template takes text, else YAML, as in concepts='[loops, sorting]'.
`key=@FILE` takes a file's text.
Exit code: 0 the answer can be used, 1 it cannot, 2 the role, its model or the inputs do not fit, 3 no answer came.

Examples:

\b
  prismenv llm try challenge_designer --input concepts=loops --input difficulty_level=easy
  prismenv llm try problem_solver --input problem_statement=@problem.md --model simulated/perfect
  prismenv llm try problem_solver --input problem_statement=@problem.md --model openai/MODEL --json
"""


def try_role(
    role: Annotated[str, typer.Argument(help="The agent's role, as its file is called.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="KEY=VALUE", help="An input of a template of the role; repeatable."),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="PROVIDER/MODEL", help="Which model answers.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe whose models, keys and interface are used.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable.")
    ] = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Ask a role once, and show the prompt, the answer, what is taken from it, tokens, cost and time."""
    named = [f"models.{role}={model}"] if model is not None else []
    with redirect_stdout(sys.stderr):  # what a plugin prints when it is loaded is no part of the answer
        workspaces = workspaces_of(workspace)
        changes = located_changes([*(sets or ()), *named], Path.cwd(), providers())
        if recipe is None:
            loaded = bare_recipe("llm try", workspaces, os.environ, changes)
        else:
            loaded = load_recipe(recipe, workspaces, os.environ, changes)
        agents = load_agents(workspaces)
    given = read_inputs(inputs or (), role, agents)
    chosen, by_default = model_for(role, loaded.recipe, agents)
    if by_default:
        print_error(f"no model is named for {role}, so {chosen} answers; --model names another")
    with loaded.placing():
        done = anyio.run(interact_once, Trial(role, given, loaded.recipe, workspaces, loaded.folder))
    if as_json:
        print_json(_json(done))
    else:
        _show(console(), done)
    raise typer.Exit(0 if done.error is None else NOT_USABLE)


def read_inputs(pairs: Sequence[str], role: str, agents: Mapping[str, AgentFile]) -> dict[str, Any]:
    """The inputs that `key=value` say, each as its template declares it. ConfigurationException for what is no pair."""
    agent = agents.get(role)
    if agent is None:
        raise unknown_role(role, agents)
    asked = [[given.name for given in template.inputs] for template in agent.interaction_templates.values()]
    if not pairs and all(asked):
        raise ConfigurationException(
            f"{role} is asked with inputs, and none is given",
            code="no_template",
            subject=role,
            hint=f"Give each as --input KEY=VALUE: {'; or '.join(', '.join(names) for names in asked)}.",
        )
    types = {
        given.name: json_name(given.type)
        for template in agent.interaction_templates.values()
        for given in template.inputs
    }
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigurationException(
                f"--input {pair[:80]!r}: expected key=value, such as concepts=loops", code="bad_input", subject=pair
            )
        if not _is_text(pair):
            raise ConfigurationException(f"--input {key}: it is no UTF-8 text", code="bad_input", subject=key)
        if key in found:
            raise ConfigurationException(f"--input {key} is given twice", code="bad_input", subject=key)
        found[key] = _value(key, text, types.get(key, "string"))
    return found


def _is_text(argument: str) -> bool:
    """False for an argument that the system could not read as UTF-8."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _value(key: str, text: str, declared: str) -> Any:
    if text.startswith("@"):
        path = Path(text[1:]).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else "it is no UTF-8 text") or str(error)
            raise ConfigurationException(
                f"--input {key}: {path} cannot be read: {why}", code="bad_input", subject=str(path)
            ) from error
    return text if declared in ("string", "code") else parse_yaml(text, f"--input {key}")[0]


def _show(screen: Screen, done: Interaction) -> None:
    for message in prompts_of(done.messages):
        name = {"system": "system prompt", "user": "prompt", "assistant": "answer that was not taken"}[message.role]
        _section(screen, name, message.content)
    if done.appended:
        screen.say(f"without a slot, so added under a heading: {', '.join(done.appended)}")
    _section(screen, "answer", done.raw)
    if done.error is not None:
        _section(screen, "extraction failed", done.error)
    elif done.text == done.raw:
        screen.say("extraction: the answer as it is")
    else:
        _section(screen, "extraction", done.text or "")
    if done.finish_reason != "stop":
        screen.say(f"the answer ended with: {done.finish_reason}")
    screen.say(f"model: {done.model or 'as the service has it'}")
    screen.say(f"tokens: {_tokens(done.usage)}")
    screen.say(f"cost: {_cost(done.usage)}")
    screen.say(f"time: {done.wall_seconds:.3f} s")


def _section(screen: Screen, title: str, text: str) -> None:
    screen.say(f"── {title} ──", "bold")
    screen.say(text.rstrip("\n"))
    screen.say()


def _tokens(usage: Usage | None) -> str:
    if usage is None or not usage.calls:
        return "unknown"
    calls = f", {usage.calls} calls" if usage.calls > 1 else ""
    return (
        f"{usage.prompt_tokens} prompt + {usage.completion_tokens} answer{calls}"
        f"{' (estimated)' if usage.estimated else ''}"
    )


def _cost(usage: Usage | None) -> str:
    if usage is None or usage.cost_usd is None or not usage.calls:
        return "unknown"
    return f"{usage.cost_usd:.6f} USD"


def _json(done: Interaction) -> dict[str, Any]:
    document = asdict(done)
    document["usage"] = None if done.usage is None else done.usage.model_dump(mode="json")
    document["details"] = dict(done.details)
    return document


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("try", epilog=EPILOG)(try_role)
