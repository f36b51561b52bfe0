"""The `llm` group: which language model answers, and how it is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar
from urllib.parse import urlsplit

from cosmos_exp.common.errors import UserError, attempt, unknown_name
from cosmos_exp.common.typed_config import NO_EFFECT
from cosmos_exp.common.urls import checked_token, checked_url
from cosmos_exp.llm.types import Sampling
from cosmos_exp.llm.vllm_server import find_python, launch_problems

MODELS = ("nano", "endpoint", "vllm")
APIS = ("auto", "vllm", "openai")
KEY = "COSMOS_EXP_LLM_KEY"
"""Environment variable with the key of a server."""
EXAMPLE = "http://127.0.0.1:8000/v1"
MOST_AT_ONCE = 1024


@dataclass
class LLMConfig:
    """A language model: the rewriter that ships, or one behind an OpenAI-compatible server."""

    COUNTS_WHERE: ClassVar[str] = "where captions or filter ask a language model"

    name: str = "nano"
    """nano: the rewriter that ships, in this process; endpoint: a server that runs; vllm: a vLLM server that is started
    when it is first needed and stopped at the end."""
    model: str | None = None
    """Of a server: the name that it gives its model. Of vllm: a model of the Hugging Face Hub, or a folder."""
    endpoint: str | None = field(default=None, metadata=NO_EFFECT)
    """URL of the server's API; without a path, /v1 is added."""
    api: str = field(default="auto", metadata=NO_EFFECT)
    """vllm: also fields that only vLLM knows are sent; openai: none; auto: asks the server whether it is vLLM."""
    key_variable: str = field(default=KEY, metadata=NO_EFFECT)
    """Environment variable that holds the server's key, where it asks for one."""
    think: bool = False
    """Whether a model that can think before it answers does."""
    video_rate: bool = False
    """Whether vLLM is told the frame rate of videos; false: it takes them for one frame per second. It must have been
    started with --trust-request-mm-kwargs, which llm=vllm then does."""
    temperature: float = 0.0
    """0: the most probable answer. Above, the seed decides."""
    top_p: float = 1.0
    """Tokens are drawn from the most probable ones that have this probability together."""
    max_tokens: int = 1024
    """Longest answer; one that is cut off there is no answer."""
    seed: int = 0
    """Of the draw."""
    timeout: float = field(default=300.0, metadata=NO_EFFECT)
    """Seconds that one answer may take."""
    retries: int = field(default=5, metadata=NO_EFFECT)
    """How often a request is repeated that was lost, or that the server was too busy for."""
    concurrency: int = field(default=16, metadata=NO_EFFECT)
    """Requests at the same time."""
    python: str | None = field(default=None, metadata=NO_EFFECT)
    """vllm: the Python of an environment that has vLLM; null: that of the environment variable COSMOS_EXP_VLLM, else
    this one."""
    options: list[str] = field(default_factory=list, metadata=NO_EFFECT)
    """vllm: options of its server, such as [--max-model-len,8192]."""
    start_timeout: float = field(default=1800.0, metadata=NO_EFFECT)
    """vllm: seconds until it listens, with the download of the model."""

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.max_tokens, self.seed)


def llm_problems(config: LLMConfig, here: bool = True) -> Iterator[str]:
    """One message per value that is out of its range, or belongs to another kind of model.

    here: whether the run is on this machine, so that it must have the key and the environment of vLLM.
    """
    if config.name not in MODELS:
        yield unknown_name("llm.name", config.name, MODELS)
        return
    if config.api not in APIS:
        yield unknown_name("llm.api", config.api, APIS)
    yield from _server_problems(config)
    if here:
        yield from attempt(partial(check_machine, config))[1]
    if not 0 <= config.temperature <= 2:
        yield f"llm.temperature={config.temperature:g}: must be 0 to 2"
    if not 0 < config.top_p <= 1:
        yield f"llm.top_p={config.top_p:g}: must be above 0, and 1 at most"
    for key, least, most in (("max_tokens", 1, 1 << 20), ("retries", 0, 100), ("concurrency", 1, MOST_AT_ONCE)):
        if not least <= getattr(config, key) <= most:
            yield f"llm.{key}={getattr(config, key)}: must be {least} to {most}"
    if not 0 <= config.seed < 1 << 63:
        yield f"llm.seed={config.seed}: must be 0 to {(1 << 63) - 1}"
    for key in ("timeout", "start_timeout"):
        if not 0 < getattr(config, key) < float("inf"):
            yield f"llm.{key}={getattr(config, key):g}: must be above 0 seconds"


def _server_problems(config: LLMConfig) -> Iterator[str]:
    if config.name == "nano" and config.model is not None:
        yield f"llm.model={config.model!r}: llm=nano has one model; give llm=endpoint or llm=vllm"
    if config.name != "nano" and not (config.model or "").strip():
        yield f"llm={config.name}: give llm.model, the name of the model"
    if config.name == "endpoint":
        if config.endpoint is None:
            yield f"llm=endpoint: give llm.endpoint, the URL of the server, such as {EXAMPLE}"
        else:
            yield from attempt(partial(endpoint_url, config.endpoint))[1]
    elif config.endpoint is not None:
        yield f"llm.endpoint={config.endpoint!r}: is used by llm=endpoint alone, not by llm={config.name}"
    if config.name == "vllm":
        yield from launch_problems(config.model, config.options) if config.model else ()
    else:
        yield from (
            f"llm.{key}: is used by llm=vllm alone, not by llm={config.name}"
            for key in ("python", "options")
            if getattr(config, key)
        )


def check_machine(config: LLMConfig) -> None:
    """UserError where this machine lacks the key of a server, or the environment of vLLM."""
    if config.name == "endpoint":
        server_key(config)
    elif config.name == "vllm":
        find_python(config.python)


def endpoint_url(endpoint: str) -> str:
    """Base of the routes of an API; an URL without a path is completed by /v1."""
    url = checked_url("llm.endpoint", endpoint, EXAMPLE, KEY)
    return url if urlsplit(url).path else f"{url}/v1"


def server_key(config: LLMConfig) -> str | None:
    """The key in the environment, if there is one. UserError where it is not as a key is, or where another variable
    than the default one was named and is empty."""
    given = os.environ.get(config.key_variable, "")
    if not given and config.key_variable != KEY:
        raise UserError(f"llm.key_variable={config.key_variable}: this environment variable is not set")
    try:
        return checked_token(given) if given else None
    except UserError as error:
        raise UserError(f"the environment variable {config.key_variable}: {error}") from None
