"""Chromium without a window, driven through a pipe by its own DevTools protocol: no driver, no port, no library.

Protocol: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

WAIT_S = 60.0  # for what should come at once: a test that hangs fails
PROGRAM = next((found for n in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(n))), None)
# the browser reads its orders from descriptor 3, and answers on 4
_LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--force-color-profile=srgb", "about:blank",
)  # fmt: skip


class Chromium:
    """One browser with one page."""

    def __init__(self, folder: Path) -> None:
        """`folder`: for its profile."""
        assert PROGRAM is not None
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        # high numbers that are free, so that 3 and 4 can become copies of them
        pair = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in (orders, answers)]
        command = [sys.executable, "-c", _LAUNCH, *map(str, pair), PROGRAM, *_FLAGS, f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            command, pass_fds=pair, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        for fd in (orders, answers, *pair):
            os.close(fd)
        self._left = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._orders)
        os.close(self._answers)

    def call(self, method: str, **parameters: Any) -> Any:
        """A command to the page; its result. AssertionError with the browser's words if it fails."""
        return self._call(method, self._session, **parameters)

    def _call(self, method: str, session: str = "", /, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._orders, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + WAIT_S
        while True:
            found = self._read(end, method)
            if found.get("id") == self._number:
                assert "error" not in found, f"{method}: {found['error']}"
                return found["result"]
            self.events.append(found)

    def _read(self, end: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._left:
            left = end - time.monotonic()
            assert left > 0 and select.select([self._answers], [], [], left)[0], f"{what}: the browser does not answer"
            piece = os.read(self._answers, 1 << 20)
            assert piece, f"{what}: the browser has gone"
            self._left += piece
        one, _, self._left = self._left.partition(b"\0")
        return json.loads(one)  # type: ignore[no-any-return]

    # -- the page

    def go(self, url: str) -> None:
        """Load a page, as if anew."""
        self.call("Page.navigate", url="about:blank")
        self.events.clear()
        self.call("Page.navigate", url=url)

    def js(self, expression: str) -> Any:
        """The value of an expression, awaited."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, f"{expression}: {found['exceptionDetails']}"
        return found["result"].get("value")

    def until(self, condition: str) -> Any:
        """Wait in the page until an expression is true."""
        look = f"(() => {{ try {{ return ({condition}); }} catch {{ return null; }} }})()"
        found = self.js(
            f"new Promise(done => {{ let n = 0; const look = () => {{ const v = {look}; "
            f"if (v || ++n > 1000) done(v); else setTimeout(look, 20); }}; look(); }})"
        )
        assert found, f"{condition} did not come; the page has: {self.js('document.body.innerText')[:2000]}"
        return found

    def text(self, selector: str) -> str:
        return str(self.js(f"document.querySelector({json.dumps(selector)}).innerText"))

    def other_tab(self, start: str) -> str:
        """The text of a tab that the page has opened, at an address that begins so. The page itself is then behind."""
        end, found = time.monotonic() + WAIT_S, ""
        while not found:
            tabs = [t for t in self._call("Target.getTargets")["targetInfos"] if t["url"].startswith(start)]
            assert time.monotonic() < end, f"no tab at {start}, or nothing in it"
            for tab in tabs:
                target = tab["targetId"]
                with suppress(AssertionError):  # it has no document yet, or gets another process
                    session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
                    told = self._call("Runtime.evaluate", session, expression="document.body.innerText")
                    found = told["result"].get("value", "")
        return found

    def click(self, selector: str) -> None:
        self.js(f"document.querySelector({json.dumps(selector)}).click()")

    def key(self, name: str, code: int, modifiers: int = 0, text: str = "") -> None:
        """Press a key of the keyboard. `modifiers`: 2 is Ctrl, 8 is Shift."""
        told = {"key": name, "code": name, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **told, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def fill(self, selector: str, text: str) -> None:
        """Put text into a field, as typing would."""
        self.js(
            f"(() => {{ const f = document.querySelector({json.dumps(selector)}); f.value = {json.dumps(text)}; "
            "for (const kind of ['input', 'change']) f.dispatchEvent(new Event(kind, {bubbles: true})); })()"
        )

    def choose_file(self, selector: str, path: Path) -> None:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def scheme(self, name: str) -> None:
        """Prefer light or dark."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def picture(self, path: Path) -> None:
        """Write what is seen, the whole page, as PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def complaints(self) -> list[str]:
        """What the browser found wrong so far: exceptions, violations of the policy, parts that did not load."""
        self.js("1")  # events before this have come
        found = []
        for event in self.events:
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"]))
            elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(event["params"]["entry"]["text"])
        return found
