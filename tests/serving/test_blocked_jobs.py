"""Guards of a server: a job that one stops is blocked and has no result, faces in a result are pixelated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.guard_networks import guard_weights, photograph
from helpers.served import SMALL, Served, served, sha256_of, small_request, small_video

from cosmos_exp.cli.commands import jobs
from cosmos_exp.common.video import read_video, write_video
from cosmos_exp.guardrails.faces import FaceGuard
from cosmos_exp.remote.job_client import JobClient
from cosmos_exp.remote.server_client import ServerRefusal
from cosmos_exp.remote.wire import Status


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    guards = ("guardrails.faces=true", f"guardrails.weights={guard_weights()}")
    with served(tmp_path_factory.mktemp("guarded"), *SMALL, *guards) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[JobClient]:
    with server.client() as found:
        yield found


def uploaded(client: JobClient, video: Path) -> str:
    content = video.read_bytes()
    client.put_blob(content)
    return sha256_of(content)


def test_a_blocked_job_says_why_has_no_result_and_is_not_computed_again(client, server, tmp_path, capsys) -> None:
    sha256 = uploaded(client, small_video(tmp_path / "plain.mp4"))
    for values in ({"prompt": "a n4ked man"}, {"negative_prompt": "blurry, naked"}):
        request = small_request(sha256, **values)
        job = client.wait(client.submit(request).id)
        assert job.status is Status.BLOCKED and "'naked'" in (job.error or "")
        assert not (server.state / "jobs" / job.id / "result").exists()
        with pytest.raises(ServerRefusal):
            client.result(job.id)
        again = client.submit(request)
        assert (again.id, again.status, again.started) == (job.id, Status.BLOCKED, job.started)
    assert jobs.main(["watch", job.id, "--endpoint", server.url]) == jobs.FAILED
    assert "blocked" in capsys.readouterr().out
    client.cancel(job.id)
    assert job.id not in [found.id for found in client.jobs()]


def test_a_face_in_a_result_is_pixelated(client: JobClient, tmp_path: Path) -> None:
    frames = np.full((9, 144, 256, 3), 90, np.uint8)
    frames[:, :, 56:200] = photograph()[40:184, 56:200]
    sha256 = uploaded(client, write_video(tmp_path / "face.mp4", frames, 24.0, lossless=True))
    job = client.wait(client.submit(small_request(sha256)).id)
    assert job.status is Status.DONE, job.error
    manifest = client.result(job.id)
    (lossless,) = [file for file in manifest.files if file.kind == "lossless"]
    path = tmp_path / "result.mp4"
    client.download(job.id, lossless, path)
    finder = FaceGuard(guard_weights(), 0.5, 20)
    made = read_video(path)
    assert finder.find(frames[0]) and not any(finder.find(np.ascontiguousarray(frame)) for frame in made)
    assert manifest.worker["guardrails"]["videos"]["Original/single view"]["faces"] == 9
