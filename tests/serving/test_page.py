"""The page in a real browser, on a server that asks for a token: log in, draw a scene, generate; on a telephone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.browser import Browser, browser, require_browser
from helpers.gradio_service import GradioService, gradio_service

PROMPT = "A street. <img src=x onerror=\\\"document.title='taken'\\\">"
PICTURES = os.environ.get("COSMOS_EXP_PICTURES")
"""A folder for pictures of the page, to be looked at."""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[GradioService]:
    require_browser()
    with gradio_service(tmp_path_factory.mktemp("server"), "serve.auth=true", "model.num_frames=9") as server:
        yield server


@pytest.fixture(scope="module")
def page(server, tmp_path_factory) -> Iterator[Browser]:
    """Logged in."""
    with browser(tmp_path_factory.mktemp("browser")) as page:
        page.open(server.url)
        assert page.run("return location.pathname") == "/login"
        page.run(f"document.querySelector('#token').value = '{server.token}'")
        page.click("button")
        page.wait("document.querySelector('#generate')", 120)
        yield page


def picture(page: Browser, name: str) -> None:
    if PICTURES:
        page.screenshot().save(Path(PICTURES) / f"{name}.png")


def said(page: Browser) -> str:
    return page.run("return document.querySelector('#result .state').innerText")


def test_a_scene_becomes_controls_a_prompt_and_a_video(page, server):
    page.click("#draw")
    page.wait("document.body.innerText.includes('The street of seed 1000005.')", 240)
    assert page.run("return document.querySelector('#prompt textarea').value").startswith("A bright sunny day")
    assert page.run("return document.querySelectorAll('#controls video').length") >= 2
    page.run(
        f"""const prompt = document.querySelector('#prompt textarea'); prompt.value = "{PROMPT}";
        prompt.dispatchEvent(new Event('input'));"""
    )
    page.click("#generate")
    page.wait("document.querySelector('#result .state').innerText.startsWith('done')", 240)
    page.wait("document.querySelector('#result video')?.readyState > 0", 30)
    (job,) = server.service.store.jobs()
    request = server.service.store.request(job.id)
    assert job.token_id is not None
    assert request.prompt == PROMPT.replace("\\", "")
    names = {server.service.blobs.info(control.blob).name for control in request.controls.values()}
    assert names == {"1000005_hdmap_lossless.mp4", "1000005_seg_lossless.mp4"}
    picture(page, "page_1400")


def test_all_views_are_made_of_a_drawn_scene_and_shown_as_a_grid(page, server):
    page.run("document.querySelectorAll('#views input')[1].click()")
    page.click("#generate")
    page.wait("document.querySelector('#result .state').innerText.startsWith('drawing all views')", 30)
    page.wait("document.querySelector('#result .state').innerText.startsWith('done')", 240)
    page.wait("document.querySelector('#result video')?.videoWidth == 768", 30)  # three of 256 pixels side by side
    job = server.service.store.jobs(limit=1)[0]
    request = server.service.store.request(job.id)
    assert len(request.views) == 6 and set(request.controls["hdmap"].blobs) == set(request.views)
    assert len(request.controls["seg"].blobs) == 1
    picture(page, "all_views_1400")
    page.run("document.querySelectorAll('#views input')[0].click()")


def test_help_texts_are_those_of_the_config(page):
    page.run("[...document.querySelectorAll('button')].find(b => b.innerText.includes('Sampler')).click()")
    page.wait("document.body.innerText.includes('0 is no guidance; the scale of the other convention is g + 1.')")
    said = page.run("return document.body.innerText")
    assert "Model nano_fast: the front view in 256×144, 9 or 17 or 25 frames, 24 per second, or all 6 views." in said


def test_html_in_a_prompt_is_text(page):
    page.wait("document.querySelector('.jobs .done')", 30)
    assert "<img src=x" in page.run("return document.querySelector('.jobs').innerText")
    assert page.run("return document.querySelectorAll('.jobs img').length") == 0
    assert page.run("return document.title") == "cosmos-exp"


def test_the_link_of_a_job_is_its_video(page):
    found = page.run(
        "const got = await fetch(document.querySelector('.jobs a').href);"
        "return [got.status, got.headers.get('content-type')]"
    )
    assert found == [200, "video/mp4"]


def test_a_mistake_is_told_on_the_page(page):
    page.run(
        """const prompt = document.querySelector('#prompt textarea'); prompt.value = '';
        prompt.dispatchEvent(new Event('input'));"""
    )
    page.click("#generate")
    page.wait("document.querySelector('#result .state.failed')")
    assert said(page) == "- missing: prompt"


def test_it_fits_a_telephone_and_loads_nothing_from_elsewhere(page):
    page.set_width(400)
    page.wait("document.documentElement.scrollWidth <= 400")
    picture(page, "page_400")
    names = page.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
    own = page.run("return location.origin")
    assert [name for name in names if not name.startswith((own, "data:", "blob:"))] == []
