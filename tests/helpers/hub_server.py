"""A Hub of a few small files on this machine: model info, access, file metadata, ranges, and faults on request."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest
from huggingface_hub import constants

from helpers.patient_server import PatientServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"

# Sends the body of a file its own way: (handler, bytes asked for).
Fault = Callable[[BaseHTTPRequestHandler, bytes], None]


@dataclass
class Repo:
    """Files by name; those that end in .json are not in large-file storage. `served` is sent in place of some."""

    files: dict[str, bytes]
    served: dict[str, bytes] = field(default_factory=dict)
    revisions: tuple[str, ...] = ("main",)
    gated: bool = False
    private: bool = False
    members: tuple[str, ...] = ()


@dataclass
class Hub:
    """What is served, which requests came, and the faults still to happen by file name.

    `busy` names methods: the next request for a file by each of them is answered 503. With `storage_apart`, large files
    are sent from another host, to which the resolve address redirects. With `broken_xet`, they are said to be in Xet,
    which then does not find them.
    """

    repos: dict[str, Repo]
    storage_apart: bool = False
    broken_xet: bool = False
    tokens_at_storage: list[str | None] = field(default_factory=list)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    busy: list[str] = field(default_factory=list)
    server: PatientServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = PatientServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def fetched(self) -> list[tuple[str, str | None]]:
        """(file name, Range header) of every GET of a file."""
        marker = "/storage/" if self.storage_apart else "/resolve/"
        gets = [(path, given) for method, path, given in self.requests if method == "GET" and marker in path]
        return [(path.split(marker)[1].split("/", 1)[1], given) for path, given in gets]


def xet_headers(address: str) -> dict[str, str]:
    expiry = str(int(time.time()) + 1000)
    return {"X-Xet-Cas-Url": address, "X-Xet-Access-Token": "token", "X-Xet-Token-Expiration": expiry}


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if info := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path):
            self._info(*info.groups())
        elif path == "/xet-token":
            self._send(200, b"", xet_headers(self.hub.address))
        elif access := re.fullmatch(r"/api/models/([^/]+/[^/]+)/auth-check", path):
            if self._repo(access[1], COMMIT):
                self._send(200, b"", {})
        elif file := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(*file.groups())
        elif stored := re.fullmatch(r"/([^/]+/[^/]+)/storage/[^/]+/(.+)", path):
            self.hub.tokens_at_storage.append(self.headers.get("Authorization"))
            self._content(self.hub.repos[stored[1]], stored[2], {})
        else:
            self._refuse(404, "NoSuchPath")

    def _repo(self, name: str, revision: str) -> Repo | None:
        repo = self.hub.repos.get(name)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if repo is None or (repo.private and token not in repo.members):
            self._refuse(404 if token else 401, "RepoNotFound")
        elif revision not in (*repo.revisions, COMMIT):
            self._refuse(404, "RevisionNotFound")
        elif repo.gated and "/revision/" not in self.path and token not in repo.members:
            self._refuse(403 if token else 401, "GatedRepo")
        else:
            return repo
        return None

    def _info(self, name: str, revision: str) -> None:
        repo = self._repo(name, revision)
        if repo is None:
            return
        siblings = []
        for file, data in repo.files.items():
            entry: dict = {"rfilename": file, "size": len(data), "blobId": git_sha1(data)}
            if not file.endswith(".json"):
                entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        body = json.dumps({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings}).encode()
        self._send(200, body, {"Content-Type": "application/json"})

    def _file(self, name: str, revision: str, file: str) -> None:
        repo = self._repo(name, revision)
        if repo is None:
            return
        if file not in repo.files:
            return self._refuse(404, "EntryNotFound")
        data = repo.files[file]
        digest = git_sha1(data) if file.endswith(".json") else hashlib.sha256(data).hexdigest()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        if not file.endswith(".json"):
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))}
            if self.hub.broken_xet:
                headers |= {"X-Xet-Hash": "a" * 64, "Link": f'<{self.hub.address}/xet-token>; rel="xet-auth"'}
        if self.hub.storage_apart and not file.endswith(".json"):
            there = self.hub.address.replace("127.0.0.1", "localhost") + f"/{name}/storage/{revision}/{file}"
            return self._send(302, b"", headers | {"Location": there})
        self._content(repo, file, headers)

    def _content(self, repo: Repo, file: str, headers: dict[str, str]) -> None:
        if self.command in self.hub.busy:
            self.hub.busy.remove(self.command)
            return self._refuse(503, "Busy")
        data = repo.served.get(file, repo.files[file])
        status, body = 200, data
        if given := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            start = int(given[1])
            status, body = 206, data[start:]
            headers = headers | {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        self._send(status, body, headers, self._fault(file))

    def _fault(self, file: str) -> Fault | None:
        waiting = self.hub.faults.get(file)
        return waiting.pop(0) if waiting and self.command == "GET" else None

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str], fault: Fault | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault is not None:
            fault(self, body)
        elif self.command == "GET":
            self.wfile.write(body)


def cut_after(count: int) -> Fault:
    """The connection breaks after `count` bytes."""

    def fault(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.wfile.write(body[:count])
        handler.close_connection = True

    return fault


def wrong_bytes(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """As many bytes as promised, one of them another."""
    handler.wfile.write(body[:-1] + bytes([body[-1] ^ 1]))


def interrupt_after(count: int, then_hold: float = 0.2) -> Fault:
    """`count` bytes arrive, then the main thread gets the signal of Ctrl-C, and nothing more comes.

    `then_hold` is how many seconds later the connection ends.
    """

    def fault(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.wfile.write(body[:count])
        time.sleep(0.2)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(then_hold)
        handler.close_connection = True

    return fault


def point_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As HF_ENDPOINT does, which huggingface_hub reads when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
