"""All agent files and all that is wrong with them: what `prismenv agents check` tells."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prismenv.contracts.transport import ProviderEntry
from prismenv.finding.complaints import ABSENT, entry
from prismenv.finding.workspace import YAML_FILES, WorkspaceSet
from prismenv.finding.yamlfile import YamlDocument, load_yaml
from prismenv.network.keys import agent_key
from prismenv.sessions.agentfile import AgentFile, AgentProblem, examine
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean, nearest

NAMED_BY_PATH = "named here"
_SUFFIXES = (".yaml", ".yml")
_PLACE = re.compile(r":(\d+)(?::\d+)?: ")


@dataclass(frozen=True, slots=True)
class CheckedAgent:
    """One agent file. `agent` None: it cannot be used at all. `role` is the file's own word, else its stem.

    `replaces` is the origin of a file of the same name that this one stands before, None: of none.
    """

    role: str
    path: Path
    origin: str
    agent: AgentFile | None
    problems: tuple[AgentProblem, ...]
    role_line: int = 1
    replaces: str | None = None

    @property
    def model(self) -> str | None:
        """The model that the file names; None leaves it to the recipe."""
        agent = self.agent
        if agent is None or not agent.model_provider or not agent.model_name:
            return None
        return f"{agent.model_provider}/{agent.model_name}"


def check_agents(
    workspaces: WorkspaceSet, providers: Mapping[str, ProviderEntry], names: Sequence[str] = ()
) -> list[CheckedAgent]:
    """The agent files of all workspaces, or those that `names` (roles or files) mean, each with all its problems.

    A file is read though another of its name stands before it: it is wrong all the same. Raises
    ConfigurationException for a role that has no file, or a file that is not there.
    """
    found = _workspace_files(workspaces, providers)
    if not names:
        return found
    chosen: list[CheckedAgent] = []
    for name in names:
        if name.endswith(_SUFFIXES) or "/" in name:
            path = Path(name)
            if not path.is_file():
                raise ConfigurationException(f"{name}: there is no such file", code="unknown_file", subject=name)
            known = [checked for checked in found if checked.path.resolve() == path.resolve()]
            chosen += known or [_checked(path, NAMED_BY_PATH, providers)]
        else:
            chosen += _by_role(found, name)
    return chosen


def _by_role(found: Sequence[CheckedAgent], role: str) -> list[CheckedAgent]:
    named = [checked for checked in found if role in (checked.path.stem, checked.role)]
    if named:
        return named
    roles = sorted({checked.path.stem for checked in found})
    raise ConfigurationException(
        f"no agent file for the role {role!r}{did_you_mean(role, roles)}; there are: {', '.join(roles) or 'none'}",
        code="unknown_role",
        subject=role,
    )


def _workspace_files(workspaces: WorkspaceSet, providers: Mapping[str, ProviderEntry]) -> list[CheckedAgent]:
    checked: list[CheckedAgent] = []
    for workspace in workspaces.members:
        own = [_checked(path, workspace.origin, providers) for path in workspace.files("agents", YAML_FILES)]
        checked += _told_apart(own)
    first: dict[str, int] = {}
    for index, agent in enumerate(checked):
        before = first.setdefault(agent.path.stem, index)
        if before != index and checked[before].origin != agent.origin:
            checked[before] = replace(checked[before], replaces=agent.origin)
    return checked


def _told_apart(agents: Iterable[CheckedAgent]) -> list[CheckedAgent]:
    """The agents of one workspace; one whose role is another file's already has that as a problem too."""
    first: dict[str, Path] = {}
    found: list[CheckedAgent] = []
    for agent in agents:
        owner = first.setdefault(agent.role, agent.path)
        if owner != agent.path:
            what = f"{agent.role!r} is defined by {owner} already; keep one of the two files"
            twice = AgentProblem(agent.role_line, "role", what)
            agent = replace(agent, problems=(*agent.problems, twice))  # noqa: PLW2901 - the same one, with its problem
        found.append(agent)
    return found


def _checked(path: Path, origin: str, providers: Mapping[str, ProviderEntry]) -> CheckedAgent:
    try:
        document = load_yaml(path)
    except ConfigurationException as error:
        return CheckedAgent(path.stem, path, origin, None, (_unreadable(path, error),))
    agent, problems = examine(document)
    role = entry(document.data, "role")
    problems = (*problems, *_model_problems(document, providers))
    return CheckedAgent(
        role=role if isinstance(role, str) and role else path.stem,
        path=path,
        origin=origin,
        agent=agent,
        problems=tuple(sorted(problems, key=lambda problem: problem.line)),
        role_line=document.line_of(("role",)),
    )


def _unreadable(path: Path, error: ConfigurationException) -> AgentProblem:
    """A file that is no YAML: its reader tells the place in its message."""
    text = error.message.removeprefix(str(path))
    match = _PLACE.match(text)
    return AgentProblem(int(match[1]) if match else 1, "", text[match.end() :] if match else text.removeprefix(": "))


def _model_problems(document: YamlDocument, providers: Mapping[str, ProviderEntry]) -> Iterator[AgentProblem]:
    """What is wrong with the model that the file names, whatever else is wrong with it."""
    provider, model, params = (entry(document.data, key) for key in ("model_provider", "model_name", "model_params"))
    for key, value, other, beside in (
        ("model_name", model, "model_provider", provider),
        ("model_provider", provider, "model_name", model),
    ):
        if isinstance(value, str) and value and (beside is ABSENT or not beside):
            what = f"there is no {other} beside it; both name a model together"
            yield AgentProblem(document.line_of((key,)), key, what)
    if isinstance(provider, str) and provider and provider not in providers:
        near = nearest(provider, providers)
        also = f"; did you mean {near}?" if near else f"; there are: {', '.join(sorted(providers))}"
        yield AgentProblem(document.line_of(("model_provider",)), "model_provider", f"no provider {provider!r}{also}")
    try:
        agent_key("", params if isinstance(params, Mapping) else {})
    except ConfigurationException as error:
        what = error.message.removeprefix(": ").removeprefix("model_params: ")
        yield AgentProblem(document.line_of(("model_params",)), "model_params", what, error.hint)
