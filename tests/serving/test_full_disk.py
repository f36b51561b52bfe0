"""A server whose disk is full says so, loses nothing, and goes on when there is room; and what it keeps is bounded."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from helpers.served import SMALL, sha256_of, small_request, small_video

from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.cache_holds import holds_of
from cosmos_exp.serving.api import create_app
from cosmos_exp.serving.config import settings
from cosmos_exp.serving.service import Service, opened

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    ran = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder], capture_output=True, text=True)
    if ran.returncode:
        pytest.skip(f"needs to mount a small file system: {ran.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def service(disk: Path, tmp_path: Path) -> Iterator[Service]:
    with opened(settings([*SMALL, f"serve.state={disk}/state", f"paths.outputs={tmp_path}"]), 1) as found:
        yield found


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(create_app(service)) as found:
        yield found


def put(client: TestClient, content: bytes) -> httpx.Response:
    return client.put(f"/v1/blobs/{sha256_of(content)}", content=content)


def test_an_upload_that_has_no_room_leaves_nothing_and_others_are_taken(client, service, disk):
    answer = put(client, bytes(16 * MIB))
    assert (answer.status_code, answer.json()["detail"]["errors"]) == (
        507, ["the server's disk is full: try again later"],
    )  # fmt: skip
    assert [path for path in (disk / "state" / "blobs").rglob("*") if path.is_file()] == []
    assert put(client, bytes(MIB)).status_code == 201


def test_a_job_that_has_no_room_is_refused_and_those_before_it_stay(client, service, disk, tmp_path):
    blob = small_video(tmp_path / "target.mp4").read_bytes()
    assert put(client, blob).status_code == 201
    first = client.post("/v1/jobs", json=asked("rain", blob))
    assert first.status_code == 202
    with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(bytes(4096))
    answers = [client.post("/v1/jobs", json=asked("fog " * 4000 + str(n), blob)).status_code for n in range(3)]
    assert set(answers) == {507}
    (disk / "filler").unlink()
    assert client.get(f"/v1/jobs/{first.json()['id']}").json()["status"] == "queued"
    assert client.post("/v1/jobs", json=asked("fog", blob)).status_code == 202


def asked(prompt: str, blob: bytes) -> dict:
    return {"request": small_request(sha256_of(blob), prompt).model_dump(mode="json")}


def test_the_stage_cache_is_bounded_and_what_a_job_uses_stays(tmp_path: Path):
    given = settings([*SMALL, f"serve.state={tmp_path}/state", f"paths.outputs={tmp_path}", "serve.largest_cache=3MiB"])
    cache = StageCache(given.config.paths.cache)

    def result(number: int) -> Path:
        key = sha256_of(b"%d" % number)
        return cache.get_or_compute("render", key, lambda folder: (folder / "data").write_bytes(bytes(MIB))).path

    results = [result(number) for number in range(5)]
    holds_of(cache.root.absolute()).release()
    result(0)  # which a job is reading
    with opened(given, 1) as service:
        service.prune()
    assert results[0].exists() and sum(path.exists() for path in results) == 2
