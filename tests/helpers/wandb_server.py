"""As much of a W&B server as `wandb sync` speaks with: it takes runs and files, and keeps what came."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from helpers.patient_server import PatientServer

API_KEY = "a" * 40


class Server:
    """uploads: how often each run was begun. files: {run id: names of its files}. history: {run id: {line: row}}.

    summary: {run id: its summary}. artifacts: names of table artifacts. views: saved workspaces.
    """

    def __init__(self) -> None:
        self.url = ""
        self.uploads: Counter[str] = Counter()
        self.files: dict[str, set[str]] = {}
        self.history: dict[str, dict[int, Any]] = {}
        self.summary: dict[str, Any] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.artifacts: list[str] = []
        self.views: list[dict[str, Any]] = []

    @property
    def environment(self) -> dict[str, str]:
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": API_KEY}

    def answer(self, operation: str, values: dict[str, Any]) -> dict[str, Any]:
        if operation == "UpsertBucket":
            run = values["name"]
            self.runs.setdefault(run, {}).update({k: v for k, v in values.items() if v is not None})
            project = {"id": "p", "name": values.get("project"), "entity": {"id": "e", "name": "someone"}}
            bucket = {"id": run, "name": run, "displayName": run, "project": project}
            bucket["historyLineCount"] = len(self.history.get(run, {}))
            return {"upsertBucket": {"bucket": bucket, "inserted": run not in self.uploads}}
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "CreateArtifact":
            self.artifacts.append(values["input"]["artifactCollectionName"])
            artifact = {"id": "a", "state": "COMMITTED", "artifactSequence": {"latestArtifact": {"id": "a"}}}
            return {"createArtifact": {"artifact": artifact}}
        if operation == "CreateRunFiles":
            self.files.setdefault(values["run"], set()).update(values["files"])
            files = [{"name": name, "uploadUrl": f"{self.url}/file"} for name in values["files"]]
            return {"createRunFiles": {"runID": values["run"], "uploadHeaders": [], "files": files}}
        if operation == "UpsertView2":
            self.views.append(values)
            return {"upsertView": {"view": {"id": "v", "name": values["name"]}, "inserted": True}}
        if operation == "Viewer":
            return {"viewer": {"id": "v", "entity": "someone", "username": "someone", "flags": "{}"}}
        return {}

    def stream(self, run: str, body: dict[str, Any]) -> None:
        self.uploads[run] += bool(body.get("complete"))
        for name, part in (body.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                rows = {part["offset"] + i: json.loads(line) for i, line in enumerate(part["content"])}
                self.history.setdefault(run, {}).update(rows)
            if name == "wandb-summary.json":
                self.summary[run] = json.loads(part["content"][-1])


@contextmanager
def wandb_server() -> Iterator[Server]:
    kept = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            said: Any = {}
            if self.path == "/graphql":
                asked = json.loads(body)
                operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
                said = {"data": kept.answer(operation[1] if operation else "", asked.get("variables") or {})}
            elif self.path.endswith("/file_stream"):
                kept.stream(self.path.split("/")[-2], json.loads(body))
            text = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_PUT = do_POST
        log_message = lambda *args: None  # noqa: E731

    with PatientServer(("127.0.0.1", 0), Handler) as http:
        kept.url = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield kept
        http.shutdown()
