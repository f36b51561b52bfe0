from __future__ import annotations

import pytest

from cosmos_exp.captions.describe import MAX_BYTES
from cosmos_exp.captions.rewrite import NUM_PHRASINGS, PHRASINGS, rewrite
from cosmos_exp.captions.views import FACING, view_prompt, view_sentence
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.views import ALL_VIEWS, VIEWS

CAPTION = "Driving along a street with a red car ahead."
TEXT_BUDGET = 255  # bytes the nano model's text encoder reads, its end mark aside


@pytest.mark.parametrize("style", STYLES)
def test_the_style_comes_first_and_the_caption_is_kept(style):
    rewritten = rewrite(CAPTION, style)
    assert rewritten.endswith(CAPTION) and len(rewritten) > len(CAPTION)


def test_every_style_and_phrasing_reads_differently():
    rewritten = {rewrite(CAPTION, style, variant) for style in STYLES for variant in range(NUM_PHRASINGS)}
    assert len(rewritten) == len(STYLES) * NUM_PHRASINGS


def test_the_longest_prompt_fits_the_text_budget():
    longest_style = max(len(p.encode("ascii")) for phrasings in PHRASINGS.values() for p in phrasings)
    longest_view = max(len(view_sentence(v)) for v in VIEWS)
    assert longest_view + 1 + longest_style + 1 + MAX_BYTES <= TEXT_BUDGET


def test_unknown_style_names_the_nearest():
    with pytest.raises(UserError, match="unknown style 'Snow': did you mean 'Snowy'"):
        rewrite(CAPTION, "Snow")


@pytest.mark.parametrize(("variant", "nearest"), [(-1, 0), (NUM_PHRASINGS, NUM_PHRASINGS - 1)])
def test_a_variant_out_of_range_names_the_nearest(variant, nearest):
    with pytest.raises(UserError, match=f"variant {variant} .* nearest is {nearest}"):
        rewrite(CAPTION, "Night", variant)


def test_view_prompts_name_the_camera_once():
    front = view_prompt("front_wide_120fov", CAPTION)
    assert front == (f"The video is captured from a camera mounted on a car. The camera is facing forward. {CAPTION}")
    assert view_prompt("front_wide_120fov", front) == front
    assert view_prompt("rear_tele_30fov", "").endswith("facing backwards.")
    assert set(FACING) == set(ALL_VIEWS) and len({view_prompt(v, CAPTION) for v in ALL_VIEWS}) == len(ALL_VIEWS)


def test_unknown_view_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'front_wide_120fov'"):
        view_prompt("front_wide", CAPTION)
