"""The landing page in a real browser, where there is one: Chromium without a window, spoken to by its own protocol."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

pytestmark = pytest.mark.anyio
SECONDS = 120
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FOUND = next(filter(None, map(shutil.which, NAMES)), None)
MARKUP = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


class Page:
    """A page that is told what to do."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(await self._connection.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    async def value(self, expression: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> Any:
        """The value, once it is true."""
        while not (value := await self.value(expression)):  # noqa: ASYNC110
            await anyio.sleep(0.05)
        return value


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    words = [FOUND, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    words += [f"--user-data-dir={folder}", "--no-first-run", "--disable-background-networking", "about:blank"]
    quiet = subprocess.DEVNULL
    async with await anyio.open_process(words, stdout=quiet, stderr=quiet, start_new_session=True) as process:
        try:
            told = folder / "DevToolsActivePort"
            while not told.exists() or not told.read_text().strip():
                assert process.returncode is None, "the browser ended"
                await anyio.sleep(0.05)
            at = f"http://127.0.0.1:{told.read_text().split()[0]}"
            async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as http:
                pages: list[Any] = []
                while not pages:
                    pages = [each for each in (await http.get(f"{at}/json")).json() if each["type"] == "page"]
            address = re.sub(r"^ws://[^/]+", at.replace("http", "ws"), pages[0]["webSocketDebuggerUrl"])
            async with connect(address, proxy=None, max_size=None, open_timeout=SECONDS) as connection:
                yield Page(connection)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the command may be a script that starts the browser


@pytest.mark.skipif(FOUND is None, reason=f"no browser: none of {', '.join(NAMES)} is installed")
@pytest.mark.skipif(os.name != "posix", reason="the browser is started as on POSIX")
async def test_an_environment_is_tried_on_the_page_and_what_it_answers_stays_text(serve: Any, tmp_path: Path) -> None:
    with anyio.fail_after(SECONDS):
        async with serve() as running, browser(tmp_path) as page:
            await page.call("Page.enable")
            await page.call("Page.navigate", url=running.url + "/")
            at = "document.querySelector('#environment_echo')"
            answers = f"[...({at}?.querySelectorAll('.answer') ?? [])]"
            await page.until(f"document.readyState === 'complete' && !!{at}")
            title = await page.value("document.title")
            assert await page.value("getComputedStyle(document.querySelector('section')).borderTopStyle") == "solid"

            await page.value(f"{at}.querySelector('[data-call=reset]').click()")
            await page.until(f"{answers}.length === 1")
            assert "Echo environment ready!" in await page.value(f"{answers}[0].textContent")

            action = json.dumps(json.dumps({"message": MARKUP}))
            await page.value(f"{at}.querySelector('.action').value = {action}")
            await page.value(f"{at}.querySelector('[data-call=step]').click()")
            await page.until(f"{answers}.length === 2")
            said = await page.value(f"{answers}[0].textContent")
            assert said.startswith("step: 200")
            assert json.loads(said.partition("\n")[2])["observation"]["echoed_message"] == MARKUP
            assert await page.value("document.querySelectorAll('img').length") == 0

            await page.value(f"{at}.querySelector('.action').value = '{{'")
            await page.value(f"{at}.querySelector('[data-call=step]').click()")
            assert "no JSON" in await page.until(f"{answers}.length === 3 && {answers}[0].textContent")
            await page.value(f"{at}.querySelector('[data-call=state]').click()")
            assert '"step_count": 1' in await page.until(f"{answers}.length === 4 && {answers}[0].textContent")

            # The policy itself: markup that did get in would not run.
            await page.value(
                f"{at}.insertAdjacentHTML('beforeend', {json.dumps(MARKUP)}); "
                "var own = document.createElement('script'); own.textContent = \"document.title = 'taken'\"; "
                "document.body.append(own)"
            )
            await anyio.sleep(0.2)
            assert await page.value("document.title") == title
