"""`cosmos-exp request` against a server that behaves as that of Cosmos-Transfer1, over real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.command_line import run_here
from helpers.upstream_server import UpstreamServer, upstream_server
from helpers.videos import encode, numbered, numbers

from cosmos_exp.common.video import read_video

REQUEST = """
[controlnet_specs]
prompt = "{prompt}"
negative_prompt = "blurry"
input_video_path = "input.mp4"
guidance = 7
sigma_max = 70.0
num_steps = 35
seed = 5
[controlnet_specs.edge]
control_weight = 0.5
input_control = "edge.mp4"
"""
FAST = ("--backoff-initial", "0.01", "--jitter", "0", "--poll-interval", "0.2")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[UpstreamServer]:
    with upstream_server(tmp_path_factory.mktemp("upstream")) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, server: UpstreamServer) -> Path:
    server.requests.clear()
    server.uploads.clear()
    encode(tmp_path / "input.mp4", numbered(5))
    encode(tmp_path / "edge.mp4", numbered(5)[::-1])
    return tmp_path


def write(folder: Path, name: str, prompt: str) -> str:
    (folder / name).write_text(REQUEST.format(prompt=prompt))
    return name


def test_a_request_becomes_a_video_and_a_record_of_it(folder, server):
    ran = run_here("request", server.url, write(folder, "rain.toml", "rain"), *FAST, cwd=folder)
    assert (ran.returncode, ran.stdout) == (0, "outputs/rain_seed_5.mp4\n")
    video = folder / "outputs" / "rain_seed_5.mp4"
    assert numbers(read_video(video)) == [4, 3, 2, 1, 0]
    assert server.uploads == ["input.mp4", "edge.mp4"]
    (sent,) = server.requests
    assert "controlnet_specs" not in sent
    assert sent["edge"]["control_weight"] == 0.5
    record = json.loads(Path(f"{video}.json").read_text())
    assert record["request"]["edge"]["input_control"] == "edge.mp4"
    assert "Final prompt: rain" in record["server"]


def test_what_is_there_already_is_not_made_again(folder, server):
    arguments = ("request", server.url, write(folder, "rain.toml", "rain"), "--seeds", "512,1024", *FAST)
    first = run_here(*arguments, "--parallel", "2", cwd=folder)
    assert first.stdout == "outputs/rain_seed_512.mp4\noutputs/rain_seed_1024.mp4\n"
    assert sorted(sent["seed"] for sent in server.requests) == [512, 1024]
    assert sorted(server.uploads) == ["edge.mp4", "input.mp4"]  # each once
    again = run_here(*arguments, cwd=folder)
    assert again.stdout == first.stdout
    assert "outputs/rain_seed_512.mp4: is there already" in again.stderr
    assert len(server.requests) == 2
    (folder / "outputs" / "rain_seed_1024.mp4").unlink()
    assert run_here(*arguments, cwd=folder).returncode == 0
    assert [sent["seed"] for sent in server.requests[2:]] == [1024]


def test_another_request_does_not_overwrite_a_video(folder, server):
    arguments = ("request", server.url, "rain.toml", "--output", "out.mp4", *FAST)
    write(folder, "rain.toml", "rain")
    assert run_here(*arguments, cwd=folder).stdout == "out.mp4\n"
    write(folder, "rain.toml", "snow")
    refused = run_here(*arguments, cwd=folder)
    assert refused.returncode == 2
    assert "out.mp4 is there already, of another request: give another --output, or --overwrite" in refused.stderr
    assert len(server.requests) == 1
    assert run_here(*arguments, "--overwrite", cwd=folder).returncode == 0
    assert len(server.requests) == 2


def test_a_failed_job_is_told_in_the_servers_words_and_not_repeated(folder, server):
    write(folder, "bad.toml", "fail CUDA out of memory")
    write(folder, "worse.toml", "raise no such model")
    write(folder, "good.toml", "rain")
    ran = run_here("request", server.url, "bad.toml", "worse.toml", "good.toml", *FAST, cwd=folder)
    assert ran.returncode == 2
    assert "bad seed 5: the server refuses the request: Error: CUDA out of memory" in ran.stderr
    assert "no such model" in ran.stderr
    assert ran.stdout == "outputs/good_seed_5.mp4\n"
    assert len(server.requests) == 3


def test_mistakes_of_all_files_are_told_before_anything_is_sent(folder, server):
    write(folder, "good.toml", "rain")
    write(folder, "bad.toml", "")
    ran = run_here("request", server.url, "good.toml", "bad.toml", "missing.toml", *FAST, cwd=folder)
    assert ran.returncode == 2
    assert "bad.toml: prompt='': a text that is not empty" in ran.stderr
    assert "'missing.toml' not found" in ran.stderr
    assert not server.uploads


def test_a_server_that_is_not_there_can_be_tried_again(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    arguments = ("request", url, write(folder, "rain.toml", "rain"), *FAST, "--retries", "2")
    ran = run_here(*arguments, cwd=folder)
    assert ran.returncode == 75
    assert ran.stderr.count("again in") == 2
    assert "cannot be reached" in ran.stderr


def test_another_gradio_server_is_none_for_requests(folder):
    import gradio as gr

    with gr.Blocks() as blocks:
        text = gr.Textbox()
        gr.Button().click(lambda value: value, text, text, api_name="echo")
    _, url, _ = blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        ran = run_here("request", url, write(folder, "rain.toml", "rain"), *FAST, cwd=folder)
    finally:
        blocks.close(verbose=False)
    assert ran.returncode == 2
    assert "is no server for requests: it has no /upload_file and no /generate_video, it has /echo" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("localhost:8080", "a.toml"), "did you mean 'http://localhost:8080'?"),
        (("http://u:cc_a_b@host", "a.toml"), "no token or query; give the token as COSMOS_TOKEN"),
        (("http://h", "a.toml", "--retries", "-1", "--jitter", "nan", "--parallel", "0"), "--jitter nan: 0 or more"),
        (("http://h", "a.toml", "--seed", "1", "--seeds", "2"), "--seed and --seeds: give one of them"),
        (("http://h", "a.toml", "--seeds", "1,x"), "whole numbers of 0 or more with commas"),
        (("http://h", "a.toml", "--sedd", "1"), "did you mean '--seed'?"),
        (("http://h", "rain.toml", "--seeds", "1,2", "--output", "x.mp4"), "one file for 2 requests"),
        (("http://h", "rain.toml", "rain.toml"), "two requests have this name"),
    ],
)
def test_a_command_that_cannot_be_is_refused(folder, arguments, message):
    write(folder, "rain.toml", "rain")
    ran = run_here("request", *arguments, cwd=folder)
    assert ran.returncode == 2
    assert message in ran.stderr


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_sent(folder, server):
    (folder / "file").write_text("")
    ran = run_here("request", server.url, write(folder, "rain.toml", "rain"), "--output", "file/x/", *FAST, cwd=folder)
    assert ran.returncode == 2
    assert "file/x/rain_seed_5.mp4 cannot be written" in ran.stderr
    assert not server.uploads
