"""A server as a job on a real Slurm: it says where it listens, comes back after a preemption and a kill, ends with
scancel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from cosmos_exp.cli.commands import serve, serve_llm
from cosmos_exp.common.errors import UserError
from cosmos_exp.config.launchers import SubmititSlurmConfig
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.config import LLMConfig
from cosmos_exp.llm.types import ChatRequest, Message
from cosmos_exp.sweeps import server_job, slurm
from cosmos_exp.sweeps.server_job import ServerJob, ServerTask


@pytest.fixture
def on_slurm(slurm, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm["SLURM_CONF"])


def until(found: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


def pid(job: ServerJob) -> int | None:
    """Of the server, as its endpoint file has it."""
    return json.loads(job.endpoint.read_text())["pid"] if job.url() else None


def test_a_server_is_submitted_preempted_comes_back_under_its_job_and_ends(on_slurm, tmp_path: Path, capsys) -> None:
    state = tmp_path / "state"
    overrides = [
        "model=render",
        "hydra/launcher=slurm",
        "serve.port=0",
        f"serve.state={state}",
        f"paths.outputs={tmp_path}",
    ]
    assert serve.main(overrides) == 0
    said = capsys.readouterr().out
    job = ServerJob(re.search(r"Slurm job (\d+): log", said)[1], state)
    url = re.search(r"listens on (\S+)", said)[1]
    assert (url, job.log_file.exists()) == (job.url(), True)
    assert f"scancel {job.id}" in said and str(job.log_file) in said and f"token: in {state}" in said
    assert not url.startswith("http://127."), "other machines cannot reach it"
    assert (httpx.get(f"{url}/v1/health/live").status_code, httpx.get(f"{url}/v1/models").status_code) == (200, 401)
    first = pid(job)

    subprocess.run(["scancel", "--signal=USR2", job.id], check=True)
    until(lambda: slurm.alive([job.id]).keys() != {"RUNNING"}, "requeued")
    assert job.url() is None, "it has ended by itself"
    time.sleep(2)  # Slurm cannot begin a job in the second in which it was requeued
    subprocess.run(["scontrol", "update", f"jobid={job.id}", "starttime=now"], check=True)
    until(job.url, "a new endpoint")
    assert pid(job) != first

    subprocess.run(["scancel", job.id], check=True)
    until(lambda: not slurm.alive([job.id]), "out of the queue")
    assert job.url() is None


def test_vllm_is_a_job_too(on_slurm, tmp_path: Path, capsys, monkeypatch) -> None:
    """With a stand-in for vLLM; its language model is asked from here."""
    tests = Path(__file__).resolve().parents[1]
    places = [tests / "helpers" / "stand_in_vllm", tests, tests.parent]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, places)))
    monkeypatch.setenv("COSMOS_EXP_LLM_KEY", "sk-secret")
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    own = ["--python", sys.executable, "--port", "0", "--gpus", "0", "--state", "state"]
    assert serve_llm.main(["tiny", "hydra/launcher=slurm", *own, "--", "--slow", "0.1"]) == 0
    said = capsys.readouterr().out
    job = ServerJob(re.search(r"Slurm job (\d+): log", said)[1], tmp_path / "state")
    url = re.search(r"listens on (\S+)", said)[1]
    chat = OpenAIChat(LLMConfig(name="endpoint", model="tiny", endpoint=url))
    assert chat.complete(ChatRequest((Message("user", "Hello."),))).text
    assert f"llm.endpoint={url} llm.model=tiny" in job.log_file.read_text()
    subprocess.run(["scancel", job.id], check=True)
    until(lambda: not slurm.alive([job.id]), "out of the queue")
    until(lambda: job.url() is None, "its server has ended")


def test_who_waits_is_told_why_there_is_no_server(on_slurm, tmp_path: Path) -> None:
    settings = {**vars(SubmititSlurmConfig(kind="submitit_slurm")), "timeout_min": 60, "stderr_to_stdout": True}
    task = ServerTask([sys.executable, "-c", "raise SystemExit('port 8080 is taken')"], grace=5.0)
    job = ServerJob(slurm.submit(tmp_path / server_job.LOGS / "%j", settings, 0, [task]), tmp_path)
    with pytest.raises(
        UserError, match=rf"job {job.id} ended before its server listened(?s:.*)8080 is taken(?s:.*)log"
    ):
        job.wait(print)


def test_a_server_that_is_killed_late_is_started_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(server_job, "SHORT", 0.0)
    killed = tmp_path / "killed"
    kills_itself_once = f"""
import os, pathlib
killed = pathlib.Path({str(killed)!r})
if not killed.exists():
    killed.touch()
    os.kill(os.getpid(), 9)
"""
    ServerTask([sys.executable, "-c", kills_itself_once], grace=1.0)()
    assert killed.exists()


@pytest.mark.parametrize(("end", "code"), [("raise SystemExit(2)", 2), ("import os; os.kill(os.getpid(), 9)", -9)])
def test_a_server_that_fails_at_once_fails_its_job(end: str, code: int) -> None:
    with pytest.raises(SystemExit, match=f"exit code {code}"):
        ServerTask([sys.executable, "-c", end], grace=1.0)()


def test_slurms_warning_ends_no_server_by_itself() -> None:
    """Slurm sends it to all processes of the job, before the server was asked to end."""
    warned = "import os, signal; os.kill(os.getpid(), signal.SIGUSR2)"
    ServerTask([sys.executable, "-c", warned], grace=1.0)()


def test_another_server_of_the_folder_is_not_taken_for_the_jobs(tmp_path: Path) -> None:
    (tmp_path / "endpoint.json").write_text(json.dumps({"url": "http://elsewhere:1", "job": None}))
    assert ServerJob("7", tmp_path).url() is None
    (tmp_path / "endpoint.json").write_text(json.dumps({"url": "http://here:1", "job": "7"}))
    assert ServerJob("7", tmp_path).url() == "http://here:1"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra/launcher=joblib"], "as a job with hydra/launcher=slurm"),
        (["hydra/launcher=slurm", "hydra.launcher.partitoin=a"], "partitoin"),
        (["hydra/launcher=slurm", "hydra.launcher.signal_delay_s=20"], "more than serve.grace=30"),
        (["hydra/launcher=slurm", "serve.prot=1"], "serve.port"),
    ],
)
def test_mistakes_are_told_before_anything_is_submitted(
    overrides: list[str], message: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        serve.main(overrides)
    assert list(tmp_path.iterdir()) == []
