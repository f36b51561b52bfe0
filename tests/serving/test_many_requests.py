"""Many clients at once: no request is lost, and each gets its own result."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from helpers.requests import mp4, picture_of, rendered
from helpers.served import served

from cosmos_exp.common.video import read_video
from cosmos_exp.remote.job_client import JobClient
from cosmos_exp.remote.wire import Status

REQUESTS, AT_ONCE = 40, 20


def test_each_of_many_requests_gets_its_own_result(tmp_path: Path):
    with (
        served(tmp_path, "model=render", "model.like=nano_fast", "views=single") as server,
        server.client() as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        assert all(pool.map(lambda number: is_own(client, number, tmp_path), range(REQUESTS)))
        assert [job.status for job in client.jobs(limit=1000)] == [Status.DONE] * REQUESTS


def is_own(client: JobClient, number: int, folder: Path) -> bool:
    """Whether what a request got is the video that it had sent."""
    target = picture_of(number)
    job = client.submit(rendered(client.put_blob(mp4(target)), f"Street {number}."))
    assert client.wait(job.id).status is Status.DONE
    (lossless,) = [file for file in client.result(job.id).files if file.kind == "lossless"]
    path = folder / f"{number}.mp4"
    client.download(job.id, lossless, path)
    return bool(np.array_equal(read_video(path), target))
