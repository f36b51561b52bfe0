"""A headless Chromium driven over the W3C WebDriver protocol of chromedriver, which is plain HTTP and JSON."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
]


class Browser:
    def __init__(self, server: str, session: str):
        self.url = f"{server}/session/{session}"

    def open(self, path: Path | str) -> None:
        _post(f"{self.url}/url", {"url": path if isinstance(path, str) else path.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """Value of a JavaScript function body, awaited."""
        body = f"const done = arguments[0]; (async () => {{ {script} }})().then(done, e => done('error: ' + e));"
        return _post(f"{self.url}/execute/async", {"script": body, "args": []})

    def wait(self, condition: str, seconds: float = 15.0) -> None:
        """Until a JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while self.run(f"return Boolean({condition})") is not True:
            assert time.monotonic() < deadline, f"never true: {condition}"
            time.sleep(0.05)

    def click(self, selector: str, seconds: float = 15.0) -> None:
        """As soon as nothing covers it."""
        deadline = time.monotonic() + seconds
        while True:
            found = _post(f"{self.url}/element", {"using": "css selector", "value": selector})
            try:
                _post(f"{self.url}/element/{next(iter(found.values()))}/click", {})
                return
            except RuntimeError as error:
                if "intercepted" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def set_width(self, width: int, height: int = 900) -> None:
        """Of the page as on a telephone: windows have a least width of their own."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        _post(f"{self.url}/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})

    def screenshot(self) -> Image.Image:
        with urllib.request.urlopen(f"{self.url}/screenshot") as answer:
            return Image.open(BytesIO(base64.b64decode(json.load(answer)["value"]))).convert("RGB")


def require_browser() -> None:
    """Skip, visibly, where the machine has no browser to drive: the README asks nobody to install one."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver")


@contextmanager
def browser(folder: Path, *, dark: bool = False, size: tuple[int, int] = (1400, 1000)) -> Iterator[Browser]:
    """folder: for the browser's profile."""
    driver = subprocess.Popen(
        [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder
    )
    try:
        server = f"http://127.0.0.1:{_port(driver)}"
        arguments = [*ARGUMENTS, f"--user-data-dir={folder / 'profile'}", f"--window-size={size[0]},{size[1]}"]
        arguments += ["--force-dark-mode"] if dark else []
        options = {"binary": CHROMIUM, "args": arguments}
        answer = _post(f"{server}/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        opened = Browser(server, answer["sessionId"])
        yield opened
        urllib.request.urlopen(urllib.request.Request(opened.url, method="DELETE")).close()
    finally:
        driver.terminate()
        driver.wait()


def _port(driver: subprocess.Popen) -> int:
    for line in driver.stdout:
        if "started successfully on port" in line:
            return int(line.rsplit("port", 1)[1].strip(" .\n"))
    raise RuntimeError("chromedriver did not start")


def _post(url: str, value: dict) -> Any:
    request = urllib.request.Request(url, json.dumps(value).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(error.read().decode()) from error
