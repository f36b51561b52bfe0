"""A server of the job API in a process of its own, as `cosmos-exp serve` starts it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosmos_exp.common.video import write_video
from cosmos_exp.remote.job_client import JobClient
from cosmos_exp.remote.wire import Extra, JobRequest

SMALL = ("model=render", "views=single", "model.num_frames=9")
"""Overrides of a model without networks: the video that it makes is the one that it is given."""
FRONT = "front_wide_120fov"


@dataclass
class Served:
    process: subprocess.Popen[str]
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
def served(folder: Path, *overrides: str) -> Iterator[Served]:
    """A server with its state in `folder/serve`, on any free port."""
    state = folder / "serve"
    given = ["serve.port=0", f"serve.state={state}", f"paths.outputs={folder}", *overrides]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COSMOS_TOKEN")}
    process = subprocess.Popen(
        [sys.executable, "-m", "cosmos_exp", "serve", *given],
        stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=_with_signals,
    )  # fmt: skip
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line.strip())
        if line.startswith("state:"):
            break
    assert said and said[0].startswith("serving "), said
    try:
        yield Served(process, said[0].split()[-1], said, state)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _with_signals() -> None:
    """Of a shell's background, a process would inherit that it ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
