"""The Gradio interface over real sockets: the calls of CARLA's Cosmos client with clients of both generations, and our
own command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from helpers.command_line import run_here
from helpers.gradio_service import GradioService, gradio_service, old_client, run_upstream_client
from helpers.requests import mp4, picture_of

from cosmos_exp.common.video import read_video, video_shape
from cosmos_exp.remote.wire import Status

VALUES = {
    "prompt": "A street in the rain.",
    "negative_prompt": "blurry",
    "guidance": 1,
    "sigma_max": 70.0,
    "num_steps": 1,
    "seed": 5,
    "blur_strength": "low",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[GradioService]:
    with gradio_service(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    (folder / "input.mp4").write_bytes(mp4(picture_of(1)))
    (folder / "edge.mp4").write_bytes(mp4(picture_of(2)))
    return folder


@pytest.fixture(scope="module", params=["of this environment", "1.11.1"])
def packages(request, tmp_path_factory) -> Path | None:
    """Of a Gradio client."""
    return old_client(tmp_path_factory.mktemp("old_client")) if request.param == "1.11.1" else None


def values(videos: Path, **changed) -> dict:
    edge = {"control_weight": 0.5, "input_control": str(videos / "edge.mp4")}
    return {
        **VALUES,
        "input_video_path": str(videos / "input.mp4"),
        "edge": edge,
        "vis": {"control_weight": 0.3},
        **changed,
    }


def test_the_calls_of_carlas_client_make_a_video(server, videos, packages):
    found = run_upstream_client(server.url, values(videos), packages=packages)
    assert found["endpoints"] == ["/generate_video", "/upload_file"]
    assert found["client"].startswith("1.11.1" if packages else "2.")
    assert found["request"]["edge"]["input_control"].startswith("uploads/")
    assert video_shape(found["video"]) == (9, 144, 256)
    assert len(server.service.store.jobs()) == 1  # of all clients: the request is the same


def test_what_is_refused_fails_at_once_with_the_servers_words(server, videos, packages):
    wrong = values(videos, num_steps=0, edge={"control_weight": True}, canny_threshold="medum")
    found = run_upstream_client(server.url, wrong, packages=packages)
    assert found["error"].startswith("RuntimeError: Unexpected generate result format: ")
    for told in ("num_steps=0: a whole number of 1 to 1000", "edge.control_weight=True", "did you mean 'medium'?"):
        assert told in found["error"]


def test_our_command_gets_the_same_job(server, videos):
    lines = [f"{key} = {json.dumps(value)}" for key, value in values(videos).items() if not isinstance(value, dict)]
    tables = ["[edge]", "control_weight = 0.5", 'input_control = "edge.mp4"', "[vis]", "control_weight = 0.3"]
    (videos / "rain.toml").write_text("\n".join([*lines, *tables]))
    ran = run_here("request", server.url, "rain.toml", "--poll-interval", "0.2", cwd=videos)
    assert (ran.returncode, ran.stdout) == (0, "outputs/rain_seed_5.mp4\n")
    assert "vis is made from the input video" in ran.stderr
    assert video_shape(videos / "outputs" / "rain_seed_5.mp4") == (9, 144, 256)
    assert len(server.service.store.jobs()) == 1


def test_a_run_generates_through_this_interface(server, tmp_path):
    own = ("scene.num_vehicles=2", "views=single", "model.num_frames=9", "controls=hdmap", "sampler.num_steps=1")
    quiet = ("previews=none", "metrics.names=[psnr]", "metrics.references=false", "tracking=disabled", "name=through")
    remote = ("model=remote", "model.protocol=gradio", "model.backend=nano_fast", f"model.endpoint={server.url}")
    ran = run_here(*own, *quiet, *remote, f"paths.outputs={tmp_path}", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    job = server.service.store.jobs(limit=1)[0]
    assert set(server.service.store.request(job.id).controls) == {"hdmap"}
    made = read_video(server.service.jobs_folder / job.id / "result" / "single_view.mp4")
    (video,) = (tmp_path / "runs" / "through" / "single_view").glob("*.mp4")
    assert np.abs(read_video(video).astype(int) - made).mean() < 5  # both are compressed


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../serve/tokens.json", "uploads/../../etc/passwd", f"uploads/{'0' * 64}/x.mp4", ""]
)
def test_no_path_but_that_of_an_upload_is_read(server, videos, path):
    client = Client(server.url, verbose=False)
    video, told = client.predict(json.dumps({**VALUES, "input_video_path": path}), api_name="/generate_video")
    assert video is None
    assert told.startswith("Error: ")


# A queue that nobody works at


@pytest.fixture(scope="module")
def idle(tmp_path_factory) -> Iterator[GradioService]:
    """A server without workers, in whose queue one job may wait; it asks for a token."""
    folder = tmp_path_factory.mktemp("idle")
    with gradio_service(folder, "serve.most_queued=1", "serve.auth=true", work=False) as server:
        yield server


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def with_token(server: GradioService) -> Client:
    return Client(server.url, verbose=False, headers={"Authorization": f"Bearer {server.token}"})


def guided(client: Client, videos: Path, **changed) -> str:
    """A request with its edge video uploaded."""
    edge = json.loads(client.predict(handle_file(str(videos / "edge.mp4")), api_name="/upload_file"))["path"]
    table = {"control_weight": 0.5, "input_control": edge}
    return json.dumps({**VALUES, "sigma_max": 80, "edge": table, **changed})


def test_a_job_waits_is_seen_waiting_and_may_be_cancelled(idle, videos):
    client = with_token(idle)
    call = client.submit(guided(client, videos), api_name="/generate_video")
    until(
        lambda: not call.done() and [unit for unit in call.status().progress_data or [] if unit.desc == "queued, next"]
    )
    (job,) = idle.service.store.jobs(Status.QUEUED)
    assert job.token_id == idle.service.tokens.owner(idle.token)
    idle.service.store.cancel(job.id)
    assert call.result(timeout=60) == (None, f"Error: job {job.id} was cancelled")


def test_a_full_queue_is_an_error_that_is_tried_again(idle, videos, monkeypatch):
    monkeypatch.setenv("COSMOS_TOKEN", idle.token)
    client = with_token(idle)
    waiting = client.submit(guided(client, videos, seed=6), api_name="/generate_video")
    until(lambda: idle.service.store.jobs(Status.QUEUED))
    lines = [f"{key} = {json.dumps(value)}" for key, value in {**VALUES, "sigma_max": 80}.items()]
    edge = ["[edge]", "control_weight = 0.5", 'input_control = "edge.mp4"']
    (videos / "full.toml").write_text("\n".join([*lines, *edge]))
    ran = run_here("request", idle.url, "full.toml", "--retries", "1", "--backoff-initial", "0", cwd=videos)
    assert ran.returncode == 75
    assert ran.stderr.count("is busy: 1 jobs wait, and no more may") == 2
    for job in idle.service.store.jobs(Status.QUEUED):
        idle.service.store.cancel(job.id)
    assert waiting.result(timeout=60)[0] is None


def test_after_ctrl_c_the_job_stays_and_the_same_command_finds_it(idle, videos):
    lines = [f"{key} = {json.dumps(value)}" for key, value in {**VALUES, "sigma_max": 80, "seed": 7}.items()]
    edge = ["[edge]", "control_weight = 0.5", 'input_control = "edge.mp4"']
    (videos / "left.toml").write_text("\n".join([*lines, *edge]))
    store = idle.service.store
    for _ in range(2):
        command = [sys.executable, "-m", "cosmos_exp", "request", idle.url, "left.toml"]
        asked = subprocess.Popen(
            command, cwd=videos, env={**os.environ, "COSMOS_TOKEN": idle.token}, stderr=subprocess.PIPE, text=True,
            preexec_fn=heeds_ctrl_c,
        )  # fmt: skip
        assert asked.stderr is not None
        while "queued" not in asked.stderr.readline():
            assert asked.poll() is None
        asked.send_signal(signal.SIGINT)
        _, told = asked.communicate(timeout=60)
        assert asked.returncode == -signal.SIGINT
        assert "what was sent stays on the server" in told and "Traceback" not in told
        assert [job.status for job in store.jobs() if store.request(job.id).seed == 7] == [Status.QUEUED]
    assert not list((videos / "outputs").glob(".request_*"))
    for job in store.jobs(Status.QUEUED):
        store.cancel(job.id)


def heeds_ctrl_c() -> None:
    """Also where these tests run in the background of a shell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_without_a_token_nothing_is_sent(idle, videos, monkeypatch):
    monkeypatch.delenv("COSMOS_TOKEN", raising=False)
    monkeypatch.delenv("COSMOS_TOKEN_FILE", raising=False)
    ran = run_here("request", idle.url, "full.toml", cwd=videos)
    assert ran.returncode == 2
    assert "wants a token that it knows: give it in COSMOS_TOKEN or in the file COSMOS_TOKEN_FILE" in ran.stderr
