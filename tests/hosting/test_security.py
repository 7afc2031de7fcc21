"""Who may do what: scopes, rates and sizes of tokens, pages of others, and names of the server."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.exceptions import InvalidStatus

from prismenv.finding.tokenfile import TokenEntry, add_token, digest_of, load_tokens
from prismenv.server.environments.serving import EnvironmentServeSettings, running_environments
from prismenv.server.hosts import read_origin
from prismenv.server.rates import Rates
from prismenv.server.refusal import Refusal
from prismenv.server.tokens import read_tokens
from prismenv.testing.clock import ManualClock
from prismenv.words.errors import ConfigurationException

pytestmark = pytest.mark.anyio
ECHO = "environment_echo"
AT = f"/environments/{ECHO}"
READ, RUN, ADMIN = (f"token-that-may-{scope}-0123456789" for scope in ("read", "run", "admin"))
LAB = "https://lab.example"


def entry(token: str, scope: Any = "run", **limits: Any) -> TokenEntry:
    return TokenEntry(name=f"of-{token[-16:]}", sha256=digest_of(token), scope=scope, **limits)


ENTRIES = (entry(READ, "read"), entry(RUN, "run"), entry(ADMIN, "admin"))


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("GET", "/docs", READ),
        ("GET", "/openapi.json", READ),
        ("GET", f"{AT}/schema", READ),
        ("GET", f"{AT}/metadata", READ),
        ("GET", f"{AT}/state", READ),
        ("POST", f"{AT}/reset", RUN),
        ("POST", f"{AT}/step", RUN),
        ("POST", "/run-challenge", RUN),
        ("GET", "/metrics", ADMIN),
    ],
)
async def test_a_token_may_what_is_of_its_scope(serve: Any, http: Any, method: str, path: str, least: str) -> None:
    order = (READ, RUN, ADMIN)
    async with serve(entries=ENTRIES) as running:
        for token in order:
            async with http(running, token) as client:
                answer = await client.request(method, path, json={} if method == "POST" else None)
                if order.index(token) < order.index(least):
                    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_scope")
                else:
                    assert answer.status_code in (200, 409, 422), answer.text


async def test_a_token_that_may_only_read_opens_no_session(serve: Any, talk: Any) -> None:
    async with serve(entries=ENTRIES) as running:
        with pytest.raises(InvalidStatus) as refused:
            async with talk(running, ECHO, additional_headers={"Authorization": f"Bearer {READ}"}):
                pass
        assert refused.value.response.status_code == 403
        async with talk(running, ECHO, additional_headers={"Authorization": f"Bearer {RUN}"}) as client:
            assert (await client.ask("reset"))["type"] == "observation"


async def test_a_stranger_does_not_learn_what_is_served_by_asking_for_its_health(serve: Any, http: Any) -> None:
    async with serve(entries=ENTRIES) as running, http(running) as stranger, http(running, READ) as reader:
        there, near = [await stranger.get(f"/environments/{name}/health") for name in (ECHO, "environment_ech")]
        assert (there.status_code, there.json()) == (near.status_code, near.json())
        assert there.json().keys() == {"status", "service"}
        assert (await reader.get("/environments/environment_ech/health")).status_code == 404
        assert (await reader.get(f"{AT}/health")).json()["environments"].keys() == {ECHO}


async def test_an_episode_of_another_token_is_not_there(serve: Any, http: Any) -> None:
    async with serve(tokens=(RUN, ADMIN)) as running, http(running, RUN) as mine, http(running, ADMIN) as other:
        named = {"episode_id": "mine"}
        await mine.post(f"{AT}/reset", json=named)
        stolen = await other.post(f"{AT}/step", json={"action": {"message": "a"}, **named})
        assert (stolen.status_code, stolen.json()["code"]) == (409, "no_episode")
        assert (await other.get(f"{AT}/state", params=named)).json()["step_count"] == 0
        own = await mine.post(f"{AT}/step", json={"action": {"message": "a"}, **named})
        assert own.status_code == 200


async def test_a_token_that_asks_too_often_is_told_when_to_come_again_and_others_are_not(serve: Any, http: Any) -> None:
    entries = (entry(RUN, requests_per_second=0.01), entry(ADMIN, "admin"))
    async with serve(entries=entries) as running, http(running, RUN) as client, http(running, ADMIN) as other:
        assert (await client.get(f"{AT}/schema")).status_code == 200
        late = await client.get(f"{AT}/schema")
        assert (late.status_code, late.json()["code"]) == (429, "too_many_requests")
        assert 0 < int(late.headers["retry-after"]) <= 100
        assert (await client.get("/health")).status_code == 200  # who watches over a server is never counted
        for _ in range(5):
            assert (await other.get(f"{AT}/schema")).status_code == 200


async def test_a_session_that_says_too_much_is_answered_later(serve: Any, talk: Any) -> None:
    async with serve(requests_per_second=20.0) as running, talk(running, ECHO) as client:
        begun = anyio.current_time()
        for _ in range(30):
            await client.say({"type": "reset"})
        for _ in range(30):
            assert (await client.hear())["type"] == "observation"
        assert anyio.current_time() - begun > 0.4  # 20 at once, and 11 more need 0.55 s


async def test_rates_are_of_a_token_alone_and_come_back_with_time() -> None:
    clock = ManualClock()
    rates = Rates(clock, usual=2.0)
    rates.require("a", None)
    rates.require("a", None)
    with pytest.raises(Refusal) as refused:
        rates.require("a", None)
    assert refused.value.retry_after_seconds == pytest.approx(0.5)
    rates.require("b", None)
    await clock.sleep(0.5)
    rates.require("a", None)
    for _ in range(100):
        rates.require("c", 100.0)  # one of its own


async def test_a_tokens_messages_and_bodies_are_as_long_as_it_may(serve: Any, talk: Any, http: Any) -> None:
    entries = (entry(RUN, message_bytes=2000), entry(ADMIN, "admin"))
    long = {"message": "a" * 3000}
    async with serve(entries=entries) as running:
        for token, status, code in ((RUN, 413, 1009), (ADMIN, 200, None)):
            async with http(running, token) as client:
                await client.post(f"{AT}/reset", json={})
                assert (await client.post(f"{AT}/step", json={"action": long})).status_code == status
            async with talk(running, ECHO, additional_headers={"Authorization": f"Bearer {token}"}) as session:
                await session.ask("reset")
                await session.say({"type": "step", "data": long})
                if code is None:
                    assert (await session.hear())["type"] == "observation"
                else:
                    assert await session.closed() == code


async def test_pages_of_others_are_let_in_by_name_alone(serve: Any, http: Any, talk: Any) -> None:
    asking = {"Origin": LAB, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    async with serve() as running, http(running) as client:
        refused = await client.post(f"{AT}/reset", json={}, headers={"Origin": LAB})
        assert refused.status_code == 403
        preflight = await client.options(f"{AT}/reset", headers=asking)
        assert "access-control-allow-origin" not in {**preflight.headers, **refused.headers}
    async with serve(origins=frozenset({LAB})) as running, http(running) as client:
        preflight = await client.options(f"{AT}/reset", headers=asking)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, LAB)
        assert "access-control-allow-credentials" not in preflight.headers
        answer = await client.post(f"{AT}/reset", json={}, headers={"Origin": LAB})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, LAB)
        async with talk(running, ECHO, additional_headers={"Origin": LAB}) as session:
            assert (await session.ask("reset"))["type"] == "observation"
        for other in ("https://evil.example", "https://lab.example.evil.example", "null"):
            assert (await client.post(f"{AT}/reset", json={}, headers={"Origin": other})).status_code == 403


@pytest.mark.parametrize("given", ["*", "lab.example", "https://", "https://lab.example/page", "https://*.example"])
def test_an_origin_is_one_origin(given: str) -> None:
    with pytest.raises(ConfigurationException, match="--allow-origin"):
        read_origin(given)
    assert read_origin("HTTPS://Lab.example/") == LAB


async def test_an_open_server_is_no_browsers_way_in_by_a_name_that_leads_here(hosted: Any, http: Any) -> None:
    settings = EnvironmentServeSettings(host="0.0.0.0", port=0, insecure=True, hosts=frozenset({"lab"}))
    async with running_environments(hosted, settings) as running, http(running) as client:
        port = running.url.rpartition(":")[2]
        at = f"http://127.0.0.1:{port}{AT}/schema"

        async def status(host: str, **browser: str) -> int:
            return int((await client.get(at, headers={"Host": f"{host}:{port}", **browser})).status_code)

        assert await status("evil.example") == 200  # no browser: nobody's page
        assert await status("evil.example", Origin=f"http://evil.example:{port}") == 403
        assert await status("evil.example", **{"Sec-Fetch-Site": "same-origin"}) == 403
        assert await status("lab", Origin=f"http://lab:{port}") == 200
        assert await status("192.0.2.1", Origin=f"http://192.0.2.1:{port}") == 200


async def test_no_address_that_others_reach_is_listened_to_without_a_token(hosted: Any) -> None:
    for host in ("0.0.0.0", "::"):
        with pytest.raises(ConfigurationException) as refused:
            async with running_environments(hosted, EnvironmentServeSettings(host=host, port=0)):
                pass
        assert refused.value.code in ("no_token", "no_address")  # the second where the machine has no IPv6


def test_a_file_of_tokens_holds_digests_and_nobody_else_may_write_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    for each in ENTRIES:
        add_token(path, each)
    assert load_tokens(path) == ENTRIES
    assert path.stat().st_mode & 0o077 == 0
    assert not any(token in path.read_text() for token in (READ, RUN, ADMIN))
    with pytest.raises(ConfigurationException, match="already"):
        add_token(path, ENTRIES[0])
    tokens = read_tokens([], tmp_path, {}, [Path("tokens.yaml")])
    grant = tokens.grant(f"Bearer {RUN}")
    assert grant is not None
    assert (grant.scope, grant.may("read"), grant.may("admin")) == ("run", True, False)
    assert tokens.grant("Bearer of-somebody-else-0123456789") is None
    path.chmod(0o622)
    with pytest.raises(ConfigurationException, match="chmod go-w"):
        load_tokens(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tokens: [{name: a, sha256: abc}]", "sha256"),
        ("tokens: [{name: a}]", "sha256"),
        (f"tokens: [{{name: a, sha256: '{'0' * 64}', scope: all}}]", "scope"),
        (f"tokens: [{{name: a, sha256: '{'0' * 64}', requests_per_second: 0}}]", "requests_per_second"),
        (f"tokens: [{{name: a, sha256: '{'0' * 64}'}}, {{name: b, sha256: '{'0' * 64}'}}]", "two tokens"),
        ("", "tokens"),
    ],
)
def test_what_is_wrong_in_a_file_of_tokens_is_told_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationException) as refused:
        load_tokens(path)
    assert says in str(refused.value)
    assert "tokens.yaml:1" in str(refused.value)
