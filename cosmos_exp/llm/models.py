"""The language model of a config."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import file_sha256
from cosmos_exp.common.memo import Memo
from cosmos_exp.llm.client import OpenAIChat, identity_of
from cosmos_exp.llm.config import LLMConfig
from cosmos_exp.llm.types import ChatAnswer, ChatModel, ChatRequest
from cosmos_exp.llm.vllm_server import Launch, VllmServer, find_python, is_folder, usable_port

log = logging.getLogger(__name__)

TRUST_RATES = "--trust-request-mm-kwargs"
NAME = "model"
"""What a server that only this process asks calls its model."""


def chat_model(config: LLMConfig) -> ChatModel:
    """The model, which loads, or starts its server, when it is first asked. Raises UserError where it is not there."""
    if config.name == "nano":
        from cosmos_exp.llm.nano import NanoRewriter

        return NanoRewriter()
    return OpenAIChat(config) if config.name == "endpoint" else OwnVllm(config)


class OwnVllm:
    """A model of a vLLM server that this process starts when it is first asked, and stops when it ends. All models of
    equal configs ask the same server."""

    def __init__(self, config: LLMConfig):
        assert config.model is not None
        self.config, self.model = config, config.model

    @property
    def identity(self) -> dict[str, str]:
        """Of a folder: the hash of its files."""
        name = _folder_hash(Path(self.model)) if is_folder(self.model) else self.model
        return identity_of(self.config, name)

    def complete(self, request: ChatRequest) -> ChatAnswer:
        """See `ChatModel`."""
        server = self._server()
        try:
            return self._client(server).complete(request)
        except UserError:
            server.check()
            raise

    def _server(self) -> VllmServer:
        config = self.config
        key = (config.python, config.model, *_options(config))
        return _servers.once(key, lambda: _started(config, self.model))

    def _client(self, server: VllmServer) -> OpenAIChat:
        config = replace(self.config, name="endpoint", endpoint=server.launch.url, model=NAME, api="vllm")
        return _clients.once((server.launch.port, str(config)), lambda: OpenAIChat(config))


_servers, _clients, _hashes = Memo(), Memo(), Memo()


def _options(config: LLMConfig) -> list[str]:
    return [*config.options, *([TRUST_RATES] if config.video_rate else [])]


def _started(config: LLMConfig, model: str) -> VllmServer:
    port = usable_port("127.0.0.1", 0)
    launch = Launch(find_python(config.python), model, NAME, port=port, options=_options(config))
    handle, path = tempfile.mkstemp(prefix="cosmos-exp-vllm-", suffix=".log")
    os.close(handle)
    log.info("vLLM starts %s; its log: %s", model, path)
    server = VllmServer(launch, Path(path))
    atexit.register(server.stop)
    server.wait_until_ready(log.info, config.start_timeout)
    return server


def _folder_hash(folder: Path) -> str:
    """sha256 of the names and contents of a model's files."""

    def compute() -> str:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        listed = "\n".join(f"{path.name} {file_sha256(path)}" for path in files)
        return hashlib.sha256(listed.encode()).hexdigest()

    return _hashes.once(folder.resolve(), compute)
