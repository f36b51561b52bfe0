"""A server as a job on a real Slurm: it says where it listens, comes back after a preemption and a kill, ends with
scancel."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.launchers import SubmititSlurmConfig
from cosmos_exp.sweeps import server_job, slurm
from cosmos_exp.sweeps.server_job import ServerJob, ServerTask

SERVER = """\
import json, os, signal, sys, time
from pathlib import Path
state = Path(sys.argv[1])
def end(number, frame):
    (state / "ended").write_text(str(os.getpid()))
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
where = {"url": f"http://node:{os.getpid()}", "pid": os.getpid(), "job": os.environ["SLURM_JOB_ID"]}
(state / "writing").write_text(json.dumps(where))
os.rename(state / "writing", state / "endpoint.json")
while True:
    time.sleep(0.05)
"""
"""Does what Slurm sees of a server: writes its endpoint, ends with SIGTERM."""


@pytest.fixture
def job(slurm, tmp_path: Path, monkeypatch) -> Iterator[ServerJob]:
    """The job of a server that listens."""
    monkeypatch.setenv("SLURM_CONF", slurm["SLURM_CONF"])
    submitted = submit([sys.executable, "-c", SERVER, str(tmp_path)], tmp_path)
    submitted.wait(print)
    yield submitted
    subprocess.run(["scancel", submitted.id])


def submit(command: list[str], state: Path) -> ServerJob:
    settings = {**vars(SubmititSlurmConfig(kind="submitit_slurm")), "timeout_min": 60, "stderr_to_stdout": True}
    return ServerJob(slurm.submit(state / server_job.LOGS / "%j", settings, 0, [ServerTask(command, grace=5.0)]), state)


def endpoint(job: ServerJob) -> dict:
    return json.loads(job.endpoint.read_text())


def until(found: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


def test_a_preempted_server_comes_back_under_its_job_and_scancel_ends_it(job: ServerJob) -> None:
    first = endpoint(job)
    subprocess.run(["scancel", "--signal=USR2", job.id], check=True)
    until(lambda: slurm.alive([job.id]).keys() != {"RUNNING"}, "requeued")
    assert int((job.state / "ended").read_text()) == first["pid"], "it was asked, not killed"
    time.sleep(2)  # Slurm cannot begin a job in the second in which it was requeued
    subprocess.run(["scontrol", "update", f"jobid={job.id}", "starttime=now"], check=True)
    until(lambda: endpoint(job) != first, "a new endpoint")
    second = endpoint(job)
    assert (job.url(), second["job"]) == (f"http://node:{second['pid']}", job.id)

    subprocess.run(["scancel", job.id], check=True)
    until(lambda: not slurm.alive([job.id]), "out of the queue")
    assert int((job.state / "ended").read_text()) == second["pid"]


def test_a_server_that_is_killed_late_is_started_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(server_job, "SHORT", 0.0)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    killed = tmp_path / "killed"
    kills_itself_once = f"""
import os, pathlib, signal
killed = pathlib.Path({str(killed)!r})
if not killed.exists():
    killed.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ServerTask([sys.executable, "-c", kills_itself_once], grace=1.0)()
    assert killed.exists()


def test_a_server_that_fails_at_once_fails_its_job() -> None:
    with pytest.raises(SystemExit, match="exit code 2"):
        ServerTask([sys.executable, "-c", "raise SystemExit(2)"], grace=1.0)()
    with pytest.raises(SystemExit, match=f"exit code {-signal.SIGKILL}"):
        ServerTask([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], grace=1.0)()


def test_who_waits_is_told_why_there_is_no_server(slurm, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm["SLURM_CONF"])
    job = submit([sys.executable, "-c", "raise SystemExit('serve.port: 8080 is taken')"], tmp_path)
    with pytest.raises(
        UserError, match=rf"job {job.id} ended before its server listened(?s:.*)8080 is taken(?s:.*)log"
    ):
        job.wait(print)


def test_another_server_of_the_folder_is_not_taken_for_the_jobs(tmp_path: Path) -> None:
    (tmp_path / "endpoint.json").write_text(json.dumps({"url": "http://elsewhere:1", "job": None}))
    assert ServerJob("7", tmp_path).url() is None
    (tmp_path / "endpoint.json").write_text(json.dumps({"url": "http://here:1", "job": "7"}))
    assert ServerJob("7", tmp_path).url() == "http://here:1"
