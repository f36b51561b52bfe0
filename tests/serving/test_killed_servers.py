"""kill -9 of a server or of a worker: no job is lost, none gets another id, finished results stay."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from helpers.requests import mp4
from helpers.served import Served, served
from helpers.sweep_at_work import with_model

from cosmos_exp.common.video import read_video
from cosmos_exp.remote.job_client import JobClient
from cosmos_exp.remote.wire import ControlInput, Extra, JobRequest, Status
from cosmos_exp.serving.store import JobStore

FRAMES, HEIGHT, WIDTH = 2, 48, 80


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """Folder in which a file named by its seed ends a job."""
    folder = tmp_path / "released"
    folder.mkdir()
    return folder


@pytest.fixture
def start(tmp_path: Path, released: Path, monkeypatch: pytest.MonkeyPatch):
    """Starts the same server, now or again: its state and its port stay."""
    monkeypatch.setenv("PYTHONPATH", with_model(os.environ)["PYTHONPATH"])
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with ExitStack() as servers:
        own = ("model=waiting", "controls=hdmap", f"model.until={released}", f"serve.port={port}")
        yield lambda: servers.enter_context(served(tmp_path, *own))


def submitted(client: JobClient, seed: int) -> str:
    hdmap = client.put_blob(mp4(np.full((FRAMES, HEIGHT, WIDTH, 3), seed, np.uint8)))
    request = JobRequest(
        backend="waiting",
        prompt="A street.",
        seed=seed,
        controls={"hdmap": ControlInput(blob=hdmap)},
        extra=Extra(config={"model.num_frames": FRAMES}),
    )
    return client.submit(request).id


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def result(client: JobClient, job: str, folder: Path) -> np.ndarray:
    (lossless,) = [file for file in client.result(job).files if file.kind == "lossless"]
    client.download(job, lossless, folder / "result.mp4")
    return read_video(folder / "result.mp4")


def test_a_killed_server_goes_on_where_it_was(start, released: Path, tmp_path: Path):
    server: Served = start()
    with server.client() as client:
        (released / "0").touch()
        done, running, queued = (submitted(client, seed) for seed in range(3))
        assert client.wait(done).status is Status.DONE
        before = result(client, done, tmp_path)
        wait_until(lambda: client.job(running).status is Status.RUNNING)
        assert client.job(queued).status is Status.QUEUED
        server.stop(signal.SIGKILL)
    again: Served = start()
    with again.client() as client:
        assert client.job(done).status is Status.DONE
        np.testing.assert_array_equal(result(client, done, tmp_path), before)
        assert submitted(client, 1) == running  # the client that asks again finds the same job
        (released / "all").touch()
        assert [client.wait(job).status for job in (running, queued)] == [Status.DONE, Status.DONE]
        assert {job.id for job in client.jobs()} == {done, running, queued}
        frames = {job: result(client, job, tmp_path) for job in (done, running, queued)}
        assert len({video.tobytes() for video in frames.values()}) == 3


def test_a_server_is_ready_when_its_workers_have_the_model_loaded(start, released: Path):
    (released / "loading").touch()
    (released / "all").touch()
    server: Served = start()
    with server.client() as client:
        wait_until(lambda: "loading the model: 1 of 3 parts" in str(client.health()))
        job = submitted(client, 3)
        health = client.health()
        assert health["ready"] is False and health["workers"][0]["state"] == "loading"
        assert client.models()[0].available is False
        assert client.job(job).status is Status.QUEUED
        (released / "loading").unlink()
        assert client.wait(job).status is Status.DONE
        assert client.health()["ready"] is True


def test_a_killed_worker_is_replaced_and_its_job_begun_again(start, released: Path, tmp_path: Path):
    server: Served = start()
    with server.client() as client:
        job = submitted(client, 5)
        wait_until(lambda: client.job(job).status is Status.RUNNING)
        store = JobStore(server.state / "jobs.sqlite")
        (worker,) = store.workers()
        os.kill(worker.pid, signal.SIGKILL)
        (released / "all").touch()
        assert client.wait(job).status is Status.DONE
        assert [found.pid != worker.pid for found in store.workers()] == [True]
        store.close()


def test_a_job_at_work_is_cancelled_at_its_next_step(start, released: Path):
    server: Served = start()
    with server.client() as client:
        first, second = submitted(client, 8), submitted(client, 9)
        wait_until(lambda: client.job(first).status is Status.RUNNING)
        assert client.cancel(first).status is Status.CANCELLED
        (released / "9").touch()
        assert client.wait(second).status is Status.DONE
        assert client.job(first).status is Status.CANCELLED
