"""Models are named in one line, opened once, and closed together."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext, ProviderEntry
from prismenv.finding.plugins import providers
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.models import RoleTransports, open_transports
from prismenv.sessions.references import parse_model
from prismenv.testing.transport import ScriptedTransport
from prismenv.words.errors import ConfigurationException

CONTEXT = ProviderContext(clock=SystemClock(), folder=Path(), seed=0)


class Shop:
    """A provider that remembers what it opened."""

    def __init__(self, error: Exception | None = None) -> None:
        self.opened: list[ModelReference] = []
        self.transports: list[ScriptedTransport] = []
        self.error = error

    def open(self, reference: ModelReference, _context: ProviderContext) -> ChatTransport:
        if self.error is not None:
            raise self.error
        self.opened.append(reference)
        self.transports.append(ScriptedTransport({}))
        return self.transports[-1]


def transports(
    models: Mapping[str, str], agents: Mapping[str, AgentFile], shop: Shop | None = None
) -> tuple[RoleTransports, Shop]:
    shop = shop or Shop()
    entries = {name: ProviderEntry(name, "for tests", shop.open) for name in ("simulated", "openai")}
    return open_transports(models, agents, entries, CONTEXT), shop


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("simulated/gpt-4o", ModelReference("simulated", "gpt-4o")),
        (" simulated/gpt-4o ", ModelReference("simulated", "gpt-4o")),
        ("openrouter/openai/gpt-oss-20b", ModelReference("openrouter", "openai/gpt-oss-20b")),
        ("samples//tmp/a b.jsonl", ModelReference("samples", "/tmp/a b.jsonl")),
        ("samples/../x.jsonl.gz", ModelReference("samples", "../x.jsonl.gz")),
        ("openai@http://127.0.0.1:8000/v1/m", ModelReference("openai", "m", "http://127.0.0.1:8000/v1")),
        ("openai@https://h/m", ModelReference("openai", "m", "https://h")),
        ("openai@http://[::1]:80/v1/m", ModelReference("openai", "m", "http://[::1]:80/v1")),
    ],
)
def test_a_model_is_named_by_provider_and_model(text: str, reference: ModelReference) -> None:
    assert parse_model(text) == reference
    assert parse_model(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "gpt-4o",
        "/gpt-4o",
        "simulated/",
        "openai@",
        "openai@http://",
        "openai@http://host",
        "openai@http://host/",
        "openai@http://host/v1/",
        "openai@ftp://host/m",
        "openai@host/m",
        "@http://host/m",
        "openai@http://host:port/m",
        "openai@http://host/m?key=1",
        "openai@http://host/m#x",
        "openai@http://[::1/m",
    ],
)
def test_what_names_no_model_is_an_error_that_shows_the_forms(text: str) -> None:
    with pytest.raises(ConfigurationException, match="provider/model") as caught:
        parse_model(text)
    assert caught.value.code == "model_malformed"


def test_the_examples_of_a_wrong_reference_are_of_providers_that_exist() -> None:
    known = providers()
    with pytest.raises(ConfigurationException) as caught:
        open_transports({"default": "gpt-4o"}, {}, known, CONTEXT)
    examples = re.findall(r"\w+/[\w.-]+", str(caught.value).partition("expected provider/model (")[2].partition(")")[0])
    assert "samples/FILE" in examples
    assert {parse_model(example).provider for example in examples} == set(known)


def test_an_example_is_a_model_that_the_provider_has() -> None:
    entries = {
        "shop": ProviderEntry("shop", "", Shop().open, lambda: ("best", "worst")),
        "open": ProviderEntry("open", "", Shop().open),
    }
    with pytest.raises(ConfigurationException, match=r"\(open/MODEL, shop/best\)"):
        parse_model("best", entries)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationException) as caught:
        parse_model("openai@http://me:hunter2@host/v1/m")
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=80))
def test_any_text_is_a_model_or_a_configuration_error(text: str) -> None:
    try:
        reference = parse_model(text)
    except ConfigurationException:
        return
    assert reference.provider
    assert reference.model


def test_a_role_has_its_own_model_then_the_default_then_its_files(agents: dict[str, AgentFile]) -> None:
    own = agents["writer"].model_copy(
        update={"model_provider": "openai", "model_name": "a/b", "api_base": "https://models.example/v1"}
    )
    agents = {**agents, "writer": own}
    chosen, _ = transports({"problem_solver": "simulated/one", "default": "simulated/two"}, agents)
    assert chosen.model("problem_solver") == "one"
    assert chosen.model("writer") == "two"
    chosen, _ = transports({"problem_solver": "simulated/one"}, agents)
    assert chosen.reference("writer") == ModelReference("openai", "a/b", "https://models.example/v1")


def test_a_role_without_a_model_says_what_to_set(agents: dict[str, AgentFile]) -> None:
    chosen, _ = transports({"problem_solver": "simulated/one"}, agents)
    with pytest.raises(ConfigurationException, match=r"models\.writer") as caught:
        chosen("writer")
    assert caught.value.code == "no_model"
    assert "--set models.default" in str(caught.value)


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ({"problem_sover": "simulated/x"}, "models.problem_solver"),
        ({"defalt": "simulated/x"}, "models.default"),
        ({"zzz": "simulated/x"}, "no agent file for the role 'zzz'"),
        ({"default": "simulatd/x"}, "simulated/x"),
        ({"default": "nothing"}, "provider/model"),
    ],
)
def test_slips_in_models_are_errors_at_once_with_the_nearest_name(
    agents: dict[str, AgentFile], models: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigurationException) as caught:
        transports(models, agents)
    assert says in str(caught.value)


def test_a_model_is_opened_once_for_all_roles_that_share_it_and_only_when_it_is_used(
    agents: dict[str, AgentFile],
) -> None:
    chosen, shop = transports({"default": "simulated/one", "writer": "simulated/one"}, agents)
    assert not shop.opened
    assert chosen("writer") is chosen("problem_solver") is chosen("writer")
    assert shop.opened == [ModelReference("simulated", "one")]


def test_checking_roles_opens_their_models_before_a_run_starts(agents: dict[str, AgentFile]) -> None:
    chosen, shop = transports({"default": "simulated/one"}, agents)
    chosen.check(["writer"])
    assert shop.opened == [ModelReference("simulated", "one")]
    with pytest.raises(ConfigurationException, match="writr"):
        chosen.check(["writr"])


def test_a_provider_that_breaks_is_named(agents: dict[str, AgentFile]) -> None:
    chosen, _ = transports({"default": "simulated/one"}, agents, Shop(KeyError("figures")))
    with pytest.raises(ConfigurationException, match=r"simulated.*KeyError") as caught:
        chosen("writer")
    assert caught.value.code == "provider_failed"


@pytest.mark.anyio
async def test_all_models_are_closed_also_when_one_of_them_breaks(agents: dict[str, AgentFile]) -> None:
    class Stubborn(ScriptedTransport):
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError("stuck")

    chosen, shop = transports({"problem_solver": "simulated/one", "writer": "simulated/two"}, agents)
    async with chosen:
        chosen.check(["writer", "problem_solver"])
    assert [transport.closed for transport in shop.transports] == [True, True]

    ready, stubborn = ScriptedTransport({}), Stubborn({})
    provider = ProviderEntry("simulated", "", lambda model, _: stubborn if model.model == "two" else ready)
    models = {"default": "simulated/one", "writer": "simulated/two"}
    chosen = open_transports(models, agents, {"simulated": provider}, CONTEXT)
    chosen.check(["problem_solver", "writer"])
    with pytest.raises(OSError, match="stuck"):
        await chosen.aclose()
    assert ready.closed
    assert stubborn.closed
