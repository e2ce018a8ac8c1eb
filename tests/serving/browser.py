"""Chromium, driven over its DevTools protocol: a page as a person uses it."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """One tab.

    Args:
        address: Of its DevTools socket.
    """

    def __init__(self, address):
        self._socket = websocket.create_connection(address, timeout=600, suppress_origin=True)
        self._count = 0
        self.messages = []  # what the page said on its console, and what its policy kept it from
        self.requests = []  # addresses it asked for
        for domain in ("Page", "Runtime", "DOM", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._count:
                assert "error" not in message, message
                return message["result"]
            event, told = message.get("method"), message.get("params", {})
            if event in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                self.messages.append(told)
            if event == "Log.entryAdded" and told["entry"]["level"] != "verbose":  # a browser's advice on forms
                self.messages.append(told)
            if event == "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])

    def value(self, expression):
        """Of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression, seconds=600):
        """Waits until an expression holds."""
        end = time.monotonic() + seconds
        while not self.value(f"Boolean({expression})"):  # an element by value is an empty object
            assert time.monotonic() < end, (
                f"{expression}: not within {seconds} s; {self.value('document.body.innerText')}"
            )
            time.sleep(0.1)

    def open(self, address, width=1100, height=900):
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.value("window.before = true")  # the page that is left answers too, until the new one is there
        self.call("Page.navigate", url=address)
        self.until("!window.before && document.readyState === 'complete'")

    def choose(self, *paths):
        """Photos, as by the file dialogue; as a drop they come the same way."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def press(self, key):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode={"Tab": 9}[key])

    def screenshot(self, path):
        """The whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser():
    """A tab of a browser of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        command += [f"--user-data-dir={profile}", "--no-first-run", "--disable-background-networking", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            told = Path(profile, "DevToolsActivePort")
            for _ in range(6000):
                if told.exists() and told.read_text().count("\n"):
                    break
                assert process.poll() is None
                time.sleep(0.1)
            port = told.read_text().split("\n")[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                (tab,) = [one for one in json.load(answer) if one["type"] == "page"]
            yield Page(tab["webSocketDebuggerUrl"])
        finally:
            process.terminate()
            process.wait(timeout=60)
