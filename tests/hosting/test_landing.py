"""The page at `/`: what it lists, what may run on it, and that nothing of others becomes markup."""

import base64
from typing import Any

import pytest

from prismenv import BaseEnvironment, EnvironmentConfig, Observation, environment_registry
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.environments.landing import example_of, landing_page

pytestmark = pytest.mark.anyio
ECHO, HOSTILE = "environment_echo", "environment_hostile"
TOKEN = "token-of-the-server-0123456789"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
MARKUP = "</textarea></pre><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"


async def test_a_browser_gets_a_page_of_all_environments_and_others_get_json(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        page = await client.get("/", headers=BROWSER)
        assert page.headers["content-type"].startswith("text/html")
        for name in (ECHO, "environment_tried", "environment_coding_challenge"):
            assert f'data-address="environments/{name}"' in page.text
        assert "&quot;message&quot;" in page.text  # the schema of an action, and an action to begin with
        assert ECHO in (await client.get("/")).json()["environments"]


async def test_nothing_but_our_own_files_runs_on_the_page(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        page = await client.get("/", headers=BROWSER)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.text.count("<script") == page.text.count("<script src=") == 1
        assert " style=" not in page.text
        for name, kind in (("landing.js", "text/javascript"), ("landing.css", "text/css")):
            asset = await client.get(f"/assets/{name}")
            assert (asset.status_code, asset.headers["content-type"].partition(";")[0]) == (200, kind)
            assert f'"assets/{name}"' in page.text
        script = (await client.get("/assets/landing.js")).text
        assert "textContent" in script
        for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http:", "https:"):
            assert unsafe not in script


@pytest.mark.parametrize("name", ["none.js", "..%2flanding.py", "%2e%2e/application.py", "landing.js/.."])
async def test_no_other_file_is_given(serve: Any, http: Any, name: str) -> None:
    async with serve() as running, http(running) as client:
        assert (await client.get(f"/assets/{name}")).status_code == 404


def test_what_an_author_says_is_text_on_the_page(hosted: HostedEnvironments) -> None:
    class Hostile(BaseEnvironment):
        async def reset(self) -> Observation:
            return Observation()

        async def step(self, action: dict[str, str]) -> Observation:
            return Observation(metadata=action)

    Hostile.__doc__ = MARKUP
    environment_registry.register(HOSTILE)(Hostile)
    page = landing_page(HostedEnvironments(hosted.services, {HOSTILE: EnvironmentConfig()}))
    assert MARKUP not in page
    assert "<img" not in page
    assert "&lt;/textarea&gt;" in page


async def test_with_tokens_a_browser_is_asked_for_one_and_told_nothing_without(serve: Any, http: Any) -> None:
    async with serve(tokens=(TOKEN,)) as running, http(running) as client:
        refused = await client.get("/", headers=BROWSER)
        assert (refused.status_code, ECHO in refused.text) == (401, False)
        assert refused.headers["www-authenticate"].startswith("Basic ")
        given = base64.b64encode(f"any:{TOKEN}".encode()).decode()
        page = await client.get("/", headers={**BROWSER, "Authorization": f"Basic {given}"})
        assert (page.status_code, ECHO in page.text) == (200, True)


async def test_two_pages_have_episodes_of_their_own(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        for page in ("page-1", "page-2"):
            headers = {"X-Session-ID": page}
            await client.post(f"/environments/{ECHO}/reset", json={"seed": 1}, headers=headers)
        await client.post(
            f"/environments/{ECHO}/step", json={"action": {"message": "a"}}, headers={"X-Session-ID": "page-1"}
        )
        steps = [
            (await client.get(f"/environments/{ECHO}/state", headers={"X-Session-ID": page})).json()["step_count"]
            for page in ("page-1", "page-2")
        ]
        assert steps == [1, 0]


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}, {"a": ""}),
        ({"type": "object", "properties": {"a": {"type": "integer", "default": 3}}, "required": ["a"]}, {"a": 3}),
        ({"enum": ["x", "y"]}, "x"),
        ({"type": "array", "items": {}}, []),
        ({"anyOf": []}, {}),
    ],
)
def test_an_action_to_begin_with_has_what_is_required(schema: dict[str, Any], example: Any) -> None:
    assert example_of(schema) == example
