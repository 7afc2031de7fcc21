"""prismenv: evaluate and train language models on coding challenges, with verdicts that can be trusted.

Names are loaded when they are first used, so that `import prismenv` and the command line stay quick.
"""

import importlib
from typing import Any

_HOMES = {
    "Action": "prismenv.contracts.episode",
    "ActionException": "prismenv.words.errors",
    "AgentCommunicationException": "prismenv.words.errors",
    "AgentHandle": "prismenv.contracts.handle",
    "BaseEnvironment": "prismenv.contracts.base",
    "BlockingSandbox": "prismenv.isolation.blocking",
    "BudgetException": "prismenv.words.errors",
    "ChallengeResults": "prismenv.words.records",
    "ChatMessage": "prismenv.words.chat",
    "ChatReply": "prismenv.words.chat",
    "ChatRequest": "prismenv.words.chat",
    "ChatTransport": "prismenv.contracts.transport",
    "ConfigurationException": "prismenv.words.errors",
    "Crew": "prismenv.contracts.handle",
    "EnvironmentClient": "prismenv.clients.environment",
    "EnvironmentConfig": "prismenv.contracts.settings",
    "EnvironmentException": "prismenv.words.errors",
    "EnvironmentExecutionException": "prismenv.words.errors",
    "Event": "prismenv.words.events",
    "Execution": "prismenv.words.verdict",
    "HostException": "prismenv.words.errors",
    "Limits": "prismenv.words.limits",
    "ModelReference": "prismenv.contracts.transport",
    "NodeOutcome": "prismenv.words.nodes",
    "NodeRequest": "prismenv.words.nodes",
    "Observation": "prismenv.contracts.episode",
    "PlannedNode": "prismenv.contracts.plan",
    "PolicyContext": "prismenv.contracts.policy",
    "PolicyEntry": "prismenv.contracts.policy",
    "ProtocolException": "prismenv.words.errors",
    "ProviderContext": "prismenv.contracts.transport",
    "ProviderEntry": "prismenv.contracts.transport",
    "RegistryException": "prismenv.words.errors",
    "Sandbox": "prismenv.isolation.sandbox",
    "SandboxException": "prismenv.words.errors",
    "SearchPolicy": "prismenv.contracts.policy",
    "State": "prismenv.contracts.episode",
    "StepResult": "prismenv.contracts.episode",
    "StorageException": "prismenv.words.errors",
    "StrictEnvironmentConfig": "prismenv.contracts.settings",
    "TrailRecord": "prismenv.words.records",
    "Usage": "prismenv.words.usage",
    "Verdict": "prismenv.words.verdict",
    "bind_function_to_test": "prismenv.answers.rename",
    "complete_prompt": "prismenv.answers.completion",
    "discover_environments": "prismenv.finding.discovery",
    "environment_registry": "prismenv.contracts.registry",
    "extract_code": "prismenv.answers.code",
    "hookimpl": "prismenv.contracts.hookspecs",
    "near_duplicate": "prismenv.answers.similarity",
    "read_json_lines": "prismenv.finding.jsonlines",
    "stubs_for": "prismenv.answers.suites",
}

__version__ = "0.1.0"
__all__ = [  # frozen by a test: every name but the version has its home above
    "Action",
    "ActionException",
    "AgentCommunicationException",
    "AgentHandle",
    "BaseEnvironment",
    "BlockingSandbox",
    "BudgetException",
    "ChallengeResults",
    "ChatMessage",
    "ChatReply",
    "ChatRequest",
    "ChatTransport",
    "ConfigurationException",
    "Crew",
    "EnvironmentClient",
    "EnvironmentConfig",
    "EnvironmentException",
    "EnvironmentExecutionException",
    "Event",
    "Execution",
    "HostException",
    "Limits",
    "ModelReference",
    "NodeOutcome",
    "NodeRequest",
    "Observation",
    "PlannedNode",
    "PolicyContext",
    "PolicyEntry",
    "ProtocolException",
    "ProviderContext",
    "ProviderEntry",
    "RegistryException",
    "Sandbox",
    "SandboxException",
    "SearchPolicy",
    "State",
    "StepResult",
    "StorageException",
    "StrictEnvironmentConfig",
    "TrailRecord",
    "Usage",
    "Verdict",
    "__version__",
    "bind_function_to_test",
    "complete_prompt",
    "discover_environments",
    "environment_registry",
    "extract_code",
    "hookimpl",
    "near_duplicate",
    "read_json_lines",
    "stubs_for",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        message = f"module 'prismenv' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return __all__
