"""The `serve` group: where a server listens, who may use it, what it keeps and for how long."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hydra.core.config_store import ConfigStore

from cosmos_exp.common.errors import ValidationErrors, attempt, unknown_name
from cosmos_exp.common.files import write_json
from cosmos_exp.common.units import parse_age, parse_size
from cosmos_exp.config.compose import compose
from cosmos_exp.config.schema import Config, typed
from cosmos_exp.config.validate import alone_problems, validate

NOT_TRACKED = ("tracking.mode=disabled",)
"""A server tracks nothing, so it needs no wandb."""
MOST_WORKERS = 64
ENDPOINT = "endpoint.json"
"""In the state folder while the server listens: url; pid, host and Slurm job of its process; started, seconds since
1970."""


@dataclass
class ServeConfig:
    """A server and its limits. Ages are written as 72h or 30d, sizes as 500MiB or 2GiB."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0: all of this machine."""
    port: int = 8080
    """0: any free one."""
    auth: bool | None = None
    """Whether a token is asked for; null: where `host` is not this machine alone."""
    state: str = "${paths.outputs}/serve"
    """Folder of the queue, the uploads, the results and the tokens; of one server at a time."""
    workers: int | None = None
    """Processes that generate, each with the model loaded; null: one per GPU with hardware.device=cuda, else one."""
    attempts: int = 3
    """How often a job is begun whose worker died over it."""
    grace: float = 30.0
    """Seconds that workers have to stop; the jobs they were at go back to the queue."""
    most_queued: int = 10_000
    """Jobs that may wait; further ones are refused."""
    largest_blob: str = "2GiB"
    """One upload."""
    largest_state: str | None = None
    """All uploads together, above which further ones are refused; null: as the disk has room."""
    largest_cache: str | None = None
    """The stage cache (paths.cache), from which the results that were not used for longest are evicted; null: no bound.
    Runs that share the cache share the bound."""
    blobs_kept: str = "72h"
    """Uploads that no job has used for so long are deleted; those of waiting jobs stay."""
    jobs_kept: str = "168h"
    """Finished jobs and their results."""
    prune_every: float = 600.0
    """Seconds between two looks at what is to be deleted."""
    idle_timeout: float = 30.0
    """Seconds without a byte after which a request under way, or a connection without one, is cut off."""
    most_connections: int = 512
    """At the same time; further ones are refused."""

    @property
    def asks_for_token(self) -> bool:
        return not is_loopback(self.host) if self.auth is None else self.auth


class Settings(NamedTuple):
    """config: of the models, for what a request leaves out."""

    config: Config
    serve: ServeConfig


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def write_endpoint(state: Path, url: str, started: float) -> None:
    """Say in its state folder where a server of this process listens."""
    where = {"url": url, "pid": os.getpid(), "host": socket.gethostname(), "job": os.environ.get("SLURM_JOB_ID")}
    write_json(state / ENDPOINT, where | {"started": started})


def register() -> None:
    """Make the group known to Hydra."""
    ConfigStore.instance().store(group="serve", name="default", node=ServeConfig)


def settings(overrides: Sequence[str] = (), *, config_dir: Path | str | None = None, here: bool = True) -> Settings:
    """The server of a command line such as ["model=nano", "serve.port=8081"]. Raises ValidationErrors with every
    problem of either config. here: whether on this machine, so that it must have the devices."""
    chosen = [f"+{override}" if override.startswith("serve=") else override for override in overrides]
    if not any(override.startswith("+serve=") for override in chosen):
        chosen.insert(0, "+serve=default")
    known = [f"serve.{entry.name}" for entry in fields(ServeConfig)]
    given = [override.lstrip("+~").partition("=")[0] for override in overrides]
    if unknown := [key for key in given if key.startswith("serve.") and key not in known]:
        raise ValidationErrors(unknown_name("config key", key, known) for key in unknown)
    cfg = compose([*NOT_TRACKED, *chosen], config_dir=config_dir)
    serve: ServeConfig = typed(cfg).serve
    problems = [*validate(cfg, here=here), *serve_problems(serve), *alone_problems(cfg.sampler.best_of)]
    if problems:
        raise ValidationErrors(problems)
    return Settings(typed(cfg), serve)


def serve_problems(serve: ServeConfig) -> Iterator[str]:
    """One message per value that is out of its range."""
    if not 0 <= serve.port <= 65535:
        yield f"serve.port={serve.port}: must be 1 to 65535, or 0 for any free one"
    if not serve.host.strip() or any(character.isspace() for character in serve.host):
        yield f"serve.host={serve.host!r}: must be an address such as 127.0.0.1 or 0.0.0.0"
    if not serve.state.strip():
        yield f"serve.state={serve.state!r}: must name a folder"
    if serve.workers is not None and not 1 <= serve.workers <= MOST_WORKERS:
        yield f"serve.workers={serve.workers}: must be 1 to {MOST_WORKERS}, or null"
    for key, least in (("attempts", 1), ("most_queued", 1), ("most_connections", 1)):
        if getattr(serve, key) < least:
            yield f"serve.{key}={getattr(serve, key)}: must be {least} or more"
    for key in ("grace", "prune_every", "idle_timeout"):
        if not 0 < getattr(serve, key) < float("inf"):
            yield f"serve.{key}={getattr(serve, key):g}: must be above 0 seconds"
    for key, parse in (
        ("largest_blob", parse_size),
        ("largest_state", parse_size),
        ("largest_cache", parse_size),
        ("blobs_kept", parse_age),
        ("jobs_kept", parse_age),
    ):
        if (given := getattr(serve, key)) is not None:
            yield from attempt(partial(parse, f"serve.{key}", given))[1]


register()
