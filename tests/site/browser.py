"""A browser without a window, by Chrome's DevTools protocol over a pipe: nothing is needed but the browser.

    with Browser(executable) as browser:
        browser.open("http://127.0.0.1:8000/", width=400)
        browser.ask("document.title")

It has one page, and reaches no host but this one.
"""

import base64
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--hide-scrollbars",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # the site and nothing else
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
)
PATIENCE = 60.0  # seconds: another program may have the machine


def installed() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of a new browser; what it and its workers have asked for, and what went wrong there."""

    def __init__(self, executable: str) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._executable, self._count, self._unread, self._answers = executable, 0, b"", {}
        self._loaded = False

    def __enter__(self) -> "Browser":
        self._profile = tempfile.mkdtemp()
        ours, theirs = zip(*(self._pipe(ours) for ours in (1, 0)), strict=True)
        self._to, self._from = ours
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        # It reads 3 and writes 4. No fork of this process, whose JAX has threads.
        self._pid = os.posix_spawn(
            self._executable,
            [self._executable, *FLAGS, *root, f"--user-data-dir={self._profile}", "about:blank"],
            os.environ,
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, fd, to) for fd, to in zip(theirs, (3, 4), strict=True)),
                *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)),
            ],
            setpgroup=0,
        )
        for fd in theirs:
            os.close(fd)
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
        return self

    def _pipe(self, end: int) -> tuple[int, int]:
        """Our end, and theirs, which has a number above those that it will be given."""
        pair = os.pipe()
        high = os.dup(pair[1 - end])
        lower = [pair[1 - end]]
        while high < 10:
            lower.append(high)
            high = os.dup(high)
        for fd in lower:
            os.close(fd)
        return pair[end], high

    def __exit__(self, *_: object) -> None:
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._count = number = self._count + 1
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session or self._session:
            message["sessionId"] = session or self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        if session:  # a worker's; nobody waits for its answer, which may never come
            return {}
        self.wait_until(lambda: number in self._answers, method)
        answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def wait_until(self, met: Callable[[], Any], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not met():
            assert time.monotonic() < end, f"the browser did not answer: {what}"
            self._read(0.05)

    def _read(self, seconds: float) -> None:
        if not select.select([self._from], [], [], seconds)[0]:
            return
        got = os.read(self._from, 1 << 20)
        assert got, "the browser ended"
        *whole, self._unread = (self._unread + got).split(b"\0")
        for message in map(json.loads, whole):
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._happened(message["method"], message["params"])

    def _happened(self, event: str, told: dict[str, Any]) -> None:
        if event == "Target.attachedToTarget" and self._session:
            for method in ("Network.enable", "Runtime.enable", "Runtime.runIfWaitingForDebugger"):
                self.call(method, session=told["sessionId"])
        elif event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Network.requestWillBeSent":
            if not told["request"]["url"].startswith("data:"):
                self.requests.append(told["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(told["exceptionDetails"]))
        elif event == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(told["args"]))

    def open(self, url: str, width: int = 1280, height: int = 900) -> None:
        """Go there, and wait until it is loaded, lazily loaded pictures too."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self._loaded = False
        self.call("Page.navigate", url=url)
        self.wait_until(lambda: self._loaded, url)
        self.ask("for (const i of document.images) i.loading = 'eager'")
        self.wait_until(lambda: self.ask("[...document.images].every(i => i.complete)"), f"pictures of {url}")

    def ask(self, script: str) -> Any:
        """What a line of JavaScript gives."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """By the mouse, in the middle of what is shown there: something that is covered is not clicked."""
        x, y = self.ask(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'nearest'}});"
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        for letter in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", text=letter, key=letter)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=letter)

    def photograph(self, path: Path, whole: bool = True) -> None:
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(picture["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 16000), "scale": 1}}
