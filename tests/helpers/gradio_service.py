"""A server in this process, with a worker of nano_fast in a thread; and Gradio clients of both generations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from cosmos_exp.serving.config import settings
from cosmos_exp.serving.generation import Generator
from cosmos_exp.serving.server import application
from cosmos_exp.serving.service import Service, opened
from cosmos_exp.serving.worker import Worker

OLD_CLIENT = ("gradio_client==1.11.1", "websockets<16")
"""That of CARLA's client. Installed beside the one of this environment, never into it."""
SCRIPT = Path(__file__).with_name("upstream_client.py")


@dataclass
class GradioService:
    url: str
    service: Service
    token: str


@contextmanager
def gradio_service(folder: Path, *overrides: str, work: bool = True) -> Iterator[GradioService]:
    """work: whether jobs are computed."""
    given = [
        "model=nano_fast",
        "sampler.num_steps=1",
        f"serve.state={folder / 'serve'}",
        f"paths.outputs={folder}",
        *overrides,
    ]
    chosen = settings(given)
    with opened(chosen, 1) as service, _threads(service, chosen, work) as port:
        token_file = service.tokens.mint_first() if service.serve.asks_for_token else None
        token = token_file.read_text().strip() if token_file else ""
        yield GradioService(f"http://127.0.0.1:{port}", service, token)


@contextmanager
def _threads(service: Service, chosen, work: bool) -> Iterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(application(service), port=0, log_level="warning", ws="none", timeout_graceful_shutdown=1)
    )
    threads = [threading.Thread(target=server.run)]
    worker = Worker("0", Generator(chosen.config), service.state, most_attempts=1)
    if work:
        threads.append(threading.Thread(target=worker.work))
    for thread in threads:
        thread.start()
    try:
        while not server.started or (work and threads[-1].is_alive() and not service.is_ready()):
            time.sleep(0.01)  # loading the model would keep clients of this process waiting
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        service.stopping.set()
        worker.stopping.set()
        server.should_exit = True
        for thread in threads:
            thread.join()


def old_client(folder: Path) -> Path:
    """A folder with the Gradio client of CARLA's client; skips the test, visibly, where no index can be reached."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *OLD_CLIENT]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        pytest.skip(f"needs an index with {' and '.join(OLD_CLIENT)}: {ran.stderr.strip().splitlines()[-1]}")
    return folder


def run_upstream_client(url: str, request: dict, *, packages: Path | None = None) -> dict:
    """What `upstream_client.py` prints. packages: a folder whose packages go before those of this environment."""
    environment = {**os.environ, "PYTHONPATH": str(packages or "")}
    command = [sys.executable, str(SCRIPT), url, json.dumps(request)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])
