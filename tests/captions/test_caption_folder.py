"""Folders of captions are rewritten whole, in upstream's form, and only once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.chat_server import ChatServer, fails
from helpers.rewriting_server import faithful, server_that, wrong

from cosmos_exp.captions.folder import rewrite_folder
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.captions.rewriting import REWRITTEN_STYLES, RewriteSettings
from cosmos_exp.common import http_calls
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.styles import STYLES
from cosmos_exp.llm.client import OpenAIChat

CAPTIONS = {
    "2d23_100_200": "Driving along a rural street with a red car ahead.",
    "2d23_300_400": "Driving through an intersection with a green light and two pedestrians.",
    "77aa_100_200": "Driving along a downtown four-lane road past tall buildings with many vehicles.",
}


SETTINGS = RewriteSettings()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_calls, "FIRST_PAUSE", 0.001)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "captions"
    folder.mkdir()
    for clip, caption in CAPTIONS.items():
        (folder / f"{clip}.txt").write_text(f"{caption}\n")
    return folder


def rewritten(source: Path, server: ChatServer, settings=SETTINGS, **options):
    chat = OpenAIChat(server.config(retries=0))
    return rewrite_folder(source, source.parent / "out", chat, settings, **options)


def test_each_caption_becomes_a_file_in_upstreams_form(source, shared):
    with server_that() as server:
        outcome = rewritten(source, server)
    assert sorted(outcome.written) == list(CAPTIONS) and not outcome.problems and not outcome.by_template
    made = json.loads((source.parent / "out" / "2d23_100_200.json").read_text())
    example = next((shared / "rds_hq" / "example" / "captions_rewritten").glob("*.json")).read_text()
    assert list(made) == list(STYLES) == list(json.loads(example))
    assert made["Original"] == CAPTIONS["2d23_100_200"]
    assert made["Night"] == rewrite(CAPTIONS["2d23_100_200"], "Night", 1)
    assert sorted(path.name for path in (source.parent / "out").glob("*.json")) == [f"{c}.json" for c in CAPTIONS]


def test_a_file_of_styles_is_read_by_its_original(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "clip.json").write_text('{"Original": "A street with  a bus.", "Night": "Something else."}')
    with server_that() as server:
        rewritten(folder, server)
    made = json.loads((tmp_path / "out" / "clip.json").read_text())
    assert made["Original"] == "A street with a bus." and made["Night"].endswith("A street with a bus.")


def test_what_is_written_is_not_asked_for_again(source):
    with server_that() as server:
        rewritten(source, server)
        asked = len(server.asked)
        (source / "2d23_300_400.txt").write_text("A street with a blue truck.")
        out = source.parent / "out"
        (out / "77aa_100_200.json").write_text("{")
        again = rewritten(source, server)
    assert sorted(again.present) == ["2d23_100_200"]
    assert sorted(again.written) == ["2d23_300_400", "77aa_100_200"]
    assert len(server.asked) == asked + 2 * len(REWRITTEN_STYLES)


def test_other_settings_make_other_captions(source):
    with server_that() as server:
        rewritten(source, server)
        again = rewritten(source, server, settings=RewriteSettings(recolor=True))
    assert not again.present and len(again.written) == 3


def test_every_damaged_file_is_named_and_the_others_are_done(source):
    (source / "empty.txt").write_text(" \n")
    (source / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (source / "control.txt").write_bytes(b"A street\x07 with a car.")
    (source / "list.json").write_text('["A street."]')
    (source / "styles.json").write_text('{"Night": "A dark street."}')
    (source / "2d23_100_200.json").write_text('{"Original": "A street."}')
    (source / "folder.txt").mkdir()
    with server_that() as server:
        outcome = rewritten(source, server)
    assert len(outcome.problems) == 7 and sorted(outcome.written) == ["2d23_300_400", "77aa_100_200"]
    for name in ("empty", "binary", "control", "list", "styles", "2d23_100_200", "folder"):
        assert any(name in problem for problem in outcome.problems), name


def test_templates_that_stand_in_are_named_and_recorded(source):
    def say(caption: str, style: str, attempt: int) -> str:
        return (wrong if style == "Foggy" and "rural" in caption else faithful)(caption, style, attempt)

    with server_that(say) as server:
        outcome = rewritten(source, server)
    assert outcome.by_template == {"2d23_100_200": ("Foggy",)}
    record = json.loads((source.parent / "out" / "rewrites" / "2d23_100_200.json").read_text())["styles"]
    assert record["Foggy"]["source"] == "template" and len(record["Foggy"]["rejected"]) == 3
    assert record["Night"] == {"source": "model", "attempts": 1, "rejected": []}


def test_a_server_that_dies_ends_it_and_the_rest_is_made_later(source):
    for number in range(20):
        (source / f"more_{number}.txt").write_text(f"A street with {number + 2} cars.")
    with server_that() as server:
        alive = server.answer
        server.answer = lambda body: alive(body) if len(server.asked) < 40 else fails(400, "gone")
        with pytest.raises(UserError, match=r"gone.* captions are written, the same command makes the others"):
            rewritten(source, server, concurrency=2)
        server.answer = alive
        outcome = rewritten(source, server)
    assert outcome.present and len(outcome.present) + len(outcome.written) == 23


def test_a_caption_that_is_refused_is_a_problem_of_its_own(source):
    def refuse(texts) -> None:
        if "rural" in texts["Night"]:
            raise UserError("blocked: rural")

    with server_that() as server:
        outcome = rewritten(source, server, check=refuse)
    assert outcome.problems == ["2d23_100_200: blocked: rural"] and len(outcome.written) == 2
    assert not (source.parent / "out" / "2d23_100_200.json").exists()


def test_progress_counts_captions(source):
    told = []
    with server_that() as server:
        rewritten(source, server, tick=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_folders_without_captions(tmp_path):
    with server_that() as server:
        chat = OpenAIChat(server.config())
        with pytest.raises(UserError, match="no captions in"):
            rewrite_folder(tmp_path, tmp_path / "out", chat, SETTINGS)
        with pytest.raises(UserError, match="cannot read the folder"):
            rewrite_folder(tmp_path / "none", tmp_path / "out", chat, SETTINGS)
