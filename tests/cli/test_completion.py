"""Shell completion, training's help, and messages of the command line that need no run."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cosmos_exp.cli.completion import complete, parser_of
from cosmos_exp.cli.hydra_app import run_app
from cosmos_exp.cli.main import COMMANDS, MODULES, _dispatch, main, run
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.tracking.wandb.upload import check_server


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    for name in ("outputs/sweeps/night", "outputs/runs/first", "maps"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "drive.log").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cosmos-exp sta", ["status"]),
        ("cosmos-exp status ", ["drive.log", "maps/", "outputs/", "outputs/runs/first", "outputs/sweeps/night"]),
        ("cosmos-exp retry outputs/sw", ["outputs/sweeps/", "outputs/sweeps/night"]),
        ("cosmos-exp retry --fa", ["--failed"]),
        ("cosmos-exp scene ", ["info"]),
        ("cosmos-exp scene info dri", ["drive.log"]),
        ("cosmos-exp export rds-hq --su", ["--surviving"]),
        ("cosmos-exp explain blur_s", ["blur_ssim"]),
        ("cosmos-exp explain sampler.gui", ["sampler.guidance"]),
        ("cosmos-exp evaluate RUN --metrics psnr,blur", ["psnr,blur_ssim"]),
        ("cosmos-exp convert checkpoint --mo", ["--model"]),
        ("cosmos-exp train num_w", ["num_workers="]),
        ("cosmos-exp captions.styles=[Night,Sn", ["captions.styles=[Night,Snowy"]),
        ("cosmos-exp scene.weather=R", ["scene.weather=Rainy"]),
        ("cosmos-exp scene.weather=Gol", ["scene.weather=Golden hour"]),
        ("cosmos-exp captions.styles=[Golden\\ h", ["captions.styles=[Golden hour"]),
        ("cosmos-exp 'captions.styles=[Night,Golden ", ["captions.styles=[Night,Golden hour"]),
        ("cosmos-exp captions.styles=[Golden\\ hour] scene.road=c", ["scene.road=curve"]),
        ("cosmos-exp scene.road=straight", ["scene.road=straight_2lane", "scene.road=straight_4lane"]),
        ("cosmos-exp tracking.mode=o", ["tracking.mode=offline", "tracking.mode=online"]),
        ("cosmos-exp scene.log=dri", ["scene.log=drive.log"]),
    ],
)
def test_words_of_our_own(line: str, words: list[str], folder: Path):
    assert complete(line, COMMANDS, run) == words


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("cosmos-exp scene=carla", "scene=carla_log"),
        ("cosmos-exp sampler.guid", "sampler.guidance="),
        ("cosmos-exp plan +sweep=cut", "+sweep=cut_in_gap"),
        ("cosmos-exp export rds-hq scene=rds", "scene=rds_hq"),
    ],
)
def test_words_of_hydra_follow_commands_too(line: str, word: str, folder: Path):
    assert word in complete(line, COMMANDS, run)


@pytest.mark.parametrize("command", MODULES)
def test_every_command_has_flags_to_complete(command: str):
    assert "--help" in complete(f"cosmos-exp {command} --he", COMMANDS, run)
    assert parser_of(command).prog.startswith("cosmos-exp")


def test_the_shell_asks_with_the_line_in_its_environment(monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", "cosmos-exp warm")
    monkeypatch.setattr("sys.argv", ["cosmos-exp", "-sc", "query=bash"])
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code, capsys.readouterr().out) == (0, "warmup\n")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("cosmos-exp warm", "warmup"),
        ("cosmos-exp captions.styles=[Night,Gold", r"captions.styles=[Night,Golden\ hour"),
        ("cosmos-exp 'captions.styles=[Gold", "captions.styles=[Golden hour"),
    ],
)
def test_the_script_for_bash_takes_words_with_spaces(typed: str, offered: str, tmp_path: Path, capfd):
    program = tmp_path / "cosmos-exp"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cosmos_exp "$@"\n')
    program.chmod(0o755)
    assert _dispatch(["-sc", "install=bash"]) == 0
    script = capfd.readouterr().out + f'_cosmos_exp_words "{program}"; printf "%s|" "${{COMPREPLY[@]}}"'
    asked = {"COMP_LINE": typed, "COMP_POINT": str(len(typed)), "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(["bash", "-c", script], env=os.environ | asked, capture_output=True, text=True, check=True)
    assert said.stdout == f"{offered}|"


def test_help_of_training_lists_its_keys(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["cosmos-exp", "train", "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert "\n  folder: str = outputs/train/nano\n" in capsys.readouterr().out


def test_a_log_that_cannot_be_written_is_one_message():
    def load():
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "outputs/runs/x/run.log")
        raise ValueError("Unable to configure handler 'file'") from denied

    with pytest.raises(UserError, match=r"^cannot write outputs/runs/x/run\.log: Permission denied; set paths"):
        run_app(load, [])


def test_a_misspelt_file_gets_the_nearest(folder: Path):
    assert did_you_mean("drvie.log") == ": did you mean 'drive.log'?"
    assert did_you_mean("absent/drive.log") == did_you_mean("zzz") == ""


def test_without_a_login_the_message_says_how_to_log_in(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(UserError, match=r"^no login to W&B: run `wandb login`, or set WANDB_API_KEY$"):
        check_server()
