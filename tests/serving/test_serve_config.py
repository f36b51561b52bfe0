"""The `serve` group."""

from __future__ import annotations

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.compose import compose
from cosmos_exp.config.schema import run_id, typed
from cosmos_exp.serving.config import is_loopback, settings


def test_a_server_has_the_config_of_a_run_and_its_own() -> None:
    found = settings(["model=render", "sampler.guidance=2", "serve.port=8081"])
    assert (found.config.model.name, found.config.sampler.guidance, found.serve.port) == ("render", 2, 8081)
    assert found.serve.state.endswith("/serve") and not found.serve.asks_for_token


def test_a_server_tracks_nothing_and_so_needs_no_wandb() -> None:
    assert settings().config.tracking.mode == "disabled"


def test_what_a_server_is_changes_no_result() -> None:
    assert run_id(typed(compose(["+serve=default", "serve.port=8081"]))) == run_id(typed(compose()))


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(UserError) as error:
        settings(["serve.port=70000", "serve.largest_blob=3", "serve.workers=0", "sampler.num_steps=0"])
    for told in ("serve.port=70000", "serve.largest_blob '3' has no unit", "serve.workers=0", "sampler.num_steps=0"):
        assert told in str(error.value)


@pytest.mark.parametrize(("given", "nearest"), [("serve.prt=1", "serve.port"), ("serve.port=x", "serve.port")])
def test_a_wrong_key_or_type_names_the_right_one(given: str, nearest: str) -> None:
    with pytest.raises(UserError, match=nearest):
        settings([given])


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.3", False), ("gpu", False)],
)
def test_a_token_is_asked_for_where_others_can_connect(host: str, only_here: bool) -> None:
    assert is_loopback(host) is only_here
    assert settings([f"serve.host='{host}'"]).serve.asks_for_token is not only_here
    assert settings([f"serve.host='{host}'", "serve.auth=true"]).serve.asks_for_token
