"""The address of a model's server, its token, and how it is asked: checks of the config's values."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.typed_config import REQUIRED
from cosmos_exp.models.remote.config import ServerConfig


def check_endpoint(config: ServerConfig) -> None:
    """UserError where the endpoint is no address, or has a token in it."""
    if config.endpoint == REQUIRED:
        raise UserError("model.endpoint is required: give model.endpoint=...")  # as for every missing key
    parts = urlsplit(config.endpoint)
    if parts.username or parts.password or parts.query:
        raise UserError("model.endpoint has a secret in it: give the token by COSMOS_TOKEN or model.token_file instead")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"model.endpoint={config.endpoint!r}: needed is an address such as http://host:8080")


def server_problems(config: ServerConfig) -> Iterator[str]:
    """What is out of range, one message per problem."""
    if config.in_flight < 1:
        yield f"model.in_flight={config.in_flight}: must be 1 or more"
    if not config.patience >= 0:
        yield f"model.patience={config.patience:g}: must be 0 seconds or more"


def shown(config: ServerConfig) -> str:
    """The host of an endpoint, for messages."""
    return urlsplit(config.endpoint).netloc.rpartition("@")[2] or config.endpoint
