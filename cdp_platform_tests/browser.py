"""A headless Chromium that tests ask for what a person would see: sizes of things, texts, and pictures.

It is told what to do in the words of the Chrome DevTools Protocol, over a pipe: commands are JSON objects with a zero
byte behind each, written to file 3 of the browser; answers and events come the same way from its file 4.
"""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cdp_platform_tests.service_logs import artefacts

# Debian's package calls it chromium.
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--remote-debugging-pipe",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
)
# Puts the two ends of the pipes where the browser looks for them.
_EXEC = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
)
_PHONE_WIDTH = 600
_PATIENCE_SECONDS = 90

# Screens in CSS pixels: a desk's, and a small phone's.
DESKTOP, PHONE = (1280, 800), (360, 740)

# What a finger has to hit and is smaller than 44 pixels.
TOO_SMALL = """
[...document.querySelectorAll("a, button, summary, input:not([type=hidden])")].filter(one => one.checkVisibility())
  .map(one => [one.textContent, one.getBoundingClientRect()])
  .filter(([_, size]) => size.width < 44 || size.height < 44).map(([text, size]) => [text, size.width, size.height])
"""
# Contrast of every text with what is behind it, as WCAG 2 defines it; what is below 4.5 is returned.
TOO_FAINT = """
(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = one => {
    for (; one; one = one.parentElement) {
      const colour = parts(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
  };
  return [...document.body.querySelectorAll("*")].filter(one => one.checkVisibility() &&
    [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim())).map(one => {
      const [a, b] = [light(parts(getComputedStyle(one).color)), light(behind(one))];
      return [one.textContent.slice(0, 30), (Math.max(a, b) + .05) / (Math.min(a, b) + .05)];
    }).filter(([_, contrast]) => contrast < 4.5);
})()
"""


def find_chromium() -> str:
    """Return where the browser is; without one the test is skipped, but where everything has to be tested it fails."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is not None:
        return found
    reason = "there is no Chromium: apt-get install chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Browser:
    """One page of a browser."""

    _commands: int
    _answers: int
    _session: str = ""
    _received: bytes = b""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _events: list[str] = field(default_factory=list)

    def show(self, width: int, height: int, *, dark: bool = False) -> None:
        """Be a screen of this size in CSS pixels, and below 600 pixels of width a phone with fingers."""
        phone = width < _PHONE_WIDTH
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.tell("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go to an address and wait until all of it is there."""
        self._events.clear()
        answer = self.tell("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        while "Page.loadEventFired" not in self._events:
            self._read()

    def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.tell("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def photograph(self, name: str) -> Path:
        """Keep what is on the screen as NAME.png in the folder `TEST_ARTEFACTS` (`.artefacts` of the checkout)."""
        folder = artefacts()
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.png"
        file.write_bytes(base64.b64decode(self.tell("Page.captureScreenshot", format="png")["data"]))
        return file

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol and return its answer."""
        command = {"id": next(self._numbers), "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == command["id"]:
                assert "result" in message, message
                return message["result"]

    def attach(self) -> None:
        """Open the page that the rest is about."""
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.tell("Page.enable")

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            readable, _, _ = select.select([self._answers], [], [], _PATIENCE_SECONDS)
            assert readable, "the browser does not answer"
            block = os.read(self._answers, 1 << 16)
            assert block, "the browser has ended"
            self._received += block
        first, _, self._received = self._received.partition(b"\0")
        message = json.loads(first)
        self._events.append(message.get("method", ""))
        return message


@contextmanager
def open_browser(profile: Path) -> Generator[Browser]:
    """Run a browser that keeps what it needs in a folder of its own."""
    chromium = find_chromium()
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    # The log lines of a browser without a desktop mean nothing here.
    process = subprocess.Popen(
        [sys.executable, "-c", _EXEC, str(theirs_in), str(theirs_out), chromium, *_FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(theirs_in, theirs_out),
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        browser = Browser(ours_out, ours_in)
        browser.attach()
        yield browser
    finally:
        process.terminate()
        process.wait(60)
        os.close(ours_out)
        os.close(ours_in)


@pytest.fixture(scope="session")
def session_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser of all tests."""
    with open_browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
def browser(session_browser: Browser) -> Browser:
    """The browser as a desk's screen."""
    session_browser.show(*DESKTOP)
    return session_browser
