"""A misspelt folder of a run or a sweep: every command and function names the nearest one that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_exp import load_run, load_sweep
from cosmos_exp.cli.main import _dispatch
from cosmos_exp.common.errors import UserError
from cosmos_exp.runs.run_folder import existing_folder


@pytest.fixture(autouse=True)
def outputs(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "outputs" / "sweeps" / "guidance" / "3_1a2b3c4d").mkdir(parents=True)
    (tmp_path / "outputs" / "sweeps" / "guidance" / "13_5e6f7a8b").mkdir()
    (tmp_path / "outputs" / "runs" / "rainy_street").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("outputs/sweeps/guidence", "outputs/sweeps/guidance"),
        ("output/sweep/guidance", "outputs/sweeps/guidance"),
        ("outputs/sweeps/guidance/3", "outputs/sweeps/guidance/3_1a2b3c4d"),
        ("guidance", "outputs/sweeps/guidance"),
        ("rainy_stret", "outputs/runs/rainy_street"),
    ],
)
def test_the_nearest_folder_is_named(given: str, meant: str) -> None:
    with pytest.raises(UserError) as caught:
        existing_folder(given)
    assert str(caught.value) == f"no folder at {given}: did you mean {meant!r}?"


def test_nothing_is_named_where_nothing_is_near() -> None:
    with pytest.raises(UserError, match=r"^no folder at zzz/q$"):
        existing_folder("zzz/q")


def test_a_file_is_no_folder() -> None:
    with pytest.raises(UserError, match=r"notes.txt is a file, not a folder; it is in "):
        existing_folder("notes.txt")


@pytest.mark.parametrize(
    "command", ["status", "compare", "retry", "cancel", "reproduce", "evaluate", "sync", load_run, load_sweep]
)
def test_every_command_says_so(command) -> None:
    path = "outputs/sweeps/guidence"
    with pytest.raises(UserError, match=r"did you mean '.*outputs/sweeps/guidance'"):
        command(path) if callable(command) else _dispatch([command, path])
