"""A server of Cosmos3's interface, and the model that generates on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.cosmos3_bound import Bound, configured
from helpers.cosmos3_server import BUCKETS, Cosmos3Server

from cosmos_exp.common import http_calls
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.models.remote import waiting
from cosmos_exp.remote import cosmos3_request, video_client

SMALL = (208, 120)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cosmos3Server]:
    """It and its client agree on small videos in place of 832x480 pixels."""
    monkeypatch.setitem(cosmos3_request.SIZES["480"], "16:9", SMALL)
    monkeypatch.setitem(BUCKETS["480"], (16, 9), SMALL)
    monkeypatch.setattr(http_calls, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(video_client, "POLL", 0.001)
    monkeypatch.setattr(waiting, "LOOK", 0.005)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    for name in ("COSMOS_TOKEN", "COSMOS_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with Cosmos3Server() as found:
        yield found


@pytest.fixture
def bound(server: Cosmos3Server, tmp_path: Path) -> Callable[..., Bound]:
    return lambda *overrides, cache="cache": Bound(RunSpec.of(configured(server.url, *overrides)), tmp_path / cache)
