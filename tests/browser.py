"""A headless Chromium that a test drives by the DevTools protocol: real keys, a real pointer, what the console said."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websocket import WebSocket, create_connection

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")
QUIET = (
    "--headless",
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # containers have little of it
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""For a browser that shows nothing and calls nobody."""
FLAGS = (*QUIET, "--no-proxy-server", "--remote-debugging-port=0")
PATIENCE_S = 30.0
# In CI a browser is promised by .ci/run: there its absence is a failure.
needs_browser = pytest.mark.skipif(
    not BROWSER and "CI" not in os.environ, reason="no chromium found; on Debian: apt-get install chromium"
)
_CODES = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}
_ALT, _SHIFT = 1, 8


class Tab:
    """One page."""

    def __init__(self, socket: WebSocket) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv())
            if said.get("id") == number:
                assert "error" not in said, said
                return dict(said["result"])
            if "method" in said:
                self._hear(said)

    def _hear(self, said: dict[str, Any]) -> None:
        told = said.get("params", {})
        match said["method"]:
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning"):
                self.complaints.append(str(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.complaints.append(str(told["entry"]["text"]))
            case "Page.javascriptDialogOpening":  # a page that would rather not be left
                dialog = {"method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                self._socket.send(json.dumps({"id": next(self._numbers), **dialog}))

    def run(self, script: str) -> Any:
        """The value of an expression; promises are awaited."""
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true, and give its value."""
        ends = time.monotonic() + PATIENCE_S
        while not (value := self.run(script)):
            assert time.monotonic() < ends, f"never came true: {script}\n{self.run('document.body.innerText')}"
            time.sleep(0.03)
        return value

    def open(self, url: str) -> None:
        """Go there, and wait until everything is loaded."""
        self.ask("Page.navigate", url=url)
        self.until(f"location.href === {url!r} && document.readyState === 'complete'")

    def screen(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """How large the window is, and what its reader prefers."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """What is seen, as PNG."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    def press(self, *keys: str, alt: bool = False, shift: bool = False) -> None:
        """Keys, one after the other."""
        for key in keys:
            told = {"key": key, "modifiers": alt * _ALT + shift * _SHIFT}
            told |= {"windowsVirtualKeyCode": _CODES.get(key, ord(key.upper()[0]))}
            written = "\r" if key == "Enter" else key
            text = {} if (key in _CODES and key != "Enter") or alt else {"text": written}
            self.ask("Input.dispatchKeyEvent", type="keyDown", **told, **text)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **told)

    def write(self, text: str) -> None:
        """Text where the cursor is."""
        self.ask("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """The middle of an element."""
        x, y = self.run(
            f"(() => {{ const at = document.querySelector({selector!r}); at.scrollIntoView({{block: 'nearest'}});"
            "const r = at.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        self.drag((x, y), (x, y))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the pointer down in one place and let it go in another."""
        self._point("mouseMoved", start)
        self._point("mousePressed", start, button="left", buttons=1, clickCount=1)
        if start != end:
            middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
            for place in (middle, end):
                self._point("mouseMoved", place, button="left", buttons=1)
        self._point("mouseReleased", end, button="left", clickCount=1)

    def _point(self, kind: str, place: tuple[float, float], **more: Any) -> None:
        self.ask("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **more)


@contextmanager
def browser_tab() -> Iterator[Tab]:
    """A browser with one empty page, and a profile that goes with it."""
    assert BROWSER, "no chromium found; .ci/run installs it"
    with tempfile.TemporaryDirectory(prefix="orbitloop-chromium-", ignore_cleanup_errors=True) as profile:
        command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                socket = create_connection(_page(Path(profile), process), timeout=60, suppress_origin=True)
                yield Tab(socket)
                socket.close()
            finally:
                process.terminate()
                process.wait(20)


def _page(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the page is driven."""
    import httpx

    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        assert process.poll() is None, "the browser ended as soon as it was started"
        try:
            port = (profile / "DevToolsActivePort").read_text().split()[0]
            listed = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
            return str(next(one["webSocketDebuggerUrl"] for one in listed if one["type"] == "page"))
        except (OSError, IndexError, StopIteration, httpx.TransportError):
            time.sleep(0.05)
    raise AssertionError("the browser cannot be driven")
