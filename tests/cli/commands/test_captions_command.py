"""`cosmos-exp captions rewrite`: folders of captions from the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.chat_server import ChatServer, after
from helpers.rewriting_server import faithful, server_that, wrong

from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.cli.commands.captions import main
from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.common.styles import STYLES

LENGTH = "captions.profile=nano"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "captions"
    folder.mkdir()
    for number in range(2, 8):
        (folder / f"clip_{number}.txt").write_text(f"Driving along a rural street with {number} cars.\n")
    return folder


def arguments(server: ChatServer, source: Path, *overrides: str) -> list[str]:
    asks = ("llm=endpoint", f"llm.endpoint={server.url}", "llm.model=tiny", "llm.retries=0")
    cache = f"paths.cache={source.parent}/cache"
    return ["rewrite", "-i", str(source), "-o", str(source.parent / "out"), *asks, cache, LENGTH, *overrides]


def test_a_folder_is_written_once(source, capsys):
    with server_that() as server:
        assert main(arguments(server, source)) == 0
        assert main(arguments(server, source)) == 0
    assert len(server.asked) == 6 * 7
    first, second = capsys.readouterr().out.strip().splitlines()
    assert first.startswith("6 captions written to") and second.startswith("0 captions written to")
    assert "6 were there already" in second
    made = json.loads((source.parent / "out" / "clip_3.json").read_text())
    assert list(made) == list(STYLES)
    assert made["Foggy"] == rewrite("Driving along a rural street with 3 cars.", "Foggy", 1)


def test_damaged_files_and_templates_are_told_and_the_status_says_so(source, capsys):
    def say(caption: str, style: str, attempt: int) -> str:
        return (wrong if style == "Snowy" and "5 cars" in caption else faithful)(caption, style, attempt)

    with server_that(say) as server:
        assert main(arguments(server, source)) == 0
        told = capsys.readouterr().err
        assert "1 texts are by template" in told and "clip_5: Snowy" in told
        (source / "broken.txt").write_bytes(b"\xff\xfe")
        (source / "empty.json").write_text("{}")
        assert main(arguments(server, source)) == 2
    told = capsys.readouterr().err
    assert "2 captions were not rewritten" in told and "broken.txt" in told and "empty.json" in told


def test_answers_are_kept_when_the_output_is_not(source):
    with server_that() as server:
        main(arguments(server, source))
        for path in (source.parent / "out").rglob("*.json"):
            path.unlink()
        main(arguments(server, source))
    assert len(server.asked) == 6 * 7


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("scene.seed=3",), "scene.seed=3: changes no caption; the groups that do are captions, llm, guardrails"),
        (("captions.profil=nano",), "captions.profile"),
        (("captions=vlm",), "folders of captions are rewritten"),
        (("captions.attempts=0", "llm.temperature=3"), "captions.attempts=0: must be 1 to 20"),
    ],
)
def test_mistakes(source, overrides, message):
    with server_that() as server, pytest.raises((UserError, ValidationErrors), match=message):
        main(arguments(server, source, *overrides))
    assert server.asked == []


def test_a_text_that_a_guard_stops_is_not_written(source, capsys):
    def say(caption: str, style: str, attempt: int) -> str:
        return (
            "A beheading at night." if style == "Night" and "4 cars" in caption else faithful(caption, style, attempt)
        )

    with server_that(say) as server:
        assert main(arguments(server, source)) == 2
        told = capsys.readouterr().err
        assert "clip_4: stopped by guardrails.words" in told and "Night" in told
        assert not (source.parent / "out" / "clip_4.json").exists()
        assert len(list((source.parent / "out").glob("*.json"))) == 5
        assert main(arguments(server, source, "guardrails=off")) == 0
    assert json.loads((source.parent / "out" / "clip_4.json").read_text())["Night"].startswith("Night")


def test_an_interrupt_leaves_whole_files_and_the_same_command_goes_on(source):
    with server_that() as server:
        fast = server.answer
        server.answer = lambda body: fast(body) if len(server.asked) < 20 else after(1.0, fast(body))
        command = [sys.executable, "-m", "cosmos_exp", "captions", *arguments(server, source, "llm.concurrency=2")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(server.asked) < 22 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT, said
        assert "interrupted" in said and "Traceback" not in said
        written = sorted((source.parent / "out").glob("*.json"))
        assert 1 <= len(written) < 6
        assert all(list(json.loads(path.read_text())) == list(STYLES) for path in written)
        server.answer = fast
        assert main(arguments(server, source)) == 0
    assert len(list((source.parent / "out").glob("*.json"))) == 6
