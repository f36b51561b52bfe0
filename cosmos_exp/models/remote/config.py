"""The `model` group of the family `remote`, and of others whose models run on a server."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosmos_exp.common.typed_config import NO_EFFECT, REQUIRED
from cosmos_exp.models.config import ModelConfig

PROTOCOLS = ("jobs", "gradio")


@dataclass
class ServerConfig(ModelConfig):
    """A model that runs on a server: where it is, and how it is asked."""

    endpoint: str = field(default=REQUIRED, metadata=NO_EFFECT)
    """Address of the server, such as http://host:8080. Its token is in the environment: COSMOS_TOKEN, or the file that
    COSMOS_TOKEN_FILE names."""
    token_file: str | None = field(default=None, metadata=NO_EFFECT)
    """File with the token, in place of the environment."""
    in_flight: int = field(default=8, metadata=NO_EFFECT)
    """Styles of a run that may be on the server at the same time."""
    patience: float = field(default=600.0, metadata=NO_EFFECT)
    """Seconds that a server may be away, such as for a restart, before the run fails."""


@dataclass
class RemoteConfig(ServerConfig):
    """A model of a server. The server's own config says what this one has no key for: weights, speed, precision."""

    backend: str | None = None
    """Which of the server's models; null: its only one. With gradio: the model that the server is known to run."""
    protocol: str = "jobs"
    """jobs: the job API, whose results are exact; gradio: the interface of Cosmos-Transfer1's server, the front view
    alone, as the server compressed it."""
