"""The client of the job API with servers that are overloaded, gone, damaged, or not ours."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from helpers.patient_server import PatientServer

from cosmos_exp.common import http_calls
from cosmos_exp.common.errors import UserError
from cosmos_exp.remote import job_client
from cosmos_exp.remote.job_client import JobClient
from cosmos_exp.remote.server_client import (
    DamagedAnswer,
    ServerRefusal,
    Unreachable,
    checked_endpoint,
    token_of_environment,
)
from cosmos_exp.remote.wire import JobRequest, ResultFile, Status


class Handler(BaseHTTPRequestHandler):
    """Answers as its server's `answers` say, in turn; the last one goes on."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        self.server.asked.append((self.command, self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        answers = self.server.answers  # type: ignore[attr-defined]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            self.close_connection = True
            return
        status, content, headers = answer
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"content-length": str(len(data)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(http_calls, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(job_client, "POLL", 0.001)
    with PatientServer(("127.0.0.1", 0), Handler) as found:
        found.asked, found.answers = [], []
        threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture
def client(server: Any) -> Iterator[JobClient]:
    with JobClient(f"http://127.0.0.1:{server.server_port}", "cc_secret", retries=3) as found:
        yield found


def job(status: str = "done", **more: Any) -> dict[str, Any]:
    return {"id": "a" * 20, "backend": "nano", "status": status, "created": 0.0, "new_field": [1], **more}


OVERLOADED = (503, {"detail": "busy"}, {})


@pytest.mark.parametrize("trouble", [OVERLOADED, (429, {}, {"retry-after": "0"}), (500, b"", {}), None])
def test_a_call_is_repeated_where_the_server_is_overloaded_or_lost(server: Any, client: JobClient, trouble) -> None:
    server.answers = [trouble, trouble, (200, job(), {})]
    assert client.job("a" * 20).status is Status.DONE
    assert len(server.asked) == 3
    assert server.asked[0][2]["authorization"] == "Bearer cc_secret"


def test_repetitions_are_bounded(server: Any, client: JobClient) -> None:
    server.answers = [OVERLOADED]
    with pytest.raises(ServerRefusal, match="busy"):
        client.job("a")
    assert len(server.asked) == 4
    server.answers = [None]
    with pytest.raises(Unreachable, match="does not answer"):
        client.job("a")


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 413])
def test_what_is_refused_is_not_repeated_and_told_in_the_servers_words(
    server: Any, client: JobClient, status: int
) -> None:
    server.answers = [(status, {"detail": {"errors": ["steps: too many", "views: none"]}}, {})]
    with pytest.raises(ServerRefusal) as refusal:
        client.submit(JobRequest(backend="nano", prompt="rain"))
    assert refusal.value.status == status and len(refusal.value.errors) == 2
    assert "steps: too many" in str(refusal.value) and len(server.asked) == 1
    assert "cc_secret" not in str(refusal.value)


def test_a_server_without_events_is_polled_and_its_unknown_fields_are_passed_over(
    server: Any, client: JobClient
) -> None:
    nothing = (404, {"detail": "Not Found"}, {})
    states = [job("queued"), nothing, job("running", progress=0.5), job("running", progress=0.5), job("done")]
    server.answers = [state if state is nothing else (200, state, {}) for state in states]
    assert [found.status.value for found in client.watch("a" * 20)] == ["queued", "running", "done"]


def test_a_stream_that_breaks_is_taken_up_again(server: Any, client: JobClient) -> None:
    event = f"id: 1\nevent: job\ndata: {json.dumps(job('running', progress=0.5))}\n\n".encode()
    broken = (200, event, {"content-type": "text/event-stream", "content-length": "5000", "connection": "close"})
    done = (200, f"event: job\ndata: {json.dumps(job())}\n\n".encode(), {"content-type": "text/event-stream"})
    server.answers = [(200, job("queued"), {}), broken, done]
    assert [found.status.value for found in client.watch("a" * 20)] == ["queued", "running", "done"]


def test_a_file_is_uploaded_once_under_its_hash(server: Any, client: JobClient, tmp_path: Path) -> None:
    path, content = tmp_path / "edge map.mp4", b"x" * (3 << 20)
    path.write_bytes(content)
    sha256, ticks = hashlib.sha256(content).hexdigest(), []
    server.answers = [(200, {"present": [], "missing": [sha256]}, {}), OVERLOADED, (201, {}, {})]
    assert client.put_blob(path, tick=lambda done, total: ticks.append((done, total))) == sha256
    method, url, headers, body = server.asked[-1]
    assert (method, url, body) == ("PUT", f"/v1/blobs/{sha256}", content)
    assert headers["content-length"] == str(len(content)) and headers["x-filename"] == "edge%20map.mp4"
    assert ticks[-1] == (len(content), len(content))
    server.answers, count = [(200, {"missing": []}, {})], len(server.asked)
    assert client.put_blob(content) == sha256 and len(server.asked) == count + 1


@pytest.mark.parametrize("sent", [b"other", b"as said", b"as said, and more" * 1000])
def test_a_download_appears_when_it_is_what_the_manifest_says(
    server: Any, client: JobClient, tmp_path: Path, sent: bytes
) -> None:
    said = b"as said"
    file = ResultFile(name="a.mp4", sha256=hashlib.sha256(said).hexdigest(), size=len(said))
    server.answers = [(200, sent, {})]
    if sent == said:
        client.download("a", file, tmp_path / "out" / "a.mp4")
        assert (tmp_path / "out" / "a.mp4").read_bytes() == said
        return
    with pytest.raises(DamagedAnswer, match="another SHA-256"):
        client.download("a", file, tmp_path / "out" / "a.mp4")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("content", [b"<html>", [], {"id": 3}, job("lost"), None])
def test_what_is_no_server_of_this_api_is_said_so(server: Any, client: JobClient, content: Any) -> None:
    server.answers = [(200, content, {})]
    with pytest.raises(UserError, match="is no server of"):
        client.job("a")


def test_names_of_jobs_stay_within_their_path(server: Any, client: JobClient) -> None:
    server.answers = [(404, {"detail": {"errors": ["no job"]}}, {})]
    with pytest.raises(ServerRefusal):
        client.job("../status?x=1#y")
    assert server.asked[-1][1] == "/v1/jobs/..%2Fstatus%3Fx%3D1%23y"


@pytest.mark.parametrize(
    ("given", "kept"), [("http://gpu:8080/", "http://gpu:8080"), (" https://a/b/v1 ", "https://a/b")]
)
def test_an_endpoint_is_a_url_without_the_version(given: str, kept: str) -> None:
    assert checked_endpoint(given) == kept


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("gpu:8080", "did you mean 'http://gpu:8080'"), ("", "give an URL"), ("ftp://gpu", "give an URL"),
        ("http://user:cc_secret@gpu", "no token or query"), ("http://gpu?token=cc_secret", "no token or query"),
    ],
)  # fmt: skip
def test_an_endpoint_that_is_none_is_refused_without_showing_a_secret(given: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        checked_endpoint(given)
    assert told in str(error.value) and "cc_secret" not in str(error.value)


def test_the_token_is_that_of_the_environment_or_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("COSMOS_TOKEN", "COSMOS_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert token_of_environment() is None
    (tmp_path / "token").write_text("cc_file\n")
    monkeypatch.setenv("COSMOS_TOKEN_FILE", str(tmp_path / "token"))
    assert token_of_environment() == "cc_file"
    monkeypatch.setenv("COSMOS_TOKEN", "cc_own")
    assert token_of_environment() == "cc_own"
    monkeypatch.setenv("COSMOS_TOKEN", "two words")
    with pytest.raises(UserError, match="has spaces") as error:
        token_of_environment()
    assert "two words" not in str(error.value)
