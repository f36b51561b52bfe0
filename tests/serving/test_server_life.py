"""A server from its start to its end: what it says, who it lets in, what is left when it stops or is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from helpers.served import SMALL, served, small_request, small_video

from cosmos_exp.common.errors import UserError
from cosmos_exp.remote.job_client import JobClient
from cosmos_exp.remote.wire import Status
from cosmos_exp.serving.config import settings
from cosmos_exp.serving.pool import devices, last_line
from cosmos_exp.serving.server import listen
from cosmos_exp.serving.service import opened


def test_jobs_of_a_server_that_ends_go_on_in_the_next_one(tmp_path: Path) -> None:
    """Killed first, stopped in order then; ids and finished results stay."""
    video = small_video(tmp_path / "target.mp4")
    with served(tmp_path / "out", *SMALL) as first:
        client = first.client()
        sha256 = client.put_blob(video)
        done = client.submit(small_request(sha256, "done")).id
        assert client.wait(done).status is Status.DONE
        files = client.result(done).files
        ids = [client.submit(small_request(sha256, str(i))).id for i in range(12)]
        while client.job(ids[0]).status is Status.QUEUED:
            time.sleep(0.02)
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    with served(tmp_path / "out", *SMALL) as second:
        client = second.client()
        assert client.result(done).files == files
        assert {job.id for job in client.jobs()} == {done, *ids}
        assert client.submit(small_request(sha256, "0")).id == ids[0]
        assert client.wait(ids[1]).status is Status.DONE
        assert second.stop(signal.SIGTERM) == 0
    with served(tmp_path / "out", *SMALL) as third:
        client = third.client()
        assert {client.wait(job).status for job in ids} == {Status.DONE}
        assert third.stop(signal.SIGINT) == 0
    assert not workers_of(third.state), "no process is left"


def workers_of(state: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        if f"serve.state={state}" in words:
            found.append(" ".join(words))
    return found


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    video = small_video(tmp_path / "target.mp4")
    with served(tmp_path / "out", *SMALL) as server:
        client = server.client()
        request = small_request(client.put_blob(video))
        while not client.health()["ready"]:
            time.sleep(0.05)
        before = client.health()["workers"][0]["name"]
        os.kill(pid_of(server.state, before), signal.SIGKILL)
        assert client.wait(client.submit(request).id).status is Status.DONE


def pid_of(state: Path, worker: str) -> int:
    from cosmos_exp.serving.store import JobStore

    return next(found.pid for found in JobStore(state / "jobs.sqlite").workers() if found.name == worker)


def serve(*overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cosmos_exp", "serve", *SMALL, *overrides]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    given = settings([*SMALL, f"serve.state={tmp_path / 'state'}"])
    with opened(given, 1), pytest.raises(UserError, match="another server has the folder"), opened(given, 1):
        pass
    with opened(given, 1):
        pass


def test_a_port_that_is_taken_is_one_message(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = serve(f"serve.port={port}", f"serve.state={tmp_path}")
    assert found.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("host", "told"), [("203.0.113.1", "Cannot assign requested address"), ("no.such.host.invalid", "Name or service")]
)
def test_an_address_of_another_machine_is_one_message(host: str, told: str) -> None:
    with pytest.raises(UserError, match=f"cannot listen on {host}:0: "):
        listen(host, 0)


def test_a_folder_that_cannot_be_used_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "jobs.sqlite").write_text("no database" * 100)
    for state, told in (("file/serve", "Not a directory"), ("damaged", "file is not a database")):
        with pytest.raises(UserError, match=told), opened(settings([f"serve.state={tmp_path / state}"]), 1):
            pass


def test_there_is_a_worker_for_each_that_is_asked_for() -> None:
    assert devices(settings()) == ["cpu"]
    assert devices(settings(["serve.workers=3"])) == ["cpu"] * 3


def test_the_reason_of_a_workers_end_is_the_last_line_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "0.log").write_text("Traceback\n  ...\n" + "x" * 9000 + "\nMemoryError: 4 GiB\n\n")
    assert last_line(tmp_path / "0.log") == "MemoryError: 4 GiB"
    assert last_line(tmp_path / "none.log") == ""


def test_a_name_of_another_site_is_not_served_without_tokens(tmp_path: Path) -> None:
    """A page whose name is made to point to this machine would else use the server."""
    with served(tmp_path / "out", *SMALL) as server:
        assert httpx.get(f"{server.url}/v1/jobs").status_code == 200
        for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example"):
            assert httpx.get(f"{server.url}/v1/jobs", headers={"host": host}).status_code == 403


def test_a_client_waits_for_a_server_that_starts_again(tmp_path: Path) -> None:
    port = listen("127.0.0.1", 0).getsockname()[1]
    video = small_video(tmp_path / "target.mp4")
    with served(tmp_path / "out", *SMALL, f"serve.port={port}") as first:
        client = JobClient(first.url, retries=12)
        job = client.submit(small_request(client.put_blob(video))).id
        watching = client.watch(job)
        next(watching)
        first.stop(signal.SIGKILL)
    with served(tmp_path / "out", *SMALL, f"serve.port={port}"):
        *_, last = watching
        assert last.status is Status.DONE
