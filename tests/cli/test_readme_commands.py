"""The README's commands run as printed, on the inputs that `cosmos-exp example` writes.

Commands that make videos, clips and pictures run in full. What would be a whole run or sweep is planned, which reads
all its inputs, since one such run takes longer than the rest together; `tests/pipeline` makes runs.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cosmos_exp.cli.main import COMMANDS, main

README = Path(__file__).resolve().parents[2] / "README.md"
INPUTS = ("drive.log", "town.xodr", "clips", "sensors.yaml")
NEEDS = {  # what a command is given that `example` does not write
    "--surviving": "a run",
    "waymo": "Waymo's tables",
    "carla_live": "a server",
}


def readme_commands() -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("cosmos-exp ")]


OF_INPUTS = [c for c in readme_commands() if any(name in c for name in INPUTS) and not any(w in c for w in NEEDS)]


def run(words: list[str], monkeypatch) -> object:
    monkeypatch.setattr("sys.argv", ["cosmos-exp", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the first command of the scene sources writes."""
    folder = tmp_path_factory.mktemp("example")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        assert run(["example", "."], monkeypatch) == 0
    return folder


def test_the_first_command_of_the_scene_sources_writes_their_inputs(folder):
    assert "cosmos-exp example ." in readme_commands()
    assert {p.name for p in folder.iterdir()} >= {*INPUTS}


@pytest.mark.parametrize("command", OF_INPUTS)
def test_command_runs_as_printed(command: str, folder: Path, monkeypatch):
    monkeypatch.chdir(folder)
    words = shlex.split(command)[1:]
    if words[0] not in COMMANDS:
        words = ["plan", *words]
    assert run(words, monkeypatch) == 0


def test_each_of_the_inputs_is_used():
    assert len(OF_INPUTS) >= 8
    assert all(any(name in command for command in OF_INPUTS) for name in INPUTS)
