# SPDX-License-Identifier: Apache-2.0
"""A real browser without a screen, which is told what to do through a pair of pipes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = "chromium"
_PATIENCE = 120.0
"""Seconds that it may take to answer on a busy machine."""

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)

_KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "ArrowUp": (38, ""), "ArrowDown": (40, ""),
         "ArrowLeft": (37, ""), "ArrowRight": (39, ""), "Tab": (9, "")}  # fmt: skip


class Browser:
    """The browser: it opens files of this machine, one after the other, in one window."""

    def __init__(self, writing: int, reading: int) -> None:
        self._writing, self._reading = writing, reading
        self._number, self._left, self._session = 0, b"", ""
        self.complaints: list[str] = []

    def begin(self) -> None:
        """Open the window."""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        found = self("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **params: Any) -> dict[str, Any]:
        """Have the browser do something; return its answer."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._writing, json.dumps(asked).encode() + b"\0")
        for message in self._messages():
            if message.get("id") == self._number:
                assert "error" not in message, (method, message)
                return dict(message["result"])
        raise AssertionError(f"no answer to {method}")

    def _messages(self) -> Iterator[Mapping[str, Any]]:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            raw, found, rest = self._left.partition(b"\0")
            if found:
                self._left = rest
                message = json.loads(raw)
                self._note(message)
                yield message
            elif select.select([self._reading], [], [], 1)[0]:
                data = os.read(self._reading, 1 << 20)
                assert data, "the browser has ended"
                self._left += data

    def _note(self, message: Mapping[str, Any]) -> None:
        """Keep what the browser complains of, and each address that it asks for."""
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded":
                self.complaints.append(json.dumps(params))
            case "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file://", "about:")):
                    self.complaints.append(url)

    def open(self, path: Path, *, dark: bool = False, size: tuple[int, int] = (1400, 900)) -> None:
        """Open a file, as a person sees it who prefers light or dark."""
        self.complaints.clear()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])
        wide, high = size
        self("Emulation.setDeviceMetricsOverride", width=wide, height=high,
             deviceScaleFactor=1, mobile=False)  # fmt: skip
        self("Page.navigate", url=path.as_uri())
        for _ in range(1000):
            done = self.tell("document.readyState === 'complete' ? location.href : ''")
            if done == path.as_uri():
                return
            time.sleep(0.02)
        raise AssertionError(f"{path} does not open")

    def tell(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        found = self("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, (expression, found)
        return found["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys one after the other, by their names; a letter stands for itself."""
        for key in keys:
            code, text = _KEYS.get(key, (ord(key.upper()[0]), key))
            told = {"key": key, "windowsVirtualKeyCode": code, "text": text, "unmodifiedText": text}
            kind = "keyDown" if text else "rawKeyDown"
            self("Input.dispatchKeyEvent", type=kind, **told)
            self("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def point(self, x: float, y: float) -> None:
        """Move the mouse."""
        self("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser that keeps its files in a folder."""
    (theirs, writing), (reading, ours) = os.pipe(), os.pipe()
    command = f"exec {PROGRAM} {' '.join(_OPTIONS)} --user-data-dir={folder}/profile about:blank"
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder),
                   "XDG_CACHE_HOME": str(folder)}  # fmt: skip
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        ["bash", "-c", f"{command} 3<&{theirs} 4>&{ours}"],
        pass_fds=(theirs, ours),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    os.close(ours)
    try:
        found = Browser(writing, reading)
        found.begin()
        yield found
    finally:
        os.close(writing)
        os.close(reading)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()
