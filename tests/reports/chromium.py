"""A headless Chromium cut off from every network, driven over its debugging protocol."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BINARY = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
PATIENCE = 200.0


class Tab:
    """One page of the browser: commands go out, events are kept."""

    def __init__(self, pipes: "Pipes") -> None:
        self._pipes = pipes
        self._asked = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._asked += 1
        message: dict[str, Any] = {"id": self._asked, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._pipes.send(message)
        while True:
            answer = self._pipes.receive()
            if answer.get("id") == self._asked:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def evaluate(self, expression: str) -> Any:
        answer = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def open(self, page: Path, *, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = "dark" if dark else "light"
        self.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.ask("Page.navigate", url=page.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript condition holds."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.05)

    def draw_all(self) -> None:
        """Scroll through the page, so that every chart comes near, and wait for them all."""
        steps = self.evaluate("Math.ceil(document.documentElement.scrollHeight / 600)")
        for step in range(steps + 1):
            self.evaluate(f"window.scrollTo({{top: {600 * step}, behavior: 'instant'}})")
            time.sleep(0.05)
        self.wait(
            "[...document.querySelectorAll('[data-chart]')]"
            ".every((box) => box.classList.contains('drawn'))"
        )
        self.evaluate("window.scrollTo({top: 0, behavior: 'instant'})")

    def complaints(self) -> list[str]:
        """What the console said at level warning or error, and exceptions."""
        said: list[str] = []
        for event in self.events:
            parameters = event.get("params", {})
            if event["method"] == "Runtime.consoleAPICalled":
                if parameters["type"] in {"error", "warning", "assert"}:
                    said.append(str([item.get("value") for item in parameters["args"]]))
            elif event["method"] == "Runtime.exceptionThrown":
                said.append(str(parameters["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and parameters["entry"]["level"] != "verbose":
                said.append(parameters["entry"]["text"])
        return said

    def requests(self) -> list[str]:
        """Addresses that the page asked for, apart from itself and what it carries."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
            and not event["params"]["request"]["url"].startswith(("file:", "data:", "blob:"))
        ]

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        picture = self.ask(
            "Page.captureScreenshot",
            captureBeyondViewport=whole,
            **({"clip": clip} if whole else {}),
        )
        path.write_bytes(base64.b64decode(picture["data"]))


class Pipes:
    """Messages of the debugging protocol over two pipes, each ended by a zero byte."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._kept = b""

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._writing, data) :]

    def receive(self) -> dict[str, Any]:
        while b"\0" not in self._kept:
            ready, _, _ = select.select([self._reading], [], [], PATIENCE)
            if not ready:
                raise TimeoutError("Chromium does not answer")
            data = os.read(self._reading, 1 << 20)
            if not data:
                raise RuntimeError("Chromium has ended")
            self._kept += data
        message, _, self._kept = self._kept.partition(b"\0")
        return json.loads(message)


def cut_off() -> list[str]:
    """Command that starts another without any network, where this process may."""
    command = ["unshare", "--net"]
    may = (
        shutil.which(command[0]) and not subprocess.run([*command, "true"], check=False).returncode
    )
    return command if may else []


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """Start Chromium with a fresh profile, in a network namespace of its own where possible.

    There it has no network at all, so a page that asks for one fails rather than passes. It
    is spoken to over pipes, which need none.
    """
    assert BINARY is not None
    to_browser, from_browser = os.pipe(), os.pipe()
    command = [*cut_off(), BINARY, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    redirected = f'exec "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
    process = subprocess.Popen(
        ["bash", "-c", redirected, "bash", *command],
        pass_fds=(to_browser[0], from_browser[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser[0])
    os.close(from_browser[1])
    try:
        yield Tab(Pipes(from_browser[0], to_browser[1]))
    finally:
        os.close(to_browser[1])
        process.terminate()
        process.wait(timeout=20)
        os.close(from_browser[0])
