"""A client of OpenAI-compatible servers: chat completions. It believes no server: every answer is checked here."""

from __future__ import annotations

import base64
import json
import math
import re
import threading
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.http_calls import attempts
from cosmos_exp.llm.config import LLMConfig, endpoint_url, server_key
from cosmos_exp.llm.types import BadAnswer, ChatAnswer, ChatRequest, Images, Message

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection."""
LONGEST_ANSWER = 16 << 20
"""Bytes."""
MOST_FRAMES = 32
"""Frames of one video; vLLM leaves out some of more than these, and does not say so."""
MOST_ALTERNATIVES = 20
"""Tokens whose log-probability is asked for beside that of each token; vLLM tells no more by default."""
LEAST_MASS = 0.99
"""Probability that all choices have together where the server counts nothing else."""
DEFAULT_FPS = 1.0
"""That of a video of single frames, for vLLM, where it is told no other."""
QUOTED = 500
"""Characters of a server's words in a message."""
DEAD_ENGINE = re.compile(r"EngineCore|EngineDead|AsyncEngineDead")
"""What vLLM says when the process that computes has ended; it then never answers again."""


class OpenAIChat:
    """The model `config.model` of the server `config.endpoint`. Usable from several threads."""

    def __init__(self, config: LLMConfig):
        if config.endpoint is None or config.model is None:
            raise UserError("llm.endpoint and llm.model: both are needed to ask a server")
        self.config, self.model = config, config.model
        self.endpoint = endpoint_url(config.endpoint)
        self._key = server_key(config)
        self._is_vllm: bool | None = None if config.api == "auto" else config.api == "vllm"
        self._asking_api = threading.Lock()
        self._http = httpx.Client(
            base_url=self.endpoint,
            headers={"user-agent": "cosmos-exp", "content-type": "application/json"}
            | ({"authorization": f"Bearer {self._key}"} if self._key else {}),
            timeout=httpx.Timeout(config.timeout, connect=CONNECT_TIMEOUT, pool=None),
            limits=httpx.Limits(max_connections=config.concurrency, max_keepalive_connections=config.concurrency),
            follow_redirects=False,
        )

    @property
    def identity(self) -> dict[str, str]:
        return identity_of(self.config, self.model)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> OpenAIChat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def complete(self, request: ChatRequest) -> ChatAnswer:
        """See `ChatModel`. Calls that were lost, or came to a busy server, are repeated `config.retries` times; what
        a server refuses is not."""
        if request.schema is not None and request.choices:
            raise ValueError("a schema and choices at the same time")
        if any(a != b and a.startswith(b) for a in request.choices for b in request.choices):
            raise ValueError("a choice is the beginning of another")
        if request.choices and request.logprobs:
            return self._weighed(request)
        text = _text(self._ask(request, {}), request.sampling.max_tokens)
        if request.schema is not None:
            return ChatAnswer(text, validated(text, request.schema))
        if request.choices and text not in request.choices:
            raise BadAnswer(f"none of the choices {', '.join(request.choices)}", text)
        return ChatAnswer(text)

    def _weighed(self, request: ChatRequest) -> ChatAnswer:
        if not self.is_vllm:
            raise UserError(f"{self.endpoint} is not vLLM: the probabilities of choices can be had from vLLM alone")
        shares = self._shares(request, request.choices)
        return ChatAnswer(max(shares, key=shares.__getitem__), probabilities=shares)

    def _shares(self, request: ChatRequest, choices: Sequence[str]) -> dict[str, float]:
        """The probability of each choice, of which the server says one: at each of its tokens, the others that it could
        have said begin other choices."""
        if len(choices) == 1:
            return {choices[0]: 1.0}
        more = {"structured_outputs": {"choice": list(choices)}, "logprobs": True, "top_logprobs": MOST_ALTERNATIVES}
        said = self._ask(request, more | {"temperature": 0.0})
        if (text := _text(said, request.sampling.max_tokens)) not in choices:
            raise UserError(f"{self.endpoint} ignores structured_outputs: it said {_quoted(text)}")
        shares, prefix, mass = dict.fromkeys(choices, 0.0), "", 1.0
        for token, probability, alternatives in _tokens(said):
            for other, its in alternatives.items():
                begun = [choice for choice in choices if choice.startswith(prefix + other)]
                if its and begun and (other != token or len(begun) == 1):
                    for choice, share in self._shares(request, begun).items():
                        shares[choice] += mass * its * share
            prefix, mass = prefix + token, mass * probability
            if sum(choice.startswith(prefix) for choice in choices) <= 1:
                break
        if (whole := sum(shares.values())) < LEAST_MASS and not all(shares.values()):
            raise UserError(f"{self.endpoint} gives no log-probabilities of {', '.join(choices)}")
        return {choice: share / whole for choice, share in shares.items()}

    @property
    def is_vllm(self) -> bool:
        """Whether the server is vLLM. Raises UserError where it does not have the model."""
        with self._asking_api:
            if self._is_vllm is None:
                self._is_vllm = self._asked_is_vllm()
            return self._is_vllm

    def _asked_is_vllm(self) -> bool:
        answer = self._call("GET", "/models", accepted=(500,))  # what transformers serve says offline
        if answer.status_code in (401, 403):
            raise self._refusal(answer)
        try:
            models = json.loads(answer.content)["data"]
            names = [str(model["id"]) for model in models]
            is_vllm = any(model.get("owned_by") == "vllm" for model in models)
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        if is_vllm and self.model not in names:
            raise UserError(f"{self.endpoint}: {unknown_name('llm.model', self.model, names)}")
        return is_vllm

    def _ask(self, request: ChatRequest, more: dict[str, Any]) -> dict[str, Any]:
        """The first of the answer's `choices`, as the server sent it."""
        answer = self._call("POST", "/chat/completions", json.dumps(self._body(request) | more).encode())
        if answer.status_code != 200:
            raise self._refusal(answer)
        try:
            choice = json.loads(answer.content)["choices"][0]
            if isinstance(choice["message"], dict):
                return choice
        except (ValueError, KeyError, IndexError, TypeError):
            pass
        raise UserError(f"{self.endpoint} is no server of chat completions: it said {_quoted(answer.text)}")

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [_message(message, self.is_vllm) for message in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed,
        }
        rates = {message.images.fps for message in request.messages if message.images and message.images.as_video}
        if self.config.video_rate and self.is_vllm and rates - {DEFAULT_FPS}:
            (fps,) = rates
            body["media_io_kwargs"] = {"video": {"fps": fps}}
        if self.is_vllm:
            body["chat_template_kwargs"] = {"enable_thinking": self.config.think}
            if request.choices:
                body["structured_outputs"] = {"choice": list(request.choices)}
        if request.schema is not None:
            schema = {"name": request.schema.__name__, "schema": request.schema.model_json_schema(), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _call(self, method: str, path: str, body: bytes = b"", accepted: Container[int] = ()) -> httpx.Response:
        try:
            return attempts(lambda: self._attempt(method, path, body), self.config.retries, accepted)
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            raise UserError(f"{self.endpoint} does not answer ({why}); asked {self.config.retries + 1} times") from None

    def _attempt(self, method: str, path: str, body: bytes) -> httpx.Response:
        deadline, content = time.monotonic() + self.config.timeout, bytearray()
        try:
            with self._http.stream(method, path, content=body) as answer:
                for block in answer.iter_bytes():
                    content += block
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("")
                    if len(content) > LONGEST_ANSWER:
                        raise UserError(f"{self.endpoint} sends more than {LONGEST_ANSWER} bytes as one answer")
        except httpx.ReadTimeout:
            raise UserError(
                f"{self.endpoint} took more than llm.timeout={self.config.timeout:g} seconds for an answer"
            ) from None
        if answer.status_code == 500 and DEAD_ENGINE.search(said := content.decode(errors="replace")):
            raise UserError(f"{self.endpoint}: the engine of this server has died; start it again: {_quoted(said)}")
        kept = {key: answer.headers[key] for key in ("retry-after",) if key in answer.headers}
        return httpx.Response(answer.status_code, headers=kept, content=bytes(content))

    def _refusal(self, answer: httpx.Response) -> UserError:
        said = self._without_key(_error_text(answer))
        hint = ""
        if answer.status_code in (401, 403):
            hint = f"; its key belongs into the environment variable {self.config.key_variable}"
        elif answer.status_code in (400, 422) and re.search("chat_template_kwargs|structured_outputs", said):
            hint = "; give llm.api=openai for a server that is not vLLM"
        elif answer.status_code == 400 and "trust-request-mm-kwargs" in said:
            hint = "; llm.video_rate=true needs a vLLM that was started with this option"
        verb = "refuses" if answer.status_code < 500 else "fails, however often it is asked"
        return UserError(f"{self.endpoint} {verb} (HTTP {answer.status_code}): {said}{hint}")

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def identity_of(config: LLMConfig, model: str) -> dict[str, str]:
    """What decides the answers of a model of this name, besides what it is asked."""
    told = {"think": config.think, "video_rate": config.video_rate}
    return {"model": model} | {name: "true" for name, given in told.items() if given}


def validated(text: str, schema: type[BaseModel]) -> BaseModel:
    """The object that the text is in JSON. Raises BadAnswer where it is none of the schema.

    Line breaks and other control characters may stand in strings as they are: the schema's grammar of vLLM allows them.
    """
    try:
        return schema.model_validate(json.loads(text, strict=False))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadAnswer(f"not of the schema {schema.__name__}: {where}: {first['msg']}", text) from None
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"no JSON: {error}", text) from None


def without_thoughts(text: str) -> str | None:
    """What follows the part in think tags; None where that part has no end. Its opening tag may be missing, as some
    templates put it into the prompt."""
    _, end, after = text.rpartition("</think>")
    if end:
        return after.strip()
    return None if text.lstrip().startswith("<think>") else text.strip()


def _text(choice: dict[str, Any], max_tokens: int) -> str:
    """What a choice of a server's answer says. Raises BadAnswer."""
    message, reason = choice["message"], choice.get("finish_reason")
    content = message.get("content") or ""
    if not isinstance(content, str):
        raise BadAnswer("no text", json.dumps(content))
    if message.get("refusal"):
        raise BadAnswer("the model refuses", str(message["refusal"]))
    if reason == "length":
        raise BadAnswer(f"cut off after llm.max_tokens={max_tokens} tokens", content)
    if reason == "content_filter":
        raise BadAnswer("left out by the server's content filter", content)
    text = without_thoughts(content)
    if text is None:
        raise BadAnswer("thoughts without an end", content)
    if not text:
        raise BadAnswer("empty", content)
    return text


def _tokens(choice: dict[str, Any]) -> Iterator[tuple[str, float, dict[str, float]]]:
    """(token, its probability, {every token that could have stood there: its probability}), as far as the server has
    told."""
    try:
        for token in choice["logprobs"]["content"]:
            others = {str(other["token"]): math.exp(other["logprob"]) for other in token["top_logprobs"]}
            yield str(token["token"]), math.exp(token["logprob"]), others
    except (KeyError, TypeError, ValueError, OverflowError):
        return


def _message(message: Message, is_vllm: bool) -> dict[str, Any]:
    if message.images is None:
        return {"role": message.role, "content": message.text}
    pictures = _video(message.images) if message.images.as_video and is_vllm else _pictures(message.images.jpegs)
    return {"role": message.role, "content": [*pictures, {"type": "text", "text": message.text}]}


def _pictures(jpegs: Iterable[bytes]) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{_base64(jpeg)}"}} for jpeg in jpegs]


def _video(images: Images) -> list[dict[str, Any]]:
    if len(images.jpegs) > MOST_FRAMES:
        raise UserError(f"{len(images.jpegs)} frames of one video: vLLM reads {MOST_FRAMES} at most")
    frames = ",".join(map(_base64, images.jpegs))
    return [{"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{frames}"}}]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _error_text(answer: httpx.Response) -> str:
    """A server's own words on what is wrong."""
    try:
        said = json.loads(answer.content)
        for key in ("error", "message", "detail"):
            if isinstance(said, dict) and said.get(key):
                said = said[key]
        return _quoted(said if isinstance(said, str) else json.dumps(said))
    except ValueError:
        return _quoted(answer.text)


def _quoted(text: str) -> str:
    """In one line, of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= QUOTED else f"{line[:QUOTED]} ..."
