"""Whatever a client sends in place of what belongs there, it is told so, and the server goes on as before."""

import json
import random
from typing import Any

import pytest

pytestmark = pytest.mark.anyio
ECHO = "environment_echo"
STRANGE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    1e308,
    "",
    "a" * 1000,
    "\x00",
    "\ud800",
    "\u202e",
    "../../etc/passwd",
    "__class__",
    [],
    {},
    [[]] * 50,
    {"": ""},
    {"__proto__": 1},
    {"$ref": "#"},
    {"message": {"message": "m"}},
)
BODIES: dict[str, Any] = {
    "reset": {"seed": 1, "episode_id": "a"},
    "step": {"action": {"message": "hello", "metadata": {"a": [1]}}, "timeout_s": 30, "request_id": "r"},
}


def changed(body: Any, draw: random.Random) -> Any:
    """The body with something in it, or all of it, replaced, taken out or added."""
    if not isinstance(body, dict) or not body or draw.random() < 0.15:
        return draw.choice(STRANGE)
    key = draw.choice(sorted(body))
    other = dict(body)
    how = draw.randrange(4)
    if how == 0:
        del other[key]
    elif how == 1:
        other[str(draw.choice(STRANGE))[:300]] = draw.choice(STRANGE)
    else:
        other[key] = changed(body[key], draw)
    return other


@pytest.mark.parametrize("seed", range(3))
async def test_bodies_that_are_drawn_are_answered_and_never_by_a_fault(serve: Any, http: Any, seed: int) -> None:
    draw = random.Random(seed)
    async with serve(only=ECHO) as running, http(running) as client:
        for _ in range(150):
            kind = draw.choice(sorted(BODIES))
            sent = json.dumps(changed(BODIES[kind], draw)).encode()
            answer = await client.post(f"/{kind}", content=sent, headers={"Content-Type": "application/json"})
            assert answer.status_code < 500, (kind, sent[:300], answer.text)
            assert answer.status_code == 200 or answer.json()["detail"], (kind, sent[:300])
        assert (await client.post("/reset", json={"seed": 1})).json()["done"] is False


@pytest.mark.parametrize("seed", range(3))
async def test_messages_that_are_drawn_are_answered_each_by_one(serve: Any, talk: Any, seed: int) -> None:
    draw = random.Random(seed)
    known = {"type": "step", "data": {"message": "hello", "metadata": {"a": [1]}}}
    async with serve() as running:
        left = 150
        while left:
            async with talk(running, ECHO) as client:
                await client.ask("reset")
                while left:
                    left -= 1
                    sent = changed(known, draw)
                    if isinstance(sent, dict) and sent.get("type") == "close":
                        continue
                    await client.say(json.dumps(sent))
                    answer = await client.hear()
                    assert answer["type"] in ("observation", "error", "state", "mcp"), (sent, answer)
                    assert answer["data"].get("reason") != "internal", (sent, answer)
                    if answer["data"].get("code") == "SESSION_ERROR":
                        assert await client.closed() == 1000
                        break
                else:
                    assert (await client.ask("reset"))["type"] == "observation"


@pytest.mark.parametrize(
    "path", ["/run-challenge", *(f"/environments/{ECHO}/batch/{k}" for k in ("reset", "step", "state", "close"))]
)
@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[" * 10_000 + b"]" * 10_000, 400),
        (b'{"a": ' * 200 + b"1" + b"}" * 200, 422),
        (b'{"a": NaN}', 400),
        (b"\xff\xfe{}", 400),
        (b"[]", 422),
        (b"a" * 200_000, 413),
    ],
    ids=["cut", "deep", "nested", "nan", "not utf-8", "list", "long"],
)
async def test_a_body_that_is_none_is_refused_by_batches_and_challenges_too(
    serve: Any, http: Any, path: str, content: bytes, status: int
) -> None:
    async with serve(wire={"message_bytes": 100_000}) as running, http(running) as client:
        answer = await client.post(path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text
        assert "Traceback" not in answer.text
        assert running.host.active == 0
