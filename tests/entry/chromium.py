"""Drives Debian's headless Chromium over the DevTools protocol: browser tests need no package but `websockets`.

async with chromium(tmp_path) as browser:
    page = await browser.open("http://127.0.0.1:8000/")
    await page.wait_for("document.title === 'Shop'")
    await page.click("button.buy")
    assert page.complaints == []
"""

import asyncio
import base64
import itertools
import json
import os
import shutil
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

START_TIMEOUT_S = 30.0  # a cold start on a busy two-core machine took up to 5 s
CALL_TIMEOUT_S = 20.0
WAIT_TIMEOUT_S = 20.0
POLL_S = 0.05
WINDOW = (1440, 900)
MAX_MESSAGE = 64 * 1024 * 1024  # a screenshot comes as one message

CTRL = 2  # DevTools' bit for the key

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # there is no network but this machine
    "--remote-debugging-port=0",
)


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator["Browser"]:
    """A browser with an empty profile below `folder`, ended with the block.

    Without Chromium the test is skipped, saying so; with CI=true it fails.
    """
    profile = folder / "chromium"
    flags = (*FLAGS, f"--window-size={WINDOW[0]},{WINDOW[1]}", f"--user-data-dir={profile}", "about:blank")
    process = await create_subprocess_exec(_program(), *flags, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    try:
        async with connect(await _address(process, profile), max_size=MAX_MESSAGE, compression=None) as socket:
            browser = Browser(socket)
            listening = asyncio.create_task(browser.listen())
            try:
                yield browser
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Browser:
    """The socket to Chromium: sends commands, hands each event to the page that it belongs to."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}  # by session; a worker's session leads to its page
        self._starting: set[asyncio.Task[None]] = set()

    async def open(self, url: str, *, extension: str = "") -> "Page":
        """A new tab at `url`, watched from its first request on; returns when the document has loaded. `extension` is a
        script that runs in each document before its own, as those that a browser's extensions bring."""
        target = await self.call("Target.createTarget", url="about:blank")
        session = (await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True))["sessionId"]
        page = Page(self, session)
        self._pages[session] = page
        await self._watch(session)
        await self.call("Page.enable", session)
        if extension:
            await self.call("Page.addScriptToEvaluateOnNewDocument", session, source=extension)
        await page.goto(url)
        return page

    async def call(self, method: str, session: str | None = None, /, **params: Any) -> dict[str, Any]:
        """One DevTools command and its result; RuntimeError if Chromium refuses it, TimeoutError if it is silent."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        await self._socket.send(json.dumps(message))
        async with asyncio.timeout(CALL_TIMEOUT_S):
            answer = await self._answers[number]
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    async def listen(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                answer = self._answers.pop(message["id"])
                if not answer.done():  # its caller may have given up
                    answer.set_result(message)
            elif page := self._pages.get(message.get("sessionId", "")):
                self._note(page, message["method"], message["params"])

    def _note(self, page: "Page", method: str, params: dict[str, Any]) -> None:
        if method == "Target.attachedToTarget":  # a worker of the page, halted before its first line
            session = params["sessionId"]
            self._pages[session] = page
            task = asyncio.create_task(self._watch_worker(session))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
        else:
            page.note(method, params)

    async def _watch_worker(self, session: str) -> None:
        try:
            await self._watch(session)
        except RuntimeError:
            pass  # it ended with its page; one that stays halted shows in what the page then fails to do

    async def _watch(self, session: str) -> None:
        await self.call("Runtime.enable", session)
        await self.call("Network.enable", session)
        await self.call("Log.enable", session)
        await self.call("Target.setAutoAttach", session, autoAttach=True, waitForDebuggerOnStart=True, flatten=True)
        await self.call("Runtime.runIfWaitingForDebugger", session)


class Page:
    """One tab: what it asked for, what it complained of, and a hand to type and click with."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.requests: list[str] = []  # addresses, workers' and WebSockets' included; `data:` ones excluded
        self.complaints: list[str] = []  # console errors and warnings, uncaught exceptions, refused requests
        self._browser = browser
        self._session = session

    async def goto(self, url: str) -> None:
        """Loads `url` and waits until document, scripts and styles are there; RuntimeError if it cannot be reached."""
        answer = await self._call("Page.navigate", url=url)
        if "errorText" in answer:
            raise RuntimeError(f"{url}: {answer['errorText']}")
        await self.wait_for("document.readyState === 'complete'")

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression, promises awaited; RuntimeError if it throws."""
        answer = await self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(_thrown(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def wait_for(self, expression: str, timeout_s: float = WAIT_TIMEOUT_S) -> Any:
        """The value of `expression` (true for an element) once it is truthy; AssertionError when the time is over.

        An exception counts as "not yet": a page that is loading has only half of its objects.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        value: Any = None
        while not value:
            try:
                value = await self.evaluate(f"(v => v instanceof Node || v)({expression})")
            except RuntimeError as thrown:
                value, last = None, str(thrown)
            else:
                last = json.dumps(value)
            if not value and asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"not within {timeout_s} s: {expression}\nlast: {last}\npage: {self.complaints}")
            if not value:
                await asyncio.sleep(POLL_S)
        return value

    async def click(self, selector: str) -> None:
        """Presses the left button in the middle of the first element that matches, once there is one."""
        place = await self.wait_for(
            f"(e => {{ const b = e?.getBoundingClientRect(); return b?.width ? [b.x + b.width / 2, b.y + b.height / 2] "
            f": null }})(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self._call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    async def type(self, text: str) -> None:
        """Enters `text` where the caret is, as a paste would."""
        await self._call("Input.insertText", text=text)

    async def press(self, key: str, code: str, key_code: int, modifiers: int = 0) -> None:
        """One key down and up, for example `press("a", "KeyA", 65, CTRL)`."""
        for kind in ("rawKeyDown", "keyUp"):
            await self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=code,
                windowsVirtualKeyCode=key_code,
                modifiers=modifiers,
            )

    async def screenshot(self) -> bytes:
        """The visible part as PNG."""
        answer = await self._call("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["data"])

    def note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self._note_request(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self._note_request(params["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(_thrown(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}".strip())

    def _note_request(self, url: str) -> None:
        if not url.startswith("data:"):
            self.requests.append(url)

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **params)


def _program() -> str:
    program = shutil.which("chromium")
    if program is not None:
        return program
    if os.environ.get("CI") == "true":
        pytest.fail("chromium is not installed, and CI=true")
    pytest.skip("chromium is not installed: this browser test was NOT run")


async def _address(process: Process, profile: Path) -> str:
    """Where DevTools listens: Chromium chooses a port and writes it into its profile."""
    file = profile / "DevToolsActivePort"
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while not (file.exists() and len(lines := file.read_text().splitlines()) == 2):
        if process.returncode is not None:
            raise RuntimeError(f"chromium ended at its start with code {process.returncode}")
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"chromium did not open DevTools within {START_TIMEOUT_S} s")
        await asyncio.sleep(POLL_S)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"


def _thrown(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details["text"])
