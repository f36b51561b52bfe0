from __future__ import annotations

import json

import pytest

from cosmos_exp.captions.files import read_captions, read_prompts, write_captions, write_prompts
from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.views import VIEWS


def test_captions_round_trip_in_order(tmp_path):
    path = tmp_path / "captions" / "clip.json"
    captions = {style: f"{style}: a naïve street" for style in reversed(STYLES)}
    write_captions(path, captions)
    assert list(read_captions(path).items()) == list(captions.items())
    assert [p.name for p in path.parent.iterdir()] == ["clip.json"]


def test_byte_order_mark_and_blanks_do_no_harm(tmp_path):
    path = tmp_path / "clip.json"
    path.write_bytes(b"\xef\xbb\xbf \n" + json.dumps({"Night": "  A dark street.\n"}).encode() + b"\n\n")
    assert read_captions(path) == {"Night": "A dark street."}


def test_captions_of_a_real_clip(shared):
    path = next((shared / "rds_hq" / "example" / "captions_rewritten").glob("*.json"))
    assert set(read_captions(path)) == set(STYLES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"Night": "dark",}', "is not JSON: .* at line 1, column 18"),
        ('["Night"]', "expected a JSON object"),
        ("{}", "expected a JSON object"),
        ('{"Nite": "dark"}', "unknown style 'Nite': did you mean 'Night'"),
        ('{"Night": ""}', "prompt of 'Night' must be a non-empty text"),
        ('{"Night": 3}', "prompt of 'Night' must be a non-empty text, got 3"),
    ],
)
def test_faulty_captions_are_named(tmp_path, text, message):
    path = tmp_path / "clip.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_captions(path)
    assert str(path) in str(error.value)


def test_all_faults_are_reported_together(tmp_path):
    path = tmp_path / "clip.json"
    path.write_text('{"Nite": "dark", "Rain": "wet", "Sunny": "bright"}')
    with pytest.raises(ValidationErrors) as error:
        read_captions(path)
    assert len(error.value.errors) == 2


def test_missing_and_binary_files_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        read_captions(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="cannot read"):
        read_captions(tmp_path / "binary.json")


def test_nothing_is_written_for_an_unknown_style(tmp_path):
    with pytest.raises(UserError, match="did you mean 'Foggy'"):
        write_captions(tmp_path / "clip.json", {"Fog": "grey"})
    assert list(tmp_path.iterdir()) == []


def test_prompts_round_trip(tmp_path):
    prompts = {view: f"The {view} camera; a street." for view in VIEWS}
    write_prompts(tmp_path / "prompt.json", prompts)
    assert read_prompts(tmp_path / "prompt.json") == prompts


@pytest.mark.parametrize("views", [VIEWS, tuple(v for v in VIEWS if v != "rear_tele_30fov")])
def test_joined_prompts_are_read_in_view_order(tmp_path, views):
    path = tmp_path / "prompt.json"
    path.write_text(";".join(f"prompt of {view}" for view in views))
    assert read_prompts(path) == {view: f"prompt of {view}" for view in views}


@pytest.mark.parametrize("text", ["", "one prompt", "a;b;c", '{"front": "a"}', '{"front_wide_120fov": '])
def test_other_prompt_files_are_refused(tmp_path, text):
    path = tmp_path / "prompt.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"prompt\.json"):
        read_prompts(path)
