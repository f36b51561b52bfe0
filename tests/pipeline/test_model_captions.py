"""Prompts of a run by language models: what is asked, kept, told, and planned."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.chat_server import ChatServer, says
from helpers.pipeline_context import after, context_of
from helpers.rewriting_server import faithful, server_that, wrong

from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.common.errors import ValidationErrors
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.common.styles import STYLES
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.schema import run_id, typed
from cosmos_exp.config.validate import check
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.dry_run import dry_run
from cosmos_exp.runs.run_folder import RunFolder

ALL = f"captions.styles=[{','.join(STYLES)}]"
SMALL = ("model.num_frames=9", "scene.num_vehicles=3", "scene.num_pedestrians=0", "views=single")


@pytest.fixture
def prompts(configure, tmp_path: Path):
    """A function: the context of a run with these overrides once its captions are made."""

    def made(server: ChatServer, *overrides: str, folder: Path | None = None) -> RunContext:
        cfg = configure(*SMALL, *asks(server), f"paths.cache={tmp_path}/cache", *overrides)
        context = context_of(cfg, tmp_path / "cache")
        context.folder = RunFolder(folder) if folder else None
        return after(context, "captions")

    return made


def asks(server: ChatServer) -> tuple[str, ...]:
    return ("captions=rewrite", "llm=endpoint", "llm.model=tiny", f"llm.endpoint={server.url}", "llm.retries=0")


def test_every_style_but_the_original_is_written_by_the_model(prompts):
    with server_that() as server:
        state = prompts(server, ALL, "captions.variant=3").state
    assert state.prompts["Original"] == rewrite(state.description, "Original", 3)
    assert {style: state.prompts[style] for style in STYLES[1:]} == {
        style: rewrite(state.description, style, 1) for style in STYLES[1:]
    }
    assert len(server.asked) == 7


def test_what_was_answered_is_not_asked_again_until_something_changes(prompts):
    with server_that() as server:
        prompts(server, ALL)
        prompts(server, ALL)
        assert len(server.asked) == 7
        prompts(server, "captions.styles=[Night,Snowy]")
        assert len(server.asked) == 7
        for change in ("llm.seed=1", "llm.temperature=0.5", "captions.profile=released", "captions.attempts=2"):
            before = len(server.asked)
            prompts(server, "captions.styles=[Night]", change)
            assert len(server.asked) > before, change
        asked = len(server.asked)
        prompts(server, "captions.styles=[Night]", "llm.timeout=5", "llm.concurrency=2")
        assert len(server.asked) == asked


def test_the_run_folder_and_wandb_say_how_each_text_came_about(prompts, tmp_path):
    def say(caption: str, style: str, attempt: int) -> str:
        return (wrong if style == "Foggy" else faithful)(caption, style, attempt)

    with server_that(say) as server:
        context = prompts(server, "captions.styles=[Night,Foggy]", folder=tmp_path / "run")
    clip, folder = context.state.clip, RunFolder(tmp_path / "run")
    records = folder.read_rewrites(clip)
    assert records["Night"]["source"] == "model" and records["Foggy"]["source"] == "template"
    assert records["Foggy"]["caption"] == folder.read_captions(clip)["Foggy"] == context.state.prompts["Foggy"]
    assert len(records["Foggy"]["rejected"]) == 3
    assert folder.clips() == [clip], "the records are no captions"


def test_all_styles_in_one_request(prompts):
    with server_that() as server:
        state = prompts(server, ALL, "captions.request=all").state
    assert len(server.asked) == 1
    assert state.prompts["Snowy"] == rewrite(state.description, "Snowy", 1)


def test_colours_change_only_where_that_is_asked_for(prompts):
    def yellow(caption: str, style: str, attempt: int) -> str:
        for color in ("white", "black", "grey", "silver", "red", "blue", "green", "orange", "brown"):
            caption = caption.replace(f" {color} ", " yellow ")
        return rewrite(caption, style, 1)

    scene = "captions.prompt=Driving along a street with a red car ahead."
    with server_that(yellow) as server:
        assert "red car" in prompts(server, scene).state.prompts["Sunny"]
        assert "yellow car" in prompts(server, scene, "captions.recolor=true").state.prompts["Sunny"]


def test_texts_of_views_are_written_too(prompts):
    with server_that() as server:
        wall = "captions.view_prompts.cross_left_120fov='A brick wall beside a street.'"
        context = prompts(server, "views=six", wall)
    views = context.prompts.of_views("Sunny", context.state.description)
    assert views["cross_left_120fov"].endswith(rewrite("A brick wall beside a street.", "Sunny", 1))
    assert views["cross_right_120fov"].endswith(context.state.prompts["Sunny"])
    assert len(server.asked) == 2


def test_a_plan_asks_nobody_and_knows_what_is_there(prompts, configure, tmp_path):
    with server_that() as server:
        cfg = configure(*SMALL, *asks(server), f"paths.cache={tmp_path}/cache", "captions.styles=[Night,Foggy]")
        before = dry_run(RunSpec.of(cfg))
        assert server.asked == []
        wanted = [w for w in before.wanted.values() if w.stage == "rewrites"]
        assert [w.cached for w in wanted] == [False, False]
        prompts(server, "captions.styles=[Night]")
        after_one = dry_run(RunSpec.of(cfg))
        assert sorted(w.cached for w in after_one.wanted.values() if w.stage == "rewrites") == [False, True]
        prompts(server, "captions.styles=[Night,Foggy]")
        whole = dry_run(RunSpec.of(cfg))
        assert all(w.cached for w in whole.wanted.values() if w.stage == "rewrites")
    assert len(server.asked) == 2
    assert not any(w.cached for w in before.wanted.values() if w.stage == "text"), "of texts that are not written yet"


def test_templates_need_no_model_and_no_stage(configure):
    plain = RunSpec.of(configure(*SMALL))
    assert "rewrites" not in dry_run(plain).stages
    assert run_id(typed(configure(*SMALL))) == run_id(typed(configure(*SMALL, "llm=nano")))
    ids = {run_id(typed(configure(*SMALL, option))) for option in ("captions=template", "captions=rewrite")}
    assert len(ids) == 2


# Captions from frames


def eyes(caption: str = "A street with three cars.") -> ChatServer:
    """Describes what it sees by this caption, and rewrites it by template."""
    writer = server_that()

    def answer(body):
        content = body["messages"][1]["content"]
        return writer.answer(body) if isinstance(content, str) else says(json.dumps({"caption": caption}))

    return ChatServer(answer=answer)


def pictures(server: ChatServer) -> list[list[np.ndarray]]:
    """Of each request that had some."""
    found = []
    for body in server.asked:
        parts = body["messages"][-1]["content"]
        urls = [] if isinstance(parts, str) else [next(iter(p.values()))["url"] for p in map(_media, parts) if p]
        jpegs = [base64.b64decode(data) for url in urls for data in url.partition(",")[2].split(",")]
        if jpegs:
            found.append([cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB) for jpeg in jpegs])
    return found


def _media(part):
    return {key: value for key, value in part.items() if key in ("image_url", "video_url")}


def test_a_scene_is_described_by_its_frames_and_then_rewritten(prompts):
    with eyes() as server:
        context = prompts(server, "captions=vlm", "captions.vlm.frames=3", "captions.styles=[Night]")
    assert context.state.description == "A street with three cars."
    assert context.state.prompts == {"Night": rewrite("A street with three cars.", "Night", 1)}
    [seen] = pictures(server)
    render = context.renders.render(context.spec.model.front, context.spec.weather, context.spec.outputs)
    rgb = load_arrays(render)["rgb"]
    assert render.hit and len(seen) == 3
    for frame, picture in zip((0, 4, 8), seen):
        assert np.abs(rgb[frame].astype(int) - picture).mean() < 6
    assert set(context.prompts.models.records) == {"description", "Night"}


def test_styles_by_template_of_what_a_model_sees(prompts):
    with eyes() as server:
        state = prompts(server, "captions=vlm", "captions.vlm.rewrite=false", "captions.styles=[Night]").state
    assert state.prompts == {"Night": rewrite("A street with three cars.", "Night")}
    assert len(server.asked) == 1


def test_every_view_may_have_a_text_by_its_own_frames(prompts):
    with eyes() as server:
        options = ("captions.vlm.views=each", "captions.vlm.frames=1", "captions.vlm.rewrite=false")
        context = prompts(server, "captions=vlm", "views=six", *options)
    seen = [frames[0] for frames in pictures(server)]
    assert len(seen) == 6 and all(np.abs(a.astype(int) - seen[0]).mean() > 5 for a in seen[1:])
    assert (
        len(context.prompts.models.records) == 6 and "description of rear_tele_30fov" in context.prompts.models.records
    )


def test_the_facts_of_the_scene_stand_in_for_what_is_no_description(prompts):
    with eyes("A sunny street") as server:
        context = prompts(server, "captions=vlm", "captions.vlm.rewrite=false")
    assert context.state.description == context.prompts.caption().description
    assert context.prompts.models.by_template() == ["description"]


@pytest.mark.parametrize("see", ["rgb", "hdmap"])
def test_prompts_are_upsampled_by_the_first_two_frames_of_what_controls(prompts, see):
    def answer(body):
        text = body["messages"][0]["content"][-1]["text"]
        return says(f"{text} Lamps stand along the road.")

    with ChatServer(answer=answer) as server:
        options = ("captions=upsample", f"captions.vlm.see={see}", "captions.styles=[Night,Rainy]")
        context = prompts(server, *options, "captions.prompt=A street with a car.")
    for style in ("Night", "Rainy"):
        prompt = rewrite("A street with a car.", style)
        assert context.state.prompts[style] == f"{prompt} Lamps stand along the road."
    (first, second), _ = pictures(server)
    request = context.spec.model.front
    render = context.renders.render(request, context.spec.weather, context.spec.outputs)
    video = (
        load_arrays(render)["rgb"]
        if see == "rgb"
        else load_arrays(context.renders.control("hdmap", request, render))["video"]
    )
    assert np.abs(video[0].astype(int) - first).mean() < 8 and np.abs(video[1].astype(int) - second).mean() < 8


def test_a_plan_with_frames_renders_nothing(configure, tmp_path):
    with eyes() as server:
        cfg = configure(*SMALL, *asks(server)[1:], "captions=vlm", f"paths.cache={tmp_path}/cache")
        found = dry_run(RunSpec.of(cfg))
    assert server.asked == [] and not any(w.cached for w in found.wanted.values() if w.stage in ("render", "rewrites"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("captions.source=rewriter",), "unknown source 'rewriter': did you mean 'rewrite'"),
        (("captions=rewrite", "captions.profile=nan"), "did you mean 'nano'"),
        (("captions=rewrite", "captions.attempts=0"), "captions.attempts=0: must be 1 to 20; nearest: 1"),
        (("captions=rewrite", "captions.request=both"), "captions.request: unknown request 'both'"),
        (("captions=vlm",), "llm=nano reads no pictures"),
        (("captions=upsample", "captions.vlm.see=depth"), "captions.vlm.see: unknown see 'depth'"),
        (("captions.recolor=true",), "captions.recolor=true: templates keep colours"),
        (("captions=vlm", "llm=endpoint", "captions.prompt=A car."), "is used in place of what captions=vlm describes"),
    ],
)
def test_mistakes_are_named_before_anything_runs(configure, overrides, message):
    with pytest.raises(ValidationErrors) as error:
        check(configure(*overrides))
    assert any(message in problem for problem in error.value.errors), error.value.errors
