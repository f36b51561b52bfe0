"""Texts as Hydra's command line has them."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from cosmos_exp.config.override_text import literal, overrides_of

PARTS = ("a", " ", "'", '"', "\\", "$", "{", "}", "${x}", "\n", "[", "]", ",", "=", "null", "true", "1.5", "é")


def read_back(override: str):
    key, value = override.partition("=")[0], OverridesParser.create().parse_override(override).value()
    return key, OmegaConf.create({"it": str(value) if isinstance(value, str) else value}).it


@given(st.lists(st.sampled_from(PARTS), max_size=8).map("".join))
@settings(max_examples=150, deadline=None)
def test_a_text_is_read_as_it_is(text):
    (override,) = overrides_of({"captions.prompt": text})
    assert read_back(override) == ("captions.prompt", text)
    assert OmegaConf.create({"it": literal(text)}).it == text


@pytest.mark.parametrize("value", [None, True, False, 3, 0.25, 1e-7, ["front_wide_120fov", "a b"], [1, 5]])
def test_other_values_too(value):
    (override,) = overrides_of({"key": value})
    assert read_back(override) == ("key", value)
