"""What the server says of itself is so: each path is described, each answer has the form that is described."""

from collections.abc import Iterator
from typing import Any, Literal

import jsonschema_rs
import pytest
from pydantic import BaseModel, Field
from starlette.routing import Route

from prismenv import Action, BaseEnvironment, EnvironmentConfig, environment_registry
from prismenv.engine.host.host import EnvironmentHost, HostLimits
from prismenv.engine.host.kept import KeptInstances
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.admission import Admission
from prismenv.server.environments.application import PREFIX, EnvironmentApplication
from prismenv.server.environments.documents import describe
from prismenv.server.environments.health import EnvironmentHealth
from prismenv.server.environments.limits import WireLimits
from prismenv.server.environments.meter import EnvironmentMeter
from prismenv.server.tokens import Tokens

pytestmark = pytest.mark.anyio
ECHO, TRIED, CODING, TYPED = (
    "environment_echo",
    "environment_tried",
    "environment_coding_challenge",
    "environment_typed",
)
TOKEN = "token-of-the-server-0123456789"
# What pages load.
NOT_DESCRIBED = {"/assets/{name}"}


class Inner(BaseModel):
    kind: Literal["inner"] = "inner"
    default: "Inner | None" = None  # a field that has the name of a word of JSON Schema, and a reference in it


class Typed(Action):
    one: Inner
    many: list[Inner] = Field(default_factory=list)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from references(each)
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)


@pytest.fixture
def described(hosted: HostedEnvironments) -> dict[str, Any]:
    class Nested(BaseEnvironment):
        """Takes what is nested."""

        async def reset(self) -> str:
            return ""

        async def step(self, action: Typed) -> str:
            return action.one.kind

    environment_registry.register(TYPED)(Nested)
    return describe(
        HostedEnvironments(hosted.services, {**hosted.configs, TYPED: EnvironmentConfig()}), ECHO, secured=True
    )


def schema(described: dict[str, Any], name: str) -> Any:
    """A validator of a component, with all the others beside it."""
    return jsonschema_rs.validator_for(
        {"$ref": f"#/components/schemas/{name}", "components": described["components"]}, validate_formats=True
    )


def test_every_reference_of_the_document_leads_somewhere(described: dict[str, Any]) -> None:
    components = described["components"]["schemas"]
    found = list(references(described))
    assert f"#/components/schemas/{TYPED}.Inner" in found
    assert {each.removeprefix("#/components/schemas/") for each in found} <= set(components)
    assert all(jsonschema_rs.meta.is_valid(each) for each in components.values())


def test_an_environments_own_types_are_in_the_document(described: dict[str, Any]) -> None:
    step = schema(described, f"{TYPED}.Step")
    assert step.is_valid({"action": {"one": {"default": {"kind": "inner"}}}, "request_id": "a", "timeout_s": 1})
    for wrong in (
        {},
        {"action": {}},
        {"action": {"one": {"default": {"kind": "outer"}}}},
        {"action": {"one": {}}, "timeout_s": 0},
    ):
        assert not step.is_valid(wrong)
    assert schema(described, f"{ECHO}.Step").is_valid({"action": {"message": "hello"}})
    assert not schema(described, f"{ECHO}.Step").is_valid({"action": {"massage": "hello"}})


async def test_every_described_path_is_there_and_tells_what_is_wrong_as_described(serve: Any, http: Any) -> None:
    async with serve(only=ECHO) as running, http(running) as client:
        described = (await client.get("/openapi.json")).json()
        for path, operations in described["paths"].items():
            for method in operations:
                response = await client.request(method, path, headers={"Content-Type": "text/plain"}, content=b"-")
                ends_session = method == "delete"  # of which there is none, as the protocol says by 404
                assert response.status_code not in (405, *(() if ends_session else (404,))), path
                assert not ends_session or response.json()["jsonrpc"] == "2.0"
                assert str(response.status_code) in operations[method]["responses"], (path, response.status_code)


def test_every_path_that_is_answered_is_described(hosted: HostedEnvironments) -> None:
    clock = hosted.services.clock
    application = EnvironmentApplication(
        hosted,
        EnvironmentHost(hosted.make, clock, HostLimits(), seed=1),
        EnvironmentMeter(),
        EnvironmentHealth(hosted, clock),
        Admission(Tokens(), local=True),
        WireLimits(),
        clock,
        ECHO,
        KeptInstances(clock, lambda: "token"),
    )
    described = {
        path.replace(f"/environments/{ECHO}", PREFIX) for path in describe(hosted, ECHO, secured=False)["paths"]
    }
    for route in application.build().routes:
        if isinstance(route, Route):
            assert route.path in described | NOT_DESCRIBED, f"describe {route.path} in environments/documents.py"


async def test_answers_have_the_form_that_is_described(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        described = (await client.get("/openapi.json")).json()
        for name, action in ((ECHO, {"message": "hello"}), (TRIED, {"what": ""}), (CODING, {"code": "x = 1"})):
            at = f"/environments/{name}"
            answers = {
                f"{name}.Result": [
                    await client.post(f"{at}/reset", json={"seed": 1}),
                    await client.post(f"{at}/step", json={"action": action}),
                ],
                f"{name}.State": [await client.get(f"{at}/state")],
                "Metadata": [await client.get(f"{at}/metadata")],
                "Schemas": [await client.get(f"{at}/schema")],
                "Health": [await client.get(f"{at}/health"), await client.get("/health")],
                "Error": [await client.post(f"{at}/step", json={})],
            }
            for component, responses in answers.items():
                for response in responses:
                    assert response.status_code in (200, 422), response.text
                    schema(described, component).validate(response.json())


async def test_the_page_of_the_document_names_all_paths_and_runs_nothing(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        response = await client.get("/docs")
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
        assert "script-src" not in response.headers["content-security-policy"]
        for path in (await client.get("/openapi.json")).json()["paths"]:
            assert f"{path}</code>" in response.text
        assert "<script" not in response.text


async def test_the_document_is_for_those_with_a_token(serve: Any, http: Any) -> None:
    async with serve(tokens=(TOKEN,)) as running:
        async with http(running) as stranger:
            for path in ("/openapi.json", "/docs", "/assets/landing.js"):
                refused = await stranger.get(path)
                assert refused.status_code == 401
                assert ECHO not in refused.text
        async with http(running, TOKEN) as client:
            assert (await client.get("/openapi.json")).json()["security"]
    async with serve() as running, http(running) as client:
        assert "security" not in (await client.get("/openapi.json")).json()
