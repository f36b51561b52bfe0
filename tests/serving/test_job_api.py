"""The job API over real sockets, with a real worker: from an upload to the files of the result, and every refusal."""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from helpers.served import FRONT, SMALL, Served, served, sha256_of, small_request, small_video

from benchmarks.carla_sim import memory_of
from cosmos_exp.cli.commands import jobs
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import file_sha256
from cosmos_exp.remote.job_client import JobClient
from cosmos_exp.remote.server_client import ServerRefusal
from cosmos_exp.remote.wire import BLOB, ControlInput, Extra, JobRequest, Status

IDLE = 3.0
LARGEST = 24 << 20
NONE = "0" * 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    own = ("serve.auth=true", f"serve.idle_timeout={IDLE}", "serve.largest_blob=24MiB", "serve.most_connections=100")
    with served(folder / "outputs", *SMALL, *own) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[JobClient]:
    with server.client() as found:
        yield found


@pytest.fixture(scope="module")
def http(server: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {server.token}"}, timeout=30) as found:
        yield found


@pytest.fixture(scope="module")
def video(folder: Path) -> Path:
    return small_video(folder / "target.mp4")


def errors(answer: httpx.Response) -> list[str]:
    return answer.json()["detail"]["errors"]


# A job


def test_a_request_becomes_files_that_are_fetched_once_checked(
    client: JobClient, video: Path, tmp_path: Path, server: Served
) -> None:
    sha256 = client.put_blob(video)
    assert client.missing([sha256, NONE]) == {NONE}
    job = client.submit(small_request(sha256), {"log": "town.log"})
    states = [found.status for found in client.watch(job.id)]
    assert states[-1] is Status.DONE and states == sorted(states, key=list(Status).index)
    manifest = client.result(job.id)
    assert (manifest.job, manifest.backend) == (job.id, "render")
    for file in manifest.files:
        client.download(job.id, file, tmp_path / file.name)
        assert file_sha256(tmp_path / file.name) == file.sha256
    assert {file.kind for file in manifest.files} == {"video", "lossless", "prompt"}
    again = client.submit(small_request(sha256))
    assert (again.id, again.status, again.token_id) == (job.id, Status.DONE, server.token.split("_")[1])
    assert job.id in [found.id for found in client.jobs(mine=True, status="done")]


def test_a_finished_job_is_deleted_with_its_files_and_computed_again(
    client: JobClient, video: Path, server: Served
) -> None:
    request = small_request(client.put_blob(video), "to be deleted")
    job = client.submit(request)
    assert client.wait(job.id).status is Status.DONE
    assert client.cancel(job.id).status is Status.DONE
    assert not (server.state / "jobs" / job.id).exists()
    with pytest.raises(ServerRefusal, match="no job"):
        client.job(job.id)
    assert client.submit(request).status is Status.QUEUED
    assert client.wait(job.id).status is Status.DONE


def test_a_job_that_waits_has_no_result_yet_and_can_be_cancelled(client: JobClient, video: Path) -> None:
    """Pairs of jobs, until the second of one waits while it is asked about: the worker may be faster."""
    sha256, done = client.put_blob(video), []
    for number in range(50):
        first, second = (client.submit(small_request(sha256, f"cancel {number} {part}")).id for part in "ab")
        done.append(first)
        try:
            client.result(second)
        except ServerRefusal as refusal:
            assert refusal.status == 409
        else:
            done.append(second)
            continue
        with suppress(ServerRefusal):  # one that is finished meanwhile is forgotten
            if client.cancel(second).status is Status.CANCELLED:
                break
    else:
        pytest.fail("no job ever waited")
    assert client.wait(second).status is Status.CANCELLED
    assert {client.wait(job).status for job in done} == {Status.DONE}


def test_events_tell_every_change_and_end_with_the_job(http: httpx.Client, client: JobClient, video: Path) -> None:
    job = client.submit(small_request(client.put_blob(video), "events")).id
    with http.stream("GET", f"/v1/jobs/{job}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = list(answer.iter_lines())
    told = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert told[-1]["status"] == "done" and told[-1]["progress"] == 1
    assert [line for line in lines if line.startswith("event: ")] == ["event: job"] * len(told)


def test_the_command_does_the_same_from_a_shell(
    server: Served, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSMOS_URL", server.url)
    monkeypatch.setenv("COSMOS_TOKEN", server.token)
    asked = ["submit", "--prompt", "from a shell", "--render", f"target={video}", "--seed", "3"]
    assert jobs.main([*asked, "--wait", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out.splitlines()
    job = told[0].split()[0]
    assert any(line.startswith(f"{job}  done  100%") for line in told)
    assert str(tmp_path / job / "single_view.mp4") in told and (tmp_path / job / "job.json").exists()
    assert jobs.main(["result", job, "--out", str(tmp_path)]) == 0, "what is there and the same stays"
    for action in (["list", "--mine"], ["watch", job], ["result", job], ["models"], ["health"], ["status"]):
        assert jobs.main(action) == 0
    assert jobs.main(["cancel", job]) == 0
    with pytest.raises(UserError, match=f"no job '{job}'"):
        jobs.main(["cancel", job])
    capsys.readouterr()
    assert jobs.main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == job


# What is refused


def test_all_that_is_wrong_with_a_request_is_told_at_once(http: httpx.Client) -> None:
    body = {"request": {"backend": "render", "prompt": "", "seed": -1, "guidance": True, "styles": []}}
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 400
    assert {error.partition(":")[0] for error in errors(answer)} == {
        "request.prompt", "request.seed", "request.guidance", "request.styles",
    }  # fmt: skip
    unknown = http.post("/v1/jobs", json={"request": {"backend": "rendr", "prompt": "rain"}})
    assert unknown.status_code == 400 and "did you mean 'render'?" in errors(unknown)[0]
    missing = http.post("/v1/jobs", json={"request": small_request(NONE).model_dump(mode="json")})
    assert errors(missing) == [f"no file {NONE} was uploaded: PUT it first"]


def test_what_is_no_video_is_refused_before_it_is_queued(client: JobClient) -> None:
    sha256 = client.put_blob(b"no video" * 100, "a.mp4")
    before = len(client.jobs(limit=1000))
    with pytest.raises(ServerRefusal) as refusal:
        client.submit(small_request(sha256))
    assert refusal.value.status == 400 and "target" in str(refusal.value)
    assert len(client.jobs(limit=1000)) == before


def test_a_video_of_16k_pixels_is_refused_by_its_size(client: JobClient, server: Served, shared: Path) -> None:
    sha256 = client.put_blob(shared / "hostile" / "video_16k" / "v.mp4")
    before = memory_of(server.process.pid)
    with pytest.raises(ServerRefusal, match="has frames of 16000x16000 pixels, at most"):
        client.submit(small_request(sha256))
    assert memory_of(server.process.pid) - before < 100  # MiB; a frame of it has 730


def test_a_mask_that_unpacks_to_gigabytes_is_refused(client: JobClient, server: Served, video: Path, tmp_path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 10,) * 3})
    (tmp_path / "mask.npy").write_bytes(header.getvalue())
    good, mask = client.put_blob(video), client.put_blob(tmp_path / "mask.npy")
    extra = Extra(renders={"target": {FRONT: good}}, config={"controls.edge.weight_map.mask": f"{BLOB}{mask}"})
    before = memory_of(server.process.pid)
    with pytest.raises(ServerRefusal, match="asks for more bytes than it has"):
        client.submit(JobRequest(backend="render", prompt="a", controls={"edge": ControlInput(blob=good)}, extra=extra))
    assert memory_of(server.process.pid) - before < 1024  # MiB, with torch; the array would have 4096


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[" * 100_000, b'{"request": ' * 5000, b"\xff\xfe", b'{"request": NaN}', b"null", b"[]",
        b'{"request": {"backend": "render", "prompt": "\\ud800"}}',
        b'{"request": {"backend": "render", "prompt": "a", "seed": ' + b"9" * 5000 + b"}}",
        b'{"request": {"backend": "render", "prompt": "a", "guidance": 1e999}}',
        b'{"request": {"backend": "render", "prompt": "' + b"x" * (1 << 20) + b'"}}',
        b'{"request": {"backend": "\\u0000", "prompt": "a"}, "manifest": {"\\ud800": 1}}',
    ],
    ids=lambda body: repr(body[:50])[2:-1],
)  # fmt: skip
def test_json_of_any_kind_has_an_answer(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and errors(answer)
    assert len(answer.content) < 20_000


def test_text_comes_back_as_it_was_given_and_never_as_a_page(
    http: httpx.Client, client: JobClient, video: Path
) -> None:
    odd = "<script>alert(1)</script> \x00 雨 \u202e ' \" ; DROP TABLE jobs"
    job = client.submit(small_request(client.put_blob(video), odd)).id
    assert client.wait(job).status is Status.DONE
    assert client.result(job).request["prompt"] == odd
    answer = http.get(f"/v1/jobs/{job}/result/prompt.txt")
    assert answer.content.decode() == odd
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/jobs/nothing", 404),
        ("/v1/jobs/..%2f..%2ftokens.json/result/x", 404),
        ("/v1/jobs/{job}/result/..%2f..%2f..%2ftokens.json", 404),
        ("/v1/jobs/{job}/result/%2e%2e%2fworker.log", 404),
        ("/v1/jobs/{job}/result/%2fetc%2fpasswd", 404),
        ("/v1/jobs/{job}/result/manifest.json%00.mp4", 404),
        ("/v1/jobs/{job}/result/manifest.json", 404),
        ("/v1/blobs/..%2f..%2ftokens.json", 404),
        ("/v1/blobs/" + NONE, 404),
        ("/v1/blobs/ABC", 400),
        ("/v1/models/other", 404),
        ("/v1/jobs?limit=0", 400),
        ("/v1/jobs?status=lost", 400),
        ("/v1/nothing", 404),
    ],
)
def test_paths_lead_to_what_the_api_has_and_nowhere_else(
    http: httpx.Client, client: JobClient, video: Path, path: str, status: int
) -> None:
    job = client.submit(small_request(client.put_blob(video))).id
    client.wait(job)
    answer = http.get(path.format(job=job))
    assert answer.status_code == status and errors(answer)


def test_a_method_that_a_path_does_not_have_is_told_which_it_has(http: httpx.Client) -> None:
    answer = http.request("PATCH", "/v1/jobs/nothing")
    assert answer.status_code == 405 and answer.headers["allow"] == "DELETE, GET" and errors(answer)


def test_an_upload_must_have_the_hash_that_it_is_named_by(http: httpx.Client, server: Served) -> None:
    answer = http.put(f"/v1/blobs/{NONE}", content=b"other bytes")
    assert answer.status_code == 400 and sha256_of(b"other bytes") in errors(answer)[0]
    assert not list((server.state / "blobs").rglob(f"*{NONE}*"))


def test_file_names_of_clients_are_labels_and_no_paths(http: httpx.Client, server: Served, folder: Path) -> None:
    before = files_outside(folder, server.state)
    for name in ("../../../../tmp/evil.mp4", "/etc/evil.mp4", "..%2f..%2fevil.mp4", "a\\..\\b.mp4", "x" * 5000):
        content = name.encode()
        put = http.put(f"/v1/blobs/{sha256_of(content)}", content=content, headers={"x-filename": name})
        assert put.status_code == 201
        assert http.get(f"/v1/blobs/{sha256_of(content)}").content == content
    assert files_outside(folder, server.state) == before
    assert not [path for path in server.state.rglob("*evil*")]


def files_outside(folder: Path, state: Path) -> list[Path]:
    cache = folder / "outputs" / "cache"
    return sorted(p for p in folder.rglob("*") if not p.is_relative_to(state) and not p.is_relative_to(cache))


@pytest.mark.parametrize("declared", [True, False], ids=["with its length", "in chunks"])
def test_an_upload_beyond_the_limit_is_refused_while_others_are_served(
    server: Served, client: JobClient, declared: bool
) -> None:
    head = f"PUT /v1/blobs/{NONE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
    head += "Content-Length: 99999999999\r\n\r\n" if declared else "Transfer-Encoding: chunked\r\n\r\n"
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with connected(server) as connection:
        connection.sendall(head.encode())
        sent = 0
        try:
            while sent < 2 * LARGEST and not declared:
                connection.sendall(piece)
                sent += 65536
                if sent % (4 << 20) == 0:
                    assert client.status()["version"]
        except OSError:
            pass
        assert b" 413 " in answer_of(connection)
    assert not list((server.state / "blobs").rglob("*.partial"))


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/blobs/check"])
def test_a_body_that_is_no_upload_is_bounded_too(http: httpx.Client, path: str) -> None:
    request = {"content": b" " * (9 << 20), "headers": {"content-type": "application/json"}}
    with http.stream("POST", path, **request) as answer:  # the server closes before it has it all: the text may be lost
        assert answer.status_code == 413


# Slow clients


def connected(server: Served) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=8 * IDLE)


def answer_of(connection: socket.socket) -> bytes:
    """What comes until the server closes; a reset counts as that."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionError:
        pass
    return found


def test_clients_that_are_silent_are_cut_off_while_others_are_served(server: Served, client: JobClient) -> None:
    authorized = f"Authorization: Bearer {server.token}\r\n"
    put = f"PUT /v1/blobs/{NONE} HTTP/1.1\r\nHost: localhost\r\n{authorized}Content-Length: 1000\r\n\r\n"
    starts = {
        "nothing": b"",
        "half a head": b"GET /v1/jobs HTTP/1.1\r\nHost: loc",
        "half a body": put.encode() + b"x" * 10,
        "half a json": f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{authorized}Content-Type: application/json\r\n"
        f"Content-Length: 100\r\n\r\n{{".encode(),
    }
    connections = {name: connected(server) for name in starts}
    for name, start in starts.items():
        connections[name].sendall(start)
    with concurrent.futures.ThreadPoolExecutor(len(starts)) as pool:
        ends = {name: pool.submit(answer_of, connection) for name, connection in connections.items()}
        while not all(end.done() for end in ends.values()):
            assert client.status()["version"]
            time.sleep(0.2)
    assert ends["nothing"].result() == ends["half a head"].result() == b""
    assert b" 408 " in ends["half a body"].result() and b" 408 " in ends["half a json"].result()
    assert not list((server.state / "blobs").rglob("*.partial"))


def test_a_client_that_sends_a_byte_at_a_time_is_cut_off(server: Served) -> None:
    with connected(server) as connection:
        try:
            for byte in b"GET /v1/jobs HTTP/1.1\r\nX: " + b"x" * 200:
                connection.sendall(bytes([byte]))
                time.sleep(IDLE / 20)
        except OSError:
            return
        pytest.fail("it was listened to for longer than the idle timeout")


def test_a_client_that_does_not_read_is_cut_off(server: Served, client: JobClient) -> None:
    sha256 = client.put_blob(os.urandom(LARGEST))
    with connected(server) as connection:
        asked = f"GET /v1/blobs/{sha256} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n\r\n"
        connection.sendall(asked.encode())
        connection.recv(1)
        time.sleep(1.6 * IDLE)
        assert len(answer_of(connection)) < LARGEST


# Tokens


def test_only_the_hash_of_a_token_is_kept_for_the_owner_alone(server: Served) -> None:
    assert re.fullmatch(r"cc_[0-9a-f]{8}_[\w-]{43}", server.token)
    for name in ("tokens.json", "initial_token.txt"):
        assert stat.S_IMODE((server.state / name).stat().st_mode) == 0o600
    assert server.token.split("_", 2)[2] not in (server.state / "tokens.json").read_text()
    assert stat.S_IMODE(server.state.stat().st_mode) == 0o700
    assert not any(server.token in line for line in server.said)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer {token}x", "{token}", "Bearer " + "x" * 5000]
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/status", "/metrics", "/docs", "/v1/openapi.json", "/"])
def test_without_a_valid_token_nothing_is_told(server: Served, path: str, header: str) -> None:
    given = header.format(token=server.token)
    answer = httpx.get(server.url + path, headers={"authorization": given} if given else {})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert server.token not in answer.text


def test_a_wrong_token_is_refused_before_the_body_is_sent(server: Served) -> None:
    with connected(server) as connection:
        head = (
            f"PUT /v1/blobs/{NONE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer no\r\nContent-Length: 1000\r\n"
        )
        connection.sendall(f"{head}\r\n".encode())
        assert b" 401 " in connection.recv(65536)


@pytest.mark.parametrize("query", ["token={token}", "x={token}", "access_token=a", "Token=a", "x=cc_%61%61%61{rest}"])
def test_a_token_in_a_url_is_refused_also_where_it_is_valid(http: httpx.Client, server: Served, query: str) -> None:
    rest = "0aaaa_" + "s" * 43
    answer = http.get("/v1/jobs?" + query.format(token=server.token, rest=rest))
    assert answer.status_code == 400 and "in a URL" in errors(answer)[0] and server.token not in answer.text


def test_pages_of_other_sites_cannot_queue_jobs(http: httpx.Client) -> None:
    answer = http.post("/v1/jobs", content="{}", headers={"sec-fetch-site": "cross-site", "content-type": "text/plain"})
    assert answer.status_code == 403 and "other sites" in errors(answer)[0]


def test_health_needs_no_token(server: Served) -> None:
    live = httpx.get(f"{server.url}/v1/health/live")
    assert live.status_code == 200 and live.json()["status"] == "ok"
    assert httpx.get(f"{server.url}/v1/health/ready").json()["workers"][0]["device"] == "cpu"


def test_browsers_log_in_with_the_token_for_a_cookie_that_scripts_do_not_see(server: Served) -> None:
    with httpx.Client(base_url=server.url) as browser:
        page = browser.get("/", headers={"accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login")
        assert "<form" in browser.get("/login").text
        assert browser.post("/login", data={"token": "wrong<b>"}).status_code == 401
        entered = browser.post("/login", data={"token": server.token})
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(entered.headers["set-cookie"].split("; "))
        assert browser.get("/v1/status").status_code == 200


def test_metrics_are_those_of_the_queue(http: httpx.Client, client: JobClient, video: Path) -> None:
    client.wait(client.submit(small_request(client.put_blob(video))).id)
    text = http.get("/metrics").text
    assert re.search(r'^cosmos_jobs\{backend="render",status="done"\} [1-9]', text, re.MULTILINE)
    for name in ("queue_depth", "worker_state", "worker_busy", "blobs", "blob_bytes", "ready", "uptime_seconds"):
        assert f"# TYPE cosmos_{name} gauge" in text
    assert http.get("/v1/metrics").status_code == 200


def test_the_description_of_the_api_has_the_answers_that_it_gives(http: httpx.Client) -> None:
    described = http.get("/v1/openapi.json").json()
    operations = [(path, *item) for path, items in described["paths"].items() for item in items.items()]
    assert {path for path, _, _ in operations} >= {"/v1/jobs", "/v1/jobs/{job}/events", "/v1/blobs/{sha256}"}
    for path, method, operation in operations:
        assert "422" not in operation["responses"], (path, method)
    assert set(described["paths"]["/v1/jobs"]["post"]["responses"]) >= {"200", "202", "400", "401", "409", "413", "429"}
