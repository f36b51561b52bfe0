"""A server of chat completions that says what a test wants, and fails as real ones do."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

from cosmos_exp.llm.config import LLMConfig
from helpers.patient_server import PatientServer

Body = dict[str, Any]
Send = Callable[["Handler", Body], None]
"""Answers a request."""

MODEL = "tiny"


def says(
    text: str | None, *, finish_reason: str = "stop", tokens: Sequence[dict[str, float]] = (), **message: Any
) -> Send:
    """A completion of this text. tokens: of each, with the probabilities of what could have stood there; it is the
    first."""
    choice: Body = {"index": 0, "finish_reason": finish_reason}
    choice["message"] = {"role": "assistant", "content": text, **message}
    if tokens:
        choice["logprobs"] = {"content": [_log_probabilities(others) for others in tokens]}
    completion = {"id": "1", "object": "chat.completion", "model": MODEL, "choices": [choice]}
    return lambda handler, body: handler.send(200, json.dumps(completion).encode())


def _log_probabilities(others: dict[str, float]) -> Body:
    told = [{"token": token, "logprob": math.log(share) if share else -9999.0} for token, share in others.items()]
    return {**told[0], "top_logprobs": told}


def thinks(text: str) -> Send:
    return says(f"<think>\nA red car. It is night.\n</think>\n\n{text}")


def fails(status: int, message: str = "", **headers: str) -> Send:
    """An error as vLLM words it. headers: `retry_after="1"`."""
    error = {"error": {"message": message or f"status {status}", "type": "Error", "code": status}}
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda handler, body: handler.send(status, json.dumps(error).encode(), named)


def sends(content: bytes, status: int = 200) -> Send:
    """These bytes, whatever they are."""
    return lambda handler, body: handler.send(status, content)


def hangs_up(handler: Handler, body: Body) -> None:
    """The connection is lost before there is an answer."""
    handler.close_connection = True


def breaks_off(handler: Handler, body: Body) -> None:
    """The connection is lost in the middle of an answer."""
    handler.send(200, b'{"choices": [{"mess', {"content-length": "1000"})
    handler.close_connection = True


def dead_engine() -> Send:
    """What vLLM answers from then on."""
    return fails(500, "EngineCore encountered an issue. See stack trace (above) for the root cause.")


def after(seconds: float, then: Send) -> Send:
    def send(handler: Handler, body: Body) -> None:
        time.sleep(seconds)
        then(handler, body)

    return send


def obeys(handler: Handler, body: Body) -> None:
    """Says the first of the choices, where each is half as probable as the one before, an object of the schema, or a
    sentence."""
    if choices := body.get("structured_outputs", {}).get("choice"):
        shares = {choice: 0.5 ** (number + 1) for number, choice in enumerate(choices)}
        return says(choices[0], tokens=[shares])(handler, body)
    if wanted := body.get("response_format"):
        return says(json.dumps(_instance(wanted["json_schema"]["schema"])))(handler, body)
    return says("A red car drives by night.")(handler, body)


def _instance(schema: Body) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        return {key: _instance(value) for key, value in schema["properties"].items()}
    return {"string": "A red car drives by night.", "integer": 1, "number": 0.5, "boolean": True, "array": []}[
        schema["type"]
    ]


class ChatServer:
    """answers: what is said in turn, where the last one goes on; without any, `answer(body)` says what.

    asked: the bodies that came to /v1/chat/completions. keys: the authorization of each. at_once: how many were in work
    at the same time, at most. owned_by: what it calls itself.
    """

    def __init__(
        self, *answers: Send, answer: Callable[[Body], Send] = lambda body: obeys, owned_by: str = "vllm",
        host: str = "127.0.0.1", port: int = 0, model: str = MODEL,
    ):  # fmt: skip
        self.answers, self.answer, self.owned_by, self.model = list(answers), answer, owned_by, model
        self.models: Send | None = None
        self.asked: list[Body] = []
        self.keys: list[str | None] = []
        self.at_once = self._in_work = 0
        self._lock = threading.Lock()
        self._server = PatientServer((host, port), type("Handler", (Handler,), {"chat": self}))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def config(self, **more: Any) -> LLMConfig:
        """Of a client of this server."""
        return LLMConfig(**{"name": "endpoint", "model": MODEL, "endpoint": self.url, "retries": 3, **more})

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def complete(self, handler: Handler, body: Body) -> None:
        with self._lock:
            self.asked.append(body)
            self.keys.append(handler.headers.get("authorization"))
            self._in_work += 1
            self.at_once = max(self.at_once, self._in_work)
            scripted = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0] if self.answers else None
        try:
            (scripted or self.answer(body))(handler, body)
        finally:
            with self._lock:
                self._in_work -= 1

    def list_models(self, handler: Handler) -> None:
        models = {"object": "list", "data": [{"id": self.model, "object": "model", "owned_by": self.owned_by}]}
        (self.models or sends(json.dumps(models).encode()))(handler, {})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    chat: ChatServer

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self.chat.list_models(self)
        else:
            self.send(404, b'{"detail":"Not Found"}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/chat/completions":
            self.chat.complete(self, body)
        else:
            self.send(404, b'{"detail":"Not Found"}')

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {
            "content-type": "application/json",
            "content-length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
