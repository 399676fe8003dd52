"""Chromium over its DevTools protocol, through a pipe: nothing to install."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colours import contrast

# Its pipes are handed over as only POSIX can.
BROWSER = None if os.name == "nt" else shutil.which("chromium") or shutil.which("google-chrome")
SECONDS = 120
PATIENCE = 30
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " "), "ArrowDown": (40, "")}
SHIFT = 8


# WCAG 2.1, 1.4.3, for text of usual size.
LEAST_CONTRAST = 4.5
TEXTS = """(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const hex = (colour) => "#" + parts(colour).slice(0, 3)
    .map((part) => Math.round(part).toString(16).padStart(2, "0")).join("");
  const solid = (colour) => !(parts(colour)[3] < 1);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (solid(colour)) return hex(colour);
    }
    return "#ffffff";
  };
  return [...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility() && (e.value || [...e.childNodes].some(
      (node) => node.nodeType === 3 && node.data.trim())))
    .map((e) => [(e.value || e.textContent).trim().slice(0, 40),
      hex(getComputedStyle(e).color), ground(e)]);
})()"""


@dataclass(frozen=True)
class Named:
    """What a screen reader is told of one element."""

    role: str
    name: str
    description: str
    properties: dict[str, Any]


class Browser:
    """One page of one browser, which ends when nothing was opened for `SECONDS`."""

    def __init__(self, folder: Path) -> None:
        theirs, ours = os.pipe()
        answers, says = os.pipe()
        # Out of the way of 3 and 4, from which Chromium reads and to which it writes.
        theirs, says = out_of_the_way(theirs), out_of_the_way(says)
        options = (
            "headless=new no-sandbox disable-gpu no-first-run disable-background-networking "
            f"disable-component-update disable-sync user-data-dir={folder} remote-debugging-pipe"
        )
        self.process = subprocess.Popen(
            [str(BROWSER), *(f"--{option}" for option in options.split()), "about:blank"],
            preexec_fn=lambda: (os.dup2(theirs, 3), os.dup2(says, 4)),
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(says)
        self.commands = os.fdopen(ours, "wb", buffering=0)
        self.answers = os.fdopen(answers, "rb")
        self.watch = threading.Timer(SECONDS, self.process.kill)
        self.watch_anew()
        self.number, self.session = 0, ""
        self.events: list[dict[str, Any]] = []
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(each["targetId"] for each in pages if each["type"] == "page")
        answer = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = str(answer["sessionId"])
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def watch_anew(self) -> None:
        """Give the browser time again; one that hangs is ended, and the wait for its answer too."""
        self.watch.cancel()
        self.watch = threading.Timer(SECONDS, self.process.kill)
        self.watch.start()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command and return its answer; events that come meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def read(self) -> dict[str, Any]:
        """Return the next message."""
        text = bytearray()
        while (sign := self.answers.read(1)) != b"\0":
            assert sign, "the browser has ended"
            text += sign
        return dict(json.loads(text))

    def open(self, address: str) -> None:
        """Load a page again, and wait until it is there."""
        self.watch_anew()
        for each in ("about:blank", address):
            self.call("Page.navigate", url=each)
            while "Page.loadEventFired" not in [event.get("method") for event in self.events]:
                self.events.append(self.read())
            self.events = [e for e in self.events if e.get("method") != "Page.loadEventFired"]

    def ask(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Ask until the value is a true one, and return it."""
        ends = time.monotonic() + PATIENCE
        while not (value := self.ask(expression)):
            assert time.monotonic() < ends, f"{expression} stays {value!r}"
            time.sleep(0.05)
        return value

    def click(self, selector: str) -> None:
        """Click with the mouse on the middle of an element."""
        where = self.ask(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            place = {"x": where[0], "y": where[1], "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **place)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key of `KEYS`."""
        code, text = KEYS[key]
        for kind in ("keyDown", "keyUp"):
            named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
            more = {"text": text} if text and kind == "keyDown" else {}
            held = SHIFT if shift else 0
            self.call("Input.dispatchKeyEvent", type=kind, modifiers=held, **named, **more)

    def type(self, text: str) -> None:
        """Type text where the focus is."""
        self.call("Input.insertText", text=text)

    def resize(self, width: int, height: int = 900) -> None:
        """Make the screen that large."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def prefer(self, scheme: str) -> None:
        """Prefer light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def tree(self) -> list[Named]:
        """Return what a screen reader is told of, in its order."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            Named(
                node["role"]["value"],
                node.get("name", {}).get("value", ""),
                node.get("description", {}).get("value", ""),
                {each["name"]: each["value"].get("value") for each in node.get("properties", [])},
            )
            for node in nodes
            if not node["ignored"]
        ]

    def weak_texts(self) -> list[tuple[str, str, str]]:
        """Return the texts that hardly stand out from their ground, with both colours."""
        found = self.ask(TEXTS)
        return [tuple(each) for each in found if contrast(each[1], each[2]) < LEAST_CONTRAST]

    @property
    def asked(self) -> list[str]:
        """The addresses that were asked for since `events` was cleared."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    @property
    def complaints(self) -> list[str]:
        """What stands in the console since `events` was cleared, errors that nobody caught too."""
        found = []
        for event in self.events:
            parameters = event.get("params", {})
            if event.get("method") == "Log.entryAdded":
                found.append(parameters["entry"]["text"])
            elif event.get("method") == "Runtime.exceptionThrown":
                found.append(parameters["exceptionDetails"]["text"])
            elif event.get("method") == "Runtime.consoleAPICalled":
                found.append(str(parameters["args"]))
        return found

    def close(self) -> None:
        """End the browser."""
        self.watch.cancel()
        self.call("Browser.close")
        self.process.wait(20)


def out_of_the_way(file: int) -> int:
    """Give an open file a number from 10 on."""
    import fcntl  # which Windows lacks

    moved = fcntl.fcntl(file, fcntl.F_DUPFD, 10)
    os.close(file)
    return moved
