"""A server from its start to its end: what it says, who it lets in, what is left when it stops or is killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
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


def test_a_client_watches_a_job_through_a_restart_and_a_stop_leaves_nothing(tmp_path: Path) -> None:
    port = listen("127.0.0.1", 0).getsockname()[1]
    video = small_video(tmp_path / "target.mp4")
    with served(tmp_path / "out", *SMALL, f"serve.port={port}", libraries=()) as first:
        for host in ("evil.example", "127.0.0.1.evil.example:80"):  # a page whose name is made to point here
            assert httpx.get(f"{first.url}/v1/jobs", headers={"host": host}).status_code == 403
        client = JobClient(first.url, retries=12)
        job = client.submit(small_request(client.put_blob(video))).id
        watching = client.watch(job)
        next(watching)
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    with served(tmp_path / "out", *SMALL, f"serve.port={port}") as second:
        *_, last = watching
        assert last.status is Status.DONE
        assert second.stop(signal.SIGINT) == 0
    assert not workers_of(second.state)


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
