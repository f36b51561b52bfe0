"""A server of the job API in a process of its own, as `cosmos-exp serve` starts it, forked as `helpers.forked` does."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosmos_exp.common.video import write_video
from cosmos_exp.remote.job_client import JobClient
from cosmos_exp.remote.wire import Extra, JobRequest
from helpers.forked import SERVER, Forked

SMALL = ("model=render", "views=single", "model.num_frames=9")
"""Overrides of a model without networks: the video that it makes is the one that it is given."""
FRONT = "front_wide_120fov"


@dataclass
class Served:
    process: Forked
    url: str
    said: list[str]
    state: Path

    @property
    def token(self) -> str:
        """The first one; empty where none is asked for."""
        path = self.state / "initial_token.txt"
        return path.read_text().strip() if path.exists() else ""

    def client(self) -> JobClient:
        return JobClient(self.url, self.token or None, retries=3)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


@contextmanager
def served(folder: Path, *overrides: str, libraries: tuple[str, ...] = SERVER) -> Iterator[Served]:
    """A server with its state in `folder/serve`, on any free port. libraries: that are loaded for it; with none, it
    starts as a new process does."""
    state = folder / "serve"
    given = ["serve.port=0", f"serve.state={state}", f"paths.outputs={folder}", *overrides]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COSMOS_TOKEN")}
    process = Forked("serve", *given, cwd=Path.cwd(), environment=environment, libraries=libraries)
    try:
        yield Served(process, *_where(process), state)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()


def _where(process: Forked) -> tuple[str, list[str]]:
    """The URL of a server, and what it says, once it listens."""
    until = time.monotonic() + 120
    while not (said := process.stdout).rpartition("\n")[0].rpartition("\n")[2].startswith("state:"):
        assert process.poll() is None and time.monotonic() < until, said + process.stderr
        time.sleep(0.02)
    lines = [line.strip() for line in said.splitlines()]
    assert lines[0].startswith("serving "), said
    return lines[0].split()[-1], lines


def small_video(path: Path, seed: int = 0, frames: int = 9) -> Path:
    """As `SMALL` reads it: 144 x 256 pixels of a moving gradient."""
    t, y, x = np.mgrid[0:frames, 0:144, 0:256]
    picture = np.stack([x + 3 * t, y + seed * 7, (x + y + seed) // 2], axis=-1) % 256
    write_video(path, picture.astype(np.uint8), 24.0, lossless=True)
    return path


def small_request(sha256: str, prompt: str = "rain", **values) -> JobRequest:
    return JobRequest(backend="render", prompt=prompt, extra=Extra(renders={"target": {FRONT: sha256}}), **values)


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
