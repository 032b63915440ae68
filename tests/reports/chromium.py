"""A headless Chromium cut off from every network, driven over its debugging protocol."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

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
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
PATIENCE = 60.0


class Tab:
    """One page of the browser: commands go out, events are kept."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self._connection = connection
        self._asked = 0
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._asked += 1
        self._connection.send(
            json.dumps({"id": self._asked, "method": method, "params": parameters})
        )
        while True:
            message = json.loads(self._connection.recv())
            if message.get("id") == self._asked:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

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


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """Start Chromium with a fresh profile.

    Where this process may (as root), in a network namespace of its own, with nothing but
    loopback: the page then cannot reach a network even if it tried.
    """
    assert BINARY is not None
    profile = folder / "profile"
    command = [BINARY, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = _port(profile, process)
        connection = websocket.create_connection(_address(port), timeout=PATIENCE)
        try:
            yield Tab(connection)
        finally:
            connection.close()
    finally:
        process.terminate()
        process.wait(timeout=20)


def _port(profile: Path, process: "subprocess.Popen[bytes]") -> int:
    file = profile / "DevToolsActivePort"
    end = time.monotonic() + PATIENCE
    while not (file.exists() and file.read_text().strip()):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError("Chromium did not start")
        time.sleep(0.05)
    return int(file.read_text().split()[0])


def _address(port: int) -> str:
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
        pages = json.load(answer)
    return next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")


def is_root() -> bool:
    return os.geteuid() == 0
