"""`cosmos-exp jobs` and `cosmos-exp serve token`: what is said before any server is asked."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cosmos_exp.cli.commands import jobs, serve
from cosmos_exp.common.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sumbit"], "did you mean 'submit'"),
        (["submit"], "--prompt"),
        (["list", "--statsu"], "did you mean '--status'"),
        (["watch"], "JOB"),
        (["health", "--endpoint", "gpu:8080"], "did you mean 'http://gpu:8080'"),
    ],
)
def test_a_mistake_in_the_command_names_what_was_meant(arguments: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        jobs.main(arguments)


def test_all_mistakes_of_a_request_are_told_before_anything_is_sent(tmp_path: Path) -> None:
    asked = ["submit", "--backend", "nano", "--prompt", f"@{tmp_path / 'none.txt'}", "--config", "steps"]
    asked += ["--control", "edge", "--control", "seg=none.mp4:0.5", "--rgb", str(tmp_path)]
    with pytest.raises(UserError) as error:
        jobs.main(asked)
    for told in ("--prompt", "--control 'edge'", "no file 'none.mp4'", "--rgb", "--config 'steps'"):
        assert told in str(error.value)


def test_values_out_of_their_range_are_told_together() -> None:
    with pytest.raises(UserError) as error:
        jobs.main(["submit", "--backend", "nano", "--prompt", "rain", "--seed", "-1", "--steps", "0"])
    assert "seed" in str(error.value) and "num_steps" in str(error.value)


def test_a_token_is_shown_once_and_counts_until_it_is_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["--state", str(tmp_path / "state")]
    assert serve.main(["token", "add", "alice", *own]) == 0
    token = capsys.readouterr().out.strip()
    tokens = serve._tokens(tmp_path / "state")
    assert tokens.owner(token) == token.split("_")[1] and tokens.owner(token + "x") is None
    assert stat.S_IMODE((tmp_path / "state" / "tokens.json").stat().st_mode) == 0o600
    assert serve.main(["token", "list", *own]) == 0
    listed = capsys.readouterr().out
    assert "alice" in listed and token.split("_", 2)[2] not in listed
    with pytest.raises(UserError, match="did you mean"):
        serve.main(["token", "revoke", token.split("_")[1][:-1] + "x", *own])
    assert serve.main(["token", "revoke", "alice", *own]) == 0
    assert tokens.owner(token) is None


@pytest.mark.parametrize("arguments", [["revoke"], ["list", "alice"], ["ad"], ["add", "a/../b"]])
def test_a_mistake_about_tokens_is_one_message(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError):
        serve.main(["token", *arguments, "--state", str(tmp_path)])
