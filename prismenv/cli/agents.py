"""`prismenv agents`: agent files listed, shown and checked."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from prismenv.cli.drawing import console, table
from prismenv.cli.output import print_json
from prismenv.cli.places import JsonOption, WorkspaceOption, workspaces_of
from prismenv.cli.terminal import EXIT_USAGE
from prismenv.finding.plugins import providers
from prismenv.sessions.agentcheck import CheckedAgent, check_agents
from prismenv.sessions.agentfile import AgentFile, InteractionTemplate
from prismenv.words.errors import ConfigurationException

CHECK_EPILOG = """Exit code: 0 nothing is wrong, 2 something is. A file may leave its model to the recipe.

Examples:

\b
  prismenv agents check
  prismenv agents check problem_solver agents/mine.yaml
  prismenv agents check --json
"""
EPILOG = """Examples:

\b
  prismenv agents list
  prismenv agents check
"""
SHOW_EPILOG = """Examples:

\b
  prismenv agents show problem_solver
  prismenv agents show problem_solver --json
"""


def check(
    names: Annotated[list[str] | None, typer.Argument(help="Roles or files; all that there are without any.")] = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Check agent files: every problem with its file and line."""
    checked = _found(workspace, names or ())
    count = sum(len(agent.problems) for agent in checked)
    if as_json:
        print_json({"agents": [_checked_json(agent) for agent in checked], "problems": count})
    else:
        _say_checked(checked, count)
    raise typer.Exit(EXIT_USAGE if count else 0)


def _found(workspace: Path | None, names: Sequence[str] = ()) -> list[CheckedAgent]:
    with redirect_stdout(sys.stderr):  # what a plugin prints when it is loaded is no part of the answer
        return check_agents(workspaces_of(workspace), providers(), names)


def _say_checked(checked: Sequence[CheckedAgent], count: int) -> None:
    screen = console()
    for agent in checked:
        for problem in agent.problems:
            screen.say(problem.said_of(agent.path))
            if problem.hint:
                screen.say(f"    {problem.hint}")
    if missing := sorted({agent.role for agent in checked if agent.agent is not None and agent.model is None}):
        screen.say(f"no model of their own, so models.ROLE or models.default decides: {', '.join(missing)}")
    files = f"{len(checked)} agent file{'s' * (len(checked) != 1)}"
    screen.say(f"{files}, {count} problem{'s' * (count != 1)}" if count else f"{files}, nothing wrong")


def _checked_json(agent: CheckedAgent) -> dict[str, Any]:
    return {
        "role": agent.role,
        "path": str(agent.path),
        "origin": agent.origin,
        "replaces": agent.replaces,
        "model": agent.model,
        "problems": [
            {"line": problem.line, "key": problem.key, "what": problem.what, "hint": problem.hint}
            for problem in agent.problems
        ],
    }


def list_agents(as_json: JsonOption = False, workspace: WorkspaceOption = None) -> None:
    """List the agents: model, inputs of each template, what the answer is."""
    checked = _found(workspace)
    if as_json:
        print_json([{**_checked_json(agent), "templates": _templates_json(agent.agent)} for agent in checked])
        return
    rows = [
        (agent.role, agent.origin, agent.model or "the recipe's", _templates_line(agent.agent)) for agent in checked
    ]
    console().draw(table("agents", ("role", "origin", "model", "templates"), rows))


def show(
    role: Annotated[str, typer.Argument(help="A role, or a file.")],
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Show an agent: its system prompt, and each template with its inputs and what the answer is."""
    (checked, *_) = _found(workspace, [role])
    agent = checked.agent
    if agent is None or checked.problems:
        raise ConfigurationException("\n".join(problem.said_of(checked.path) for problem in checked.problems))
    if as_json:
        document = agent.model_dump(mode="json", by_alias=True, exclude_none=True)
        print_json({"path": str(checked.path), "origin": checked.origin, **document})
        return
    screen = console()
    screen.say(f"{agent.role} ({checked.origin}, {_shown(checked.path)})", "bold")
    screen.say(f"model: {checked.model or 'the recipe names it'}")
    if agent.model_params:
        screen.say("parameters: " + ", ".join(f"{name}={value}" for name, value in agent.model_params.items()))
    if agent.system_prompt.strip():
        screen.say(f"\nsystem prompt\n{agent.system_prompt.rstrip()}")
    for name, template in agent.interaction_templates.items():
        screen.say(f"\ntemplate {name}: {_signature(template)}", "bold")
        for given in template.inputs:
            screen.say(f"  {given.name}: {given.type}" + (f", {given.description}" if given.description else ""))
        if template.template is not None:
            screen.say(template.template.rstrip())


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _signature(template: InteractionTemplate) -> str:
    response = template.response
    kind = response.extract or (response.language and f"code in {response.language}") or response.type
    return f"({', '.join(given.name for given in template.inputs)}) -> {kind}"


def _templates_line(agent: AgentFile | None) -> str:
    if agent is None:
        return "broken: see `prismenv agents check`"
    return "\n".join(f"{name}{_signature(template)}" for name, template in agent.interaction_templates.items())


def _templates_json(agent: AgentFile | None) -> dict[str, list[str]]:
    if agent is None:
        return {}
    return {name: [given.name for given in item.inputs] for name, item in agent.interaction_templates.items()}


def register(app: typer.Typer, name: str) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="List, show and check agent files.", no_args_is_help=True, rich_markup_mode=None, epilog=EPILOG
    )
    group.command("check", epilog=CHECK_EPILOG)(check)
    group.command("list", epilog=EPILOG)(list_agents)
    group.command("show", epilog=SHOW_EPILOG)(show)
    app.add_typer(group, name=name)
