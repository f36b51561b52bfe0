"""The Gradio interface over real sockets: the calls of CARLA's Cosmos client with clients of both generations, and our
own command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client
from helpers.command_line import run_here
from helpers.gradio_service import GradioService, gradio_service, old_client, run_upstream_client
from helpers.requests import mp4, picture_of

from cosmos_exp.common.video import video_shape

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


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../serve/tokens.json", "uploads/../../etc/passwd", f"uploads/{'0' * 64}/x.mp4", ""]
)
def test_no_path_but_that_of_an_upload_is_read(server, videos, path):
    client = Client(server.url, verbose=False)
    video, told = client.predict(json.dumps({**VALUES, "input_video_path": path}), api_name="/generate_video")
    assert video is None
    assert told.startswith("Error: ")
