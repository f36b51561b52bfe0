"""What is known of a server's models: asked for once in a while, and kept on disk for when the server is away."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.files import write_atomic
from cosmos_exp.common.memo import Memo
from cosmos_exp.models.remote.config import RemoteConfig, ServerConfig
from cosmos_exp.models.remote.endpoints import shown
from cosmos_exp.remote.job_client import JobClient
from cosmos_exp.remote.server_client import Unreachable, token_of_environment, token_of_file
from cosmos_exp.remote.wire import ModelInfo

log = logging.getLogger(__name__)

FRESH = 60.0
"""Seconds for which a process does not ask again."""

_known = Memo()


def client_of(config: RemoteConfig, retries: int = 3) -> JobClient:
    """Raises UserError where the token file cannot be read, or the endpoint is no address."""
    return JobClient(config.endpoint, token_of(config), retries=retries)


def token_of(config: ServerConfig) -> str | None:
    """Of `model.token_file`, or of the environment."""
    return token_of_file(Path(config.token_file)) if config.token_file else token_of_environment()


def model_info(config: RemoteConfig) -> ModelInfo:
    """Of the server's model that a config names. UserError where the server does not answer and has not been asked
    before, or has no such model."""
    moment = int(time.monotonic() / FRESH)
    models: dict[str, ModelInfo] = _known.once((config.endpoint, moment), lambda: _models(config))
    names = list(models)
    if config.backend is None and len(names) == 1:
        return models[names[0]]
    if config.backend is None:
        raise UserError(f"{shown(config)} has several models: give model.backend, one of {', '.join(names)}")
    if config.backend not in models:
        raise UserError(f"model.backend: {unknown_name('model of this server', config.backend, names)}")
    return models[config.backend]


def _models(config: RemoteConfig) -> dict[str, ModelInfo]:
    kept = _kept(config.endpoint)
    try:
        with client_of(config, retries=1) as client:
            models = {info.id: info for info in client.models()}
    except Unreachable as error:
        try:
            lines = kept.read_text(encoding="utf-8").splitlines()
        except OSError:
            raise UserError(f"model.endpoint: {error}; what its models make was never asked for here") from None
        log.warning("%s: its models are taken as they were last seen", error)
        infos = [ModelInfo.model_validate_json(line) for line in lines]
        return {info.id: info for info in infos}
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(kept, "\n".join(info.model_dump_json() for info in models.values()).encode())
    return models


def _kept(endpoint: str) -> Path:
    return servers_folder() / f"{endpoint_hash(endpoint)}.jsonl"


def servers_folder() -> Path:
    """Where what is known of servers is kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "cosmos-exp" / "servers"


def endpoint_hash(endpoint: str) -> str:
    return hashlib.sha256(endpoint.encode()).hexdigest()[:20]
